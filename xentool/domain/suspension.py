"""A guest that was asked to suspend by a save that came to nothing.

The guest takes the request out of ``control/shutdown``, and suspends some time later. Whoever asked may be
gone by then, and a guest that suspends when nobody waits for it stays so. So a request that it has not taken
is withdrawn, and of one that it may have taken the outcome is waited for.

Source: libxl_dom_suspend.c (domain_suspend_common_pvcontrol_suspending); xen/include/public/io/xs_wire.h
(@releaseDomain); Linux, drivers/xen/manage.c (shutdown_handler).
"""

from __future__ import annotations

from xentool.abi.sched import SHUTDOWN_suspend
from xentool.devices.paths import domain_path
from xentool.units import uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from xentool.domain.host import Host
    from xentool.store.client import StoreClient
    from xentool.store.operations import Transaction
    from xentool.units import DomId

REQUEST = b"suspend"
SUSPENDS_WITHIN = 5.0
"""Seconds in which a guest that took the request suspends: Linux freezes its processes in some tenths."""


class Requests:
    """As a context: what is asked of a guest through its control node meanwhile."""

    def __init__(self, store: StoreClient, domid: DomId) -> None:
        self._store = store
        self._node = request_node(domid)

    def __enter__(self) -> Self:
        self._watch = self._store.watch(self._node)
        self._watch.next()  # which comes at once, and says nothing
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.__exit__(kind, error, trace)

    def came(self) -> bool:
        """Whether somebody wrote there, and the guest may have taken it."""
        self._store.exists(self._node)  # the answer comes after all events before it
        return self._watch.next(0) is not None


def request_node(domid: DomId) -> str:
    return f"{domain_path(domid)}/control/shutdown"


def is_suspended(host: Host, domid: DomId, uuid: str, wait_seconds: float = 0) -> bool:
    """Whether the domain of that number and uuid is suspended, once nobody's request can make it so later.

    A guest that may have taken a request is waited for, at most for `wait_seconds`.
    """
    reason = _reason(host, domid, uuid)
    if reason is not None or wait_seconds <= 0 or _withdrawn(host.store, domid):
        return reason == SHUTDOWN_suspend
    from xentool.domain.lifecycle import RELEASE_WATCH  # which what saves well need not load

    with host.store.watch(RELEASE_WATCH) as watch:
        for _event in watch.events(wait_seconds):
            reason = _reason(host, domid, uuid)
            if reason is not None:
                break
    return reason == SHUTDOWN_suspend


_GONE = -1


def _reason(host: Host, domid: DomId, uuid: str) -> int | None:
    """Why the domain has stopped; None: it runs. One that dies is gone: it does not go on, nor suspend."""
    for info in host.hypercalls.domain_infos():
        if info.domid == domid and info.handle == uuid_bytes(uuid) and not info.dying:
            return None if info.shutdown_reason is None else int(info.shutdown_reason)
    return _GONE


def _withdrawn(store: StoreClient, domid: DomId) -> bool:
    """Take back a request that the guest has not taken; whether there was one."""
    node = request_node(domid)

    def withdraw(tx: Transaction) -> bool:
        if tx.try_read(node) != REQUEST:
            return False
        tx.write(node, b"")
        return True

    return store.run_transaction(withdraw)
