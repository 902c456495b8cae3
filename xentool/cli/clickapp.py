"""click commands, generated from the table: help, error messages and shell completion.

Only imported where `fast` did not understand a command line. What both
understand they understand alike; tests hold them to it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from xentool import __version__
from xentool.cli.declare import Argument, Command, Group, Option, Parsed, convert, matching
from xentool.cli.table import COMMANDS, GLOBALS
from xentool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAM = "xentool"

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # not generic before click 8.4


_HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class _TableType(_ParamType):
    """A value of the table: converted by `declare.convert`, completed by its kind."""

    def __init__(self, declared: Option | Argument) -> None:
        self.declared = declared
        self.name = declared.kind

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        try:
            return convert(self.declared, value)
        except ValueError as exc:
            self.fail(f"{exc}.", param, ctx)

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        item = click.shell_completion.CompletionItem
        if self.declared.choices:
            return [item(choice) for choice in self.declared.choices if choice.startswith(incomplete)]
        if self.declared.kind == "file":
            return [item(incomplete, type="file")]
        if self.declared.kind == "node":
            return [item(path) for path in _node_paths(ctx, incomplete)]
        if self.declared.kind == "domain":
            return [item(name) for name in _domain_names(ctx) if name.startswith(incomplete)]
        return []


def _domain_names(ctx: click.Context) -> list[str]:
    """The names of the running domains; none where there is no way to know them: <TAB> shows no errors."""
    from xentool.cli.backends import open_backend
    from xentool.errors import XentoolError

    chosen = ctx.find_root().params.get("backend") or os.environ.get("XENTOOL_BACKEND") or "auto"
    try:
        with open_backend(str(chosen)) as backend:
            return [domain.name for domain in backend.toolstack.domains() if domain.name]
    except XentoolError:
        return []


def _node_paths(ctx: click.Context, incomplete: str) -> list[str]:
    """The paths in the store that begin so: one level, as a shell completes files."""
    from xentool.cli.backends import open_backend
    from xentool.errors import XentoolError

    above = incomplete.rpartition("/")[0] or ("/" if incomplete.startswith("/") else "")
    chosen = ctx.find_root().params.get("backend") or os.environ.get("XENTOOL_BACKEND") or "auto"
    if not above:
        return []
    try:
        with open_backend(str(chosen)) as backend:
            paths = [f"{above.rstrip('/')}/{name}" for name in backend.store.directory(above)]
    except XentoolError:
        return []
    return [path for path in paths if path.startswith(incomplete)]


class _Option(click.Option):
    """A click option made of a declared one."""

    def __init__(self, declared: Option) -> None:
        settings: dict[str, Any] = {"help": declared.help, "hidden": declared.hidden}
        if declared.kind == "flag":
            settings["is_flag"] = True
        elif declared.kind == "count":
            settings["count"] = True
        else:
            settings |= {"type": _TableType(declared), "metavar": declared.metavar, "default": None}
        super().__init__([*declared.spellings, declared.name], **settings)


class _Argument(click.Argument):
    def __init__(self, declared: Argument) -> None:
        super().__init__(
            [declared.name],
            type=_TableType(declared),
            required=declared.required,
            nargs=-1 if declared.many else 1,
            metavar=declared.shown,
        )


class _Names(click.Group):
    """Commands that may be shortened, as xl's may; unknown ones get suggestions."""

    table: Mapping[str, Command | Group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        names = matching(dict(self.table), cmd_name)
        return super().get_command(ctx, names[0]) if len(names) == 1 else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        names = matching(dict(self.table), word)
        if len(names) == 1:
            return names[0], self.commands[names[0]], args[1:]
        if word.startswith("-"):
            ctx.fail(f"No such option: {word}")
        raise _unknown(word, names, self.table)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


class _UnknownCommandError(UsageError):
    """xl's exit code for an unknown command is 1, where that for a wrong option is 2."""

    exit_code = 1


def _unknown(word: str, names: Sequence[str], table: Mapping[str, object]) -> _UnknownCommandError:
    if names:
        return _UnknownCommandError(
            "", "", f"'{word}' could be {' or '.join(names)}", hint="type some letters more"
        )
    from difflib import get_close_matches

    nearest = get_close_matches(word, table, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`xentool help` lists the commands"
    return _UnknownCommandError("", "", f"there is no command '{word}'", hint=hint)


def _callback() -> Parsed:
    """What every command does under click: say what was understood, for `main` to carry out."""
    ctx = click.get_current_context()
    declared: Command = ctx.command.declared  # type: ignore[attr-defined]
    values = {option.name: option.default for option in GLOBALS} | dict(ctx.params)
    chain: list[click.Context] = []
    at: click.Context | None = ctx
    while at is not None:
        chain.insert(0, at)
        at = at.parent
    for option in GLOBALS:
        given = [
            level.params[option.name]
            for level in chain
            if level.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
        ]
        if given:
            values[option.name] = sum(given) if option.kind == "count" else given[-1]
    return Parsed(declared, values)


def _command(declared: Command) -> click.Command:
    own = {spelling for option in declared.options for spelling in option.spellings}
    names = {option.name for option in declared.options}
    common = _globals_without(own, dry_run=declared.dry_run)
    options = [*declared.options, *(option for option in common if option.name not in names)]
    command = click.Command(
        declared.name.split()[-1],
        callback=lambda **_: _callback(),
        params=[*map(_Argument, declared.arguments), *map(_Option, options)],
        help=f"{declared.help}.\n\n{declared.text}".strip(),
        short_help=declared.help,
        context_settings={"allow_interspersed_args": not declared.passthrough, **_HELP},
    )
    command.declared = declared  # type: ignore[attr-defined]
    return command


def _globals_without(spellings: set[str], *, dry_run: bool) -> list[Option]:
    """The global options, without the spellings that a command has taken for its own."""
    kept = []
    for option in GLOBALS:
        free = tuple(spelling for spelling in option.spellings if spelling not in spellings)
        if free:
            kept.append(
                Option(
                    option.name,
                    free,
                    option.help,
                    option.kind,
                    metavar=option.metavar,
                    choices=option.choices,
                    hidden=option.name == "dry_run" and not dry_run,
                )
            )
    return kept


def _group(name: str, help_text: str, table: Mapping[str, Command | Group]) -> _Names:
    group = _Names(
        name,
        params=[_Option(option) for option in GLOBALS],
        help=help_text.strip(),
        short_help=help_text.partition(".\n")[0],
        no_args_is_help=False,
        context_settings=_HELP,
    )
    group.table = table
    for word, declared in table.items():
        if isinstance(declared, Group):
            group.add_command(
                _group(word, f"{declared.help}.\n\n{declared.text}", dict(declared.commands)), word
            )
        else:
            group.add_command(_command(declared), word)
    return group


def application() -> click.Group:
    """The whole command line as a click group."""
    text = "Create, run and stop Xen domains.\n\nOptions may stand before or after the command."
    app = _group(PROGRAM, text, COMMANDS)
    return click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")(app)


def parse(argv: Sequence[str]) -> Parsed | int:
    """What `argv` asks for, or the exit code where click has answered it: help, completion.

    Raises:
        UsageError: in click's words, if it cannot be understood.
    """
    app = application()
    if "_XENTOOL_COMPLETE" in os.environ:
        app.main(list(argv), prog_name=PROGRAM)
    if not argv:
        sys.stderr.write(app.get_help(click.Context(app, info_name=PROGRAM)) + "\n")
        return 1
    try:
        result = app.main(list(argv), prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as exc:
        path = exc.ctx.command_path if exc.ctx is not None else PROGRAM
        raise UsageError(
            "", "", _sentence(exc.format_message()), hint=f"`{path} --help` shows what it takes"
        ) from exc
    except click.Abort as exc:
        raise KeyboardInterrupt from exc
    return result if isinstance(result, Parsed) else int(result or 0)


def _sentence(text: str) -> str:
    """click's message in our style: no capital in front, no full stop at the end."""
    return text[:1].lower() + text[1:].rstrip(".")
