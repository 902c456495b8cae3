"""Stopping domains: asking the guest, waiting for it, and destroying it."""

from __future__ import annotations

from xentool.devices.paths import domain_path
from xentool.domain.interruption import without_interruption
from xentool.domain.reach import check_no_hvm
from xentool.domain.remove import remove_domain
from xentool.errors import NotFoundError, TimedOutError, XentoolError
from xentool.units import uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.host import Host
    from xentool.units import DomId

RELEASE_WATCH = "@releaseDomain"


def refuse_domain0(action: str, domid: DomId) -> None:
    """Domain-0 is the host itself: no command of ours stops it."""
    if domid == 0:
        raise XentoolError(
            action, "Domain-0", "it is the host's own domain", hint="shut the host down with its own tools"
        )


def destroy(host: Host, domid: DomId) -> None:
    """Destroy a domain at once, as a power cut would.

    Raises:
        NotFoundError: there is none.
        UnsupportedError: it has what we do not take away; nothing was touched.
    """
    refuse_domain0("destroy", domid)
    info = host.hypercalls.domain_info(domid)
    with without_interruption():
        remove_domain(host, domid, uuid_text(info.handle))


def request_shutdown(host: Host, domid: DomId) -> None:
    """Ask the guest to power off. It may take its time, or not listen at all.

    Raises:
        NotFoundError: there is no such domain.
        UnsupportedError: it is an HVM guest, which may have no drivers that listen there.
        XentoolError: it has no control node to ask through.
    """
    refuse_domain0("shut down", domid)
    check_no_hvm(host, "shut down domain", domid)
    node = f"{domain_path(domid)}/control/shutdown"
    if not host.store.exists(node):
        raise XentoolError(
            "shut down domain",
            domid,
            "it has no control/shutdown node: no toolstack set it up, or it removed the node itself",
            hint=f"`xentool destroy {domid}` stops it without asking",
        )
    host.store.write(node, "poweroff")


def wait_until_stopped(host: Host, domid: DomId, timeout_seconds: float | None = None) -> int | None:
    """Wait until the domain has shut down (its reason) or is gone (None).

    Raises:
        TimedOutError: it still runs.
    """
    with host.store.watch(RELEASE_WATCH, "release") as watch:
        for _event in watch.events(timeout_seconds):
            try:
                info = host.hypercalls.domain_info(domid)
            except NotFoundError:
                return None
            if info.dying:
                continue
            if info.shutdown_reason is not None:
                return int(info.shutdown_reason)
    raise TimedOutError(
        "shut down domain",
        domid,
        f"it still runs after {timeout_seconds:g} s",
        hint=f"is its kernel listening? `xentool console {domid}` shows; `xentool destroy {domid}` stops it",
    )
