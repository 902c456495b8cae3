"""Event channels: offered, bound, heard, taken down."""

from __future__ import annotations

import errno
import select
from typing import TYPE_CHECKING

from tests.contract.guests import NOBODY, errno_of
from xentool.abi.event_channel import EVTCHNSTAT_closed, EVTCHNSTAT_interdomain, EVTCHNSTAT_unbound
from xentool.units import DomId, Port

if TYPE_CHECKING:
    from tests.contract.guests import Guests
    from xentool.hypervisor.calls import Hypercalls
    from xentool.hypervisor.port import EventChannels, Hypervisor

DOMAIN_0 = DomId(0)


def _is_pending(channels: EventChannels, seconds: float = 60) -> bool:
    return bool(select.select([channels.fileno()], [], [], seconds)[0])


def test_a_port_is_offered_and_bound(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    port = xen.alloc_unbound(domid, DOMAIN_0)
    assert port > 0
    assert xen.alloc_unbound(domid, DOMAIN_0) == port + 1
    assert xen.port_status(domid, port) == (EVTCHNSTAT_unbound, DOMAIN_0)
    with xen.gate.event_channels() as channels:
        mine = channels.bind_interdomain(domid, port)
        assert xen.port_status(domid, port) == (EVTCHNSTAT_interdomain, DOMAIN_0)
        assert xen.port_status(DOMAIN_0, mine) == (EVTCHNSTAT_interdomain, domid)
        channels.notify(mine)
        assert errno_of(lambda: channels.bind_interdomain(domid, port)) == errno.EINVAL, "it is bound"
        channels.unbind(mine)
    assert xen.port_status(domid, port) == (EVTCHNSTAT_unbound, DOMAIN_0)


def test_ports_go_with_their_handle(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    port = xen.alloc_unbound(domid, DOMAIN_0)
    with xen.gate.event_channels() as channels:
        channels.bind_interdomain(domid, port)
    assert xen.port_status(domid, port) == (EVTCHNSTAT_unbound, DOMAIN_0)


def test_the_other_end_goes_with_its_domain(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    port = xen.alloc_unbound(domid, DOMAIN_0)
    with xen.gate.event_channels() as channels:
        mine = channels.bind_interdomain(domid, port)
        xen.destroy_domain(domid)
        assert xen.port_status(DOMAIN_0, mine) == (EVTCHNSTAT_unbound, domid)
        channels.unbind(mine)
        assert xen.port_status(DOMAIN_0, mine) == (EVTCHNSTAT_closed, None)


def test_ports_that_are_not_for_us(xen: Hypercalls, guests: Guests) -> None:
    one, other = guests.build().domid, guests.build().domid
    port = xen.alloc_unbound(one, other)
    with xen.gate.event_channels() as channels:
        assert errno_of(lambda: channels.bind_interdomain(one, port)) == errno.EINVAL
        assert errno_of(lambda: channels.bind_interdomain(one, Port(1000))) == errno.EINVAL
        assert errno_of(lambda: channels.bind_interdomain(NOBODY, Port(1))) == errno.ESRCH
        assert errno_of(lambda: channels.notify(Port(900))) == errno.ENOTCONN
        assert errno_of(lambda: channels.unbind(Port(900))) == errno.ENOTCONN


def test_no_more_ports_than_was_said(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create(max_evtchn_port=3)
    xen.max_vcpus(domid, 1)
    assert [xen.alloc_unbound(domid, DOMAIN_0) for _ in range(3)] == [1, 2, 3]
    assert errno_of(lambda: xen.alloc_unbound(domid, DOMAIN_0)) == errno.ENOSPC


def test_a_domain_without_vcpus_has_ports(xen: Hypercalls, guests: Guests) -> None:
    assert xen.alloc_unbound(guests.create(), DOMAIN_0) == 1


def test_events_arrive(gate: Hypervisor) -> None:
    """Domain-0 with itself, over two handles."""
    with gate.event_channels() as server, gate.event_channels() as client:
        offered = server.alloc_unbound(DOMAIN_0)
        assert not _is_pending(server, 0)
        bound = client.bind_interdomain(DOMAIN_0, offered)
        for _ in range(3):
            client.notify(bound)
            assert _is_pending(server)
            assert server.pending() == offered
            assert not _is_pending(server, 0.05)
            server.unmask(offered)
        assert not _is_pending(server, 0.05)


def test_masked_events_wait(gate: Hypervisor) -> None:
    with gate.event_channels() as server, gate.event_channels() as client:
        offered = server.alloc_unbound(DOMAIN_0)
        bound = client.bind_interdomain(DOMAIN_0, offered)
        client.notify(bound)
        assert server.pending() == offered
        client.notify(bound)
        client.notify(bound)
        assert not _is_pending(server, 0.05), "it is masked until unmask"
        server.unmask(offered)
        assert _is_pending(server)
        assert server.pending() == offered
        server.unmask(offered)
        assert not _is_pending(server, 0.05), "several events are one"


def test_virqs(gate: Hypervisor) -> None:
    with gate.event_channels() as channels:
        assert errno_of(lambda: channels.bind_virq(99)) == errno.EINVAL
