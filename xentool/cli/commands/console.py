"""console: attach to a domain's console."""

from __future__ import annotations

import sys

from xentool.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context


def console(
    context: Context,
    *,
    domain: str,
    type: str | None,  # noqa: A002
    number: int | None,
    log: bool,
    follow: bool,
) -> int:
    if log:
        return _show_log(context, domain, follow=follow)
    if follow:
        raise UsageError(
            "attach to the console of domain",
            domain,
            "--follow is for --log",
            hint=f"`xentool console --log --follow {domain}`",
        )
    from xentool.devices.console import ENDED, attach

    toolstack = context.toolstack
    domid = toolstack.resolve(domain)
    if domid == 0:
        raise HostError(
            "attach to the console of domain",
            domain,
            "Domain-0 has none of its own",
            hint="it is this machine's: `dmesg` and journalctl show what it prints",
        )
    path = toolstack.console_path(domid, number=number or 0, kind=type or "")
    ended = attach(path, domid, lock_directory=context.backend.lock_directory)
    if context.styled:
        context.write("\n")
        if ended == ENDED:
            context.note(f"the console of domain {domid} is gone")
    return 0


def _show_log(context: Context, domain: str, *, follow: bool) -> int:
    """To a terminal without what it would obey; to anything else as the guest printed it."""
    from xentool.cli.answer import flush_answer
    from xentool.devices.consolelog import show_log

    def write(data: bytes) -> None:
        context.write_bytes(data)
        if follow:
            flush_answer()

    show_log(context.toolstack.console_log(domain), write, follow=follow, safe=sys.stdout.isatty())
    return 0
