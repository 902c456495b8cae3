"""The error boundary: from a command line to an exit code.

Whatever a command raises ends here as two lines, what could not be done and
what to do next, and an exit code. Only what nobody foresaw is called a bug.
"""

from __future__ import annotations

import gc
import os
import sys

from xentool.cli import warmstart

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from xentool.cli.backends import Backend
    from xentool.cli.context import Context
    from xentool.cli.declare import Parsed
    from xentool.errors import XentoolError
else:
    import _signal as signal  # what signal has it from; that module would cost its enums' making

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_BUG = 70

COLLECT_AFTER = 20_000
"""Objects after which garbage is looked for. A command makes fewer, nearly all in importing, and all of them
live on: with Python's 700, a twelfth of the time goes into finding nothing."""

_COMPLETING = "_XENTOOL_COMPLETE"  # what click's shell functions set


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name); its exit code.

    With `argv` None this is the whole process: the arguments are the process's, and
    it ends here, without the interpreter's own tidying up, which takes longer than
    some commands.
    """
    if argv is not None:
        return run(argv)
    try:
        return _process()
    except KeyboardInterrupt:
        os._exit(EXIT_INTERRUPTED)  # while the command was being loaded, or once it was done


def _process() -> int:
    gc.set_threshold(COLLECT_AFTER)
    warm = warmstart.of_command(sys.argv[1:])
    if warm is not None:
        warm.load()
    # What measures the process writes its figures when it ends in the ordinary way.
    measured = "COVERAGE_PROCESS_CONFIG" in os.environ or "COVERAGE_PROCESS_START" in os.environ
    code = run(sys.argv[1:], ends=not measured)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it is done: whoever stops us now would hear that it is not
    if warm is not None and code == 0:
        warm.save()
    if measured:
        return code
    os._exit(code)


def run(
    argv: Sequence[str], open_backend: Callable[[str], Backend] | None = None, *, ends: bool = False
) -> int:
    """As `main`, and with `open_backend` in the place of `backends.open_backend`.

    `ends` is of a process that ends then and there: what is open the kernel closes, and sooner than we would.
    """
    # Here, and in what follows where it is needed: by now the warm start has had them.
    from xentool.cli.answer import flush_answer
    from xentool.errors import XentoolError

    context: Context | None = None
    try:
        parsed = _parse(argv)
        if isinstance(parsed, int):
            code = parsed
        else:
            context = _context(parsed, open_backend)
            try:
                code = _execute(parsed, context)
            finally:
                if not ends:
                    context.close()
        flush_answer()
    except XentoolError as exc:
        code = exc.exit_code
        _report(exc, context, argv)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_BROKEN_PIPE  # the reader has what it wanted: nothing to say
    except Exception as exc:  # noqa: BLE001 - the boundary
        code = _report_bug(exc, argv)
    return _finish(code)


def _parse(argv: Sequence[str]) -> Parsed | int:
    """The command line, understood; or the exit code if click has answered it (help, completion)."""
    if _COMPLETING not in os.environ:
        from xentool.cli.fast import parse

        parsed = parse(argv)
        if parsed is not None:
            return parsed
    from xentool.cli.clickapp import parse as parse_with_click

    return parse_with_click(argv)


def _context(parsed: Parsed, open_backend: Callable[[str], Backend] | None) -> Context:
    from xentool.cli.context import Context
    from xentool.cli.table import GLOBALS
    from xentool.errors import UsageError

    if open_backend is None:
        from xentool.cli.backends import open_backend

    values = parsed.values
    chosen = {option.name: values.pop(option.name) for option in GLOBALS}
    if chosen["dry_run"] and not parsed.command.dry_run:
        raise UsageError(
            parsed.command.name,
            "",
            "this command has no dry run",
            hint="leave out --dry-run: nothing was done",
        )
    for name in ("backend", "toolstack"):
        if chosen[name] is None:
            chosen[name] = _of_environment(name)
    return Context(open_backend, **chosen)  # type: ignore[arg-type]


def _of_environment(name: str) -> str:
    """What $XENTOOL_NAME says of a global option that was not given.

    Raises:
        UsageError: that is none of its values.
    """
    from xentool.cli.table import GLOBALS
    from xentool.errors import UsageError

    variable = f"XENTOOL_{name.upper()}"
    value = os.environ.get(variable) or "auto"
    (choices,) = [option.choices for option in GLOBALS if option.name == name]
    if value not in choices:
        raise UsageError(
            "choose",
            f"a {name}",
            f"{variable} is '{value}'",
            hint=f"set it to {', '.join(choices[:-1])} or {choices[-1]}, or unset it",
        )
    return value


def _execute(parsed: Parsed, context: Context) -> int:
    module_name, _, function_name = parsed.command.handler.partition(":")
    __import__(module_name)
    handler = getattr(sys.modules[module_name], function_name)
    if parsed.command.stoppable:
        from xentool.cli.stopping import Stopping

        with Stopping():
            return int(handler(context, **parsed.values))
    return int(handler(context, **parsed.values))


def _report(error: XentoolError, context: Context | None, argv: Sequence[str]) -> None:
    """Say what went wrong: two lines, or with --json one object."""
    _flush_what_can_be()
    if context.debug if context else "--debug" in argv:
        _traceback(error)
    notes: list[str] = getattr(error, "__notes__", [])
    if context.json if context else "--json" in argv:
        from xentool.cli.jsontext import to_json

        _say_raw(to_json({**error.as_dict(), "notes": notes}))
        return
    _say(f"cannot {error}" if error.action else str(error))
    for note in notes:
        _say(note)
    if error.hint:
        _say_raw(f"hint: {_printable(error.hint)}")
    if error.detail and context is not None and context.verbose:
        _say_raw(error.detail.rstrip("\n"))


def _report_bug(error: BaseException, argv: Sequence[str]) -> int:
    _flush_what_can_be()
    if "--debug" in argv:
        _traceback(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    _say(f"internal error: {text}")
    _say_raw(
        "hint: this is a bug in xentool; please report it with the output of the same command with --debug"
    )
    return EXIT_BUG


def _traceback(error: BaseException) -> None:
    import traceback

    _say_raw("".join(traceback.format_exception(error)).rstrip("\n"))


def _say(text: str) -> None:
    _say_raw(f"xentool: {_printable(text)}")


def _printable(text: str) -> str:
    """`text` without what a terminal would obey: it may quote a file, or what a guest has written."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def _say_raw(text: str) -> None:
    """A line on stderr; where that is closed or full nobody is left to tell."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def _flush_what_can_be() -> None:
    """What was answered before the error comes before it."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        pass


def _finish(code: int) -> int:
    """Leave nothing in the buffers that would fail a second time when the interpreter ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code
