"""console: attach to a domain's console."""

from __future__ import annotations

from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context


def console(context: Context, *, domain: str, type: str | None) -> int:  # noqa: A002
    from xentool.devices.console import ENDED, attach

    del type  # like xl: without a serial console it is the PV console, and PV domains have none
    toolstack = context.toolstack
    domid = toolstack.resolve(domain)
    if domid == 0:
        raise HostError(
            "attach to the console of domain",
            domain,
            "Domain-0 has none of its own",
            hint="it is this machine's: `dmesg` and journalctl show what it prints",
        )
    ended = attach(toolstack.console_path(domid), domid, lock_directory=context.backend.lock_directory)
    if context.styled:
        context.write("\n")
        if ended == ENDED:
            context.note(f"the console of domain {domid} is gone")
    return 0
