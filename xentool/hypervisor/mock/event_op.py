"""HYPERVISOR_event_channel_op.

Source: xen/common/event_channel.c (do_event_channel_op); public/event_channel.h.
"""

from __future__ import annotations

import errno

from xentool.abi import event_channel as abi
from xentool.abi.xen import DOMID_SELF
from xentool.hypervisor.mock import events
from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.xen import MockXen

_STATUS = {
    events.FREE: abi.EVTCHNSTAT_closed,
    events.RESERVED: abi.EVTCHNSTAT_closed,
    events.UNBOUND: abi.EVTCHNSTAT_unbound,
    events.INTERDOMAIN: abi.EVTCHNSTAT_interdomain,
    events.VIRQ: abi.EVTCHNSTAT_virq,
    events.IPI: abi.EVTCHNSTAT_ipi,
}


def event_channel_op(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    command, address = arguments[0], arguments[1]
    operation = _OPERATIONS.get(command)
    if operation is None:
        return -errno.ENOSYS
    operation(xen, arena, address)
    return 0


def _domid(number: int) -> int:
    return 0 if number == DOMID_SELF else number


def _alloc_unbound(xen: MockXen, arena: Arena, address: int) -> None:
    layout = abi.evtchn_alloc_unbound
    view = arena.memory(address, layout.size)
    domain = xen.domains.get(_domid(layout.get(view, "dom")))
    if domain.dying:
        raise Refused(errno.EINVAL)
    port = xen.events.alloc_unbound(domain.domid, _domid(layout.get(view, "remote_dom")))
    layout.pack_into(view, port=port)


def _bind_interdomain(xen: MockXen, arena: Arena, address: int) -> None:
    layout = abi.evtchn_bind_interdomain
    view = arena.memory(address, layout.size)
    remote = _domid(layout.get(view, "remote_dom"))
    port = xen.events.bind_interdomain(0, remote, layout.get(view, "remote_port"))
    layout.pack_into(view, local_port=port)


def _bind_virq(xen: MockXen, arena: Arena, address: int) -> None:
    layout = abi.evtchn_bind_virq
    view = arena.memory(address, layout.size)
    layout.pack_into(view, port=xen.bind_virq(0, layout.get(view, "virq"), layout.get(view, "vcpu")))


def _close(xen: MockXen, arena: Arena, address: int) -> None:
    view = arena.memory(address, abi.evtchn_close.size)
    xen.events.close(0, abi.evtchn_close.get(view, "port"))


def _send(xen: MockXen, arena: Arena, address: int) -> None:
    view = arena.memory(address, abi.evtchn_send.size)
    xen.events.send(0, abi.evtchn_send.get(view, "port"))


def _status(xen: MockXen, arena: Arena, address: int) -> None:
    layout = abi.evtchn_status
    view = arena.memory(address, layout.size)
    domid = _domid(layout.get(view, "dom"))
    channel = xen.events.of(domid).at(layout.get(view, "port"))
    layout.pack_into(view, status=_STATUS[channel.state], vcpu=channel.vcpu)
    if channel.state == events.UNBOUND:
        layout.pack_into(view, unbound_dom=channel.remote)
    elif channel.state == events.INTERDOMAIN:
        layout.pack_into(view, interdomain_dom=channel.remote, interdomain_port=channel.remote_port)
    elif channel.state == events.VIRQ:
        layout.pack_into(view, virq=channel.virq)


def _reset(xen: MockXen, arena: Arena, address: int) -> None:
    view = arena.memory(address, abi.evtchn_reset.size)
    domain = xen.domains.get(_domid(abi.evtchn_reset.get(view, "dom")))
    if domain.domid and not domain.pause_count:
        raise Refused(errno.EINVAL)
    xen.events.reset(domain.domid)


_OPERATIONS: dict[int, Callable[[MockXen, Arena, int], None]] = {
    abi.EVTCHNOP_alloc_unbound: _alloc_unbound,
    abi.EVTCHNOP_bind_interdomain: _bind_interdomain,
    abi.EVTCHNOP_bind_virq: _bind_virq,
    abi.EVTCHNOP_close: _close,
    abi.EVTCHNOP_send: _send,
    abi.EVTCHNOP_status: _status,
    abi.EVTCHNOP_reset: _reset,
}
