"""destroy, pause, unpause, shutdown, gc: commands on domains that exist."""

from __future__ import annotations

from xentool.errors import HostError, UsageError, XentoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.cli.context import Context
    from xentool.units import DomId


def destroy(context: Context, *, domain: str, force: bool) -> int:
    toolstack = context.toolstack_for_change()
    domid = toolstack.resolve(domain)
    if domid == 0 and not force:
        raise HostError(
            "destroy domain",
            domain,
            "this is Domain-0, the host's own",
            hint="-f insists; it can only work from a toolstack domain beside Domain-0",
        )
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
    del acpi
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
    stopping = _each(domids, toolstack.shutdown, failures)
    if wait:
        import time

        deadline = None if timeout is None else time.monotonic() + timeout

        def wait_for(domid: DomId) -> None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            toolstack.wait_for_shutdown(domid, left)

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
    undone = context.backend.collect()
    if context.json:
        context.write_json({"undone": undone})
    else:
        context.write("".join(f"undone: {what}\n" for what in undone))
    return 0
