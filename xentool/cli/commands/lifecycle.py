"""destroy, pause, unpause, shutdown, gc: commands on domains that exist."""

from __future__ import annotations

from xentool.errors import TimedOutError, UsageError, XentoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.cli.context import Context
    from xentool.units import DomId


def destroy(context: Context, *, domain: str, force: bool) -> int:
    del force  # xl's spelling; Domain-0 is never ours to destroy
    toolstack = context.toolstack_for_change()
    domid = toolstack.resolve(domain)
    toolstack.destroy(domid)
    return _done(context, domid, "destroyed")


def pause(context: Context, *, domain: str) -> int:
    toolstack = context.toolstack_for_change()
    domid = toolstack.resolve(domain)
    toolstack.pause(domid)
    return _done(context, domid, "paused")


def unpause(context: Context, *, domain: str) -> int:
    toolstack = context.toolstack_for_change()
    domid = toolstack.resolve(domain)
    toolstack.unpause(domid)
    return _done(context, domid, "unpaused")


def _done(context: Context, domid: DomId, what: str) -> int:
    """Success is silent, as with xl, but to a program that asked for an answer."""
    if context.json:
        context.write_json({"domid": domid, "done": what})
    return 0


def shutdown(
    context: Context,
    *,
    domain: str | None,
    all: bool,  # noqa: A002
    wait: bool,
    timeout: float | None,
    acpi: bool,
) -> int:
    if (domain is None) is not all:
        raise UsageError(
            "shut down",
            "",
            "say either which domain or --all",
            hint="`xentool shutdown --help` shows what it takes",
        )
    toolstack = context.toolstack_for_change()
    if domain is None:
        domids = [view.domid for view in toolstack.domains() if view.domid != 0]
    else:
        domids = [toolstack.resolve(domain)]
    failures: list[XentoolError] = []
    stopping = _each(domids, lambda domid: toolstack.shutdown(domid, acpi=acpi), failures)
    if wait:
        import time

        deadline = None if timeout is None else time.monotonic() + timeout

        def wait_for(domid: DomId) -> None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                toolstack.wait_for_shutdown(domid, left)
            except TimedOutError as exc:
                raise TimedOutError(
                    exc.action, exc.subject, f"it still runs after {timeout:g} s", hint=exc.hint
                ) from exc

        stopping = _each(stopping, wait_for, failures)
    if context.json:
        context.write_json([{"domid": domid, "done": "shut down" if wait else "asked"} for domid in stopping])
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"cannot {other}")
        raise failures[0]
    return 0


def _each(domids: list[DomId], act: Callable[[DomId], None], failures: list[XentoolError]) -> list[DomId]:
    """Act on all of them, whatever fails (that is added to `failures`); those where it went well."""
    done = []
    for domid in domids:
        try:
            act(domid)
        except XentoolError as exc:
            failures.append(exc)
        else:
            done.append(domid)
    return done


def collect(context: Context) -> int:
    undone, failed = context.backend.collect()
    locked, unlocked = context.toolstack.relock()
    if context.json:
        context.write_json({"undone": undone, "failed": failed, "locked": locked, "unlocked": unlocked})
    else:
        lines = [f"undone: {what}" for what in undone]
        lines += [f"locked again: {name}" for name in locked]
        lines += [f"no longer locked, as there is no such lock on record: {name}" for name in unlocked]
        context.write("".join(f"{line}\n" for line in lines))
    if failed:
        error = XentoolError(
            "undo", "killed commands", failed[0], hint="mend that, and run `xentool gc` again"
        )
        for other in failed[1:]:
            error.add_note(f"and: {other}")
        raise error
    return 0
