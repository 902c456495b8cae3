"""Event channels, grants and hypercall memory on the mock hypervisor."""

from __future__ import annotations

import errno
import select
from array import array
from collections.abc import Iterator

import pytest

from tests.support.mockguest import HandMade, errno_of
from xentool.abi.event_channel import EVTCHNSTAT_interdomain, EVTCHNSTAT_unbound
from xentool.abi.grant_table import GTF_permit_access, GTF_readonly
from xentool.abi.sched import SHUTDOWN_poweroff
from xentool.abi.xen import VIRQ_DOM_EXC
from xentool.errors import XenError
from xentool.hypervisor.calls import Hypercalls
from xentool.hypervisor.mock.hypervisor import MockHypervisor
from xentool.units import MIB, DomId, Port


@pytest.fixture
def hypervisor() -> Iterator[MockHypervisor]:
    with MockHypervisor(memory_bytes=256 * MIB, domain_0_bytes=64 * MIB) as made:
        yield made


@pytest.fixture
def guest(hypervisor: MockHypervisor) -> HandMade:
    return HandMade(Hypercalls(hypervisor))


def is_pending(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_a_bound_port_fires_once_and_is_masked(hypervisor: MockHypervisor, guest: HandMade) -> None:
    remote = guest.calls.alloc_unbound(guest.domid, DomId(0))
    assert guest.calls.port_status(guest.domid, remote) == (EVTCHNSTAT_unbound, 0)
    with hypervisor.event_channels() as events:
        port = events.bind_interdomain(guest.domid, remote)
        assert guest.calls.port_status(guest.domid, remote)[0] == EVTCHNSTAT_interdomain
        assert events.pending() == port  # what may have been sent before is made up for
        for _ in range(3):
            hypervisor.xen.events.send(guest.domid, remote)
        assert not is_pending(events.fileno())
        events.unmask(port)
        assert events.pending() == port
        events.unmask(port)
        assert not is_pending(events.fileno())
    assert guest.calls.port_status(guest.domid, remote)[0] == EVTCHNSTAT_unbound


def test_ports_that_are_not_for_us_are_refused(hypervisor: MockHypervisor, guest: HandMade) -> None:
    for_other = guest.calls.alloc_unbound(guest.domid, DomId(5))
    with hypervisor.event_channels() as events:
        for domid, port, number in (
            (guest.domid, for_other, errno.EINVAL),
            (guest.domid, Port(60), errno.EINVAL),
            (DomId(9), for_other, errno.ESRCH),
        ):
            assert errno_of(events.bind_interdomain, domid, port) == number
        assert errno_of(events.notify, Port(1)) == errno.ENOTCONN


def test_a_domain_has_no_more_ports_than_it_may(guest: HandMade) -> None:
    domid = guest.calls.create_domain(bytes(16), max_evtchn_port=4)
    ports = [guest.calls.alloc_unbound(domid, DomId(0)) for _ in range(4)]
    assert ports == [1, 2, 3, 4]
    with pytest.raises(XenError) as caught:
        guest.calls.alloc_unbound(domid, DomId(0))
    assert caught.value.errno == errno.ENOSPC


def test_domain_0_is_told_of_a_shutdown(hypervisor: MockHypervisor, guest: HandMade) -> None:
    with hypervisor.event_channels() as events:
        port = events.bind_virq(VIRQ_DOM_EXC)
        assert errno_of(events.bind_virq, VIRQ_DOM_EXC) == errno.EEXIST
        guest.calls.shutdown_domain(guest.domid, SHUTDOWN_poweroff)
        assert events.pending() == port


def grant(
    hypervisor: MockHypervisor, guest: HandMade, reference: int, flags: int, domid: int, mfn: int
) -> None:
    with guest.calls.map_grant_table(guest.domid) as table:
        entry = flags | domid << 16 | mfn << 32
        table.view[8 * reference : 8 * reference + 8] = entry.to_bytes(8, "little")


def test_grants_are_checked_when_they_are_mapped(hypervisor: MockHypervisor, guest: HandMade) -> None:
    frame = guest.frames[10]
    grant(hypervisor, guest, 0, GTF_permit_access, 0, frame)
    grant(hypervisor, guest, 1, GTF_permit_access, 3, frame)
    grant(hypervisor, guest, 2, 0, 0, frame)
    grant(hypervisor, guest, 3, GTF_permit_access | GTF_readonly, 0, frame)
    grant(hypervisor, guest, 4, GTF_permit_access, 0, 0x2000)
    with hypervisor.map_grants(guest.domid, array("I", [0])) as mapping:
        mapping.view[:4] = b"moin"
        assert guest.peek(10, 0) & 0xFFFFFFFF == int.from_bytes(b"moin", "little")
    hypervisor.map_grants(guest.domid, array("I", [3]), writable=False).close()
    for reference in (1, 2, 3, 4, 600):
        assert errno_of(hypervisor.map_grants, guest.domid, array("I", [reference])) == errno.EINVAL
    assert hypervisor.session.open_mappings == 0


def test_a_mapped_grant_shows_in_its_entry(hypervisor: MockHypervisor, guest: HandMade) -> None:
    grant(hypervisor, guest, 0, GTF_permit_access, 0, guest.frames[10])
    table = hypervisor.xen.memory.table(hypervisor.xen.domains.get(guest.domid).grants.frames[0])
    with hypervisor.map_grants(guest.domid, array("I", [0])):
        assert table[0] & 0xFFFF == GTF_permit_access | 0b11000
    assert table[0] & 0xFFFF == GTF_permit_access


def test_a_session_that_ends_gives_everything_back(hypervisor: MockHypervisor, guest: HandMade) -> None:
    remote = guest.calls.alloc_unbound(guest.domid, DomId(0))
    other = MockHypervisor(hypervisor.xen)
    other.map_frames(guest.domid, guest.frames[:4])
    events = other.event_channels()
    events.bind_interdomain(guest.domid, remote)
    other.close()
    events.close()
    assert guest.calls.port_status(guest.domid, remote)[0] == EVTCHNSTAT_unbound
    assert not any(hypervisor.xen.memory.refs[mfn] for mfn in guest.frames[:4])
    assert len(hypervisor.xen.sessions) == 1


def test_frames_in_any_order_are_mapped_in_that_order(hypervisor: MockHypervisor, guest: HandMade) -> None:
    for pfn in range(6):
        guest.poke(pfn, 0, pfn)
    order = [4, 1, 2, 5, 0, 0]
    with hypervisor.map_frames(guest.domid, array("Q", [guest.frames[pfn] for pfn in order])) as mapping:
        assert [mapping.view[4096 * at] for at in range(6)] == order
    with hypervisor.map_frames(guest.domid, guest.frames[:2], writable=False) as mapping:
        assert mapping.view.readonly


def test_memory_that_was_given_back_faults(hypervisor: MockHypervisor) -> None:
    buffer = hypervisor.buffer(4096)
    address = buffer.address
    buffer.close()
    buffer.close()
    assert errno_of(hypervisor.hypercall, 36, address) == errno.EFAULT
    assert hypervisor.arena.pages_in_use() == 0


def test_hypercalls_that_are_not_played_are_not_there(hypervisor: MockHypervisor) -> None:
    assert errno_of(hypervisor.hypercall, 60) == errno.ENOSYS
