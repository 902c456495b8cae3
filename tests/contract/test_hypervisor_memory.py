"""Memory: populated, claimed, mapped, given back."""

from __future__ import annotations

import errno
from array import array
from typing import TYPE_CHECKING

import pytest

from tests.contract.guests import NOBODY, errno_of
from xentool.abi.grant_table import (
    GNTST_bad_domain,
    GTF_permit_access,
    GTF_reading,
    GTF_writing,
    gnttab_setup_table,
    grant_entry_v1,
)
from xentool.abi.memory import XENMEM_resource_grant_table
from xentool.errors import NoMemoryError, NotFoundError
from xentool.units import PAGE_SIZE, DomId

if TYPE_CHECKING:
    from tests.contract.guests import Guests
    from xentool.hypervisor.calls import Hypercalls
    from xentool.hypervisor.port import Hypervisor

DOMAIN_0 = DomId(0)


@pytest.mark.parametrize("order", [0, 1, 4, 9])
def test_extents_are_whole_and_aligned(xen: Hypercalls, guests: Guests, order: int) -> None:
    domid = guests.create()
    pfns = array("Q", range(0, 4 << order, 1 << order))
    mfns = xen.populate_physmap(domid, pfns, order)
    assert len(set(mfns)) == 4
    assert all(mfn % (1 << order) == 0 for mfn in mfns)
    frames = {mfn + page for mfn in mfns for page in range(1 << order)}
    assert len(frames) == 4 << order
    assert xen.domain_info(domid).tot_pages == 4 << order


def test_nothing_asked_nothing_given(xen: Hypercalls, guests: Guests) -> None:
    assert xen.populate_physmap(guests.create(), array("Q"), 0) == array("Q")


def test_no_more_than_max_mem(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create()
    xen.max_mem(domid, 64)
    assert len(xen.populate_physmap(domid, array("Q", range(20)), 0)) == 16
    assert xen.domain_info(domid).tot_pages == 16
    assert len(xen.populate_physmap(domid, array("Q", [20]), 0)) == 0
    xen.max_mem(domid, 4 << 10)
    assert len(xen.populate_physmap(domid, array("Q", [512, 1024, 1536]), 9)) == 1


def test_where_there_is_no_domain_there_is_no_memory(xen: Hypercalls) -> None:
    """Xen does not say why."""
    assert len(xen.populate_physmap(NOBODY, array("Q", [0]), 0)) == 0
    assert xen.decrease_reservation(NOBODY, array("Q", [0])) == 0


def test_an_order_that_is_too_large(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create()
    xen.max_mem(domid, 1 << 40)
    assert len(xen.populate_physmap(domid, array("Q", [0]), 30)) == 0


def test_many_extents_in_several_calls(
    xen: Hypercalls, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xentool.hypervisor.calls import memory

    monkeypatch.setattr(memory, "EXTENTS_AT_ONCE", 100)
    domid = guests.create()
    mfns = xen.populate_physmap(domid, array("Q", range(1000)), 0)
    assert len(set(mfns)) == 1000
    xen.max_mem(domid, 1150 * 4)
    assert len(xen.populate_physmap(domid, array("Q", range(1000, 1300)), 0)) == 150


def test_memory_is_given_back(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(8)
    assert xen.decrease_reservation(guest.domid, guest.p2m[4:6]) == 2
    assert xen.domain_info(guest.domid).tot_pages == 6
    assert xen.decrease_reservation(guest.domid, guest.p2m[4:6]) == 0, "they are its no more"
    assert xen.domain_info(guest.domid).tot_pages == 6


def test_claims(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create()
    claimed = xen.physinfo().outstanding_pages
    xen.claim_pages(domid, 1000)
    assert xen.domain_info(domid).outstanding_pages == 1000
    # Not what is available: Xen gives the last pages of domains that are gone back in its own time.
    assert xen.physinfo().outstanding_pages == claimed + 1000
    assert errno_of(lambda: xen.claim_pages(domid, 1001)) == errno.EINVAL
    assert len(xen.populate_physmap(domid, array("Q", range(600)), 0)) == 600
    assert xen.domain_info(domid).outstanding_pages == 400
    xen.claim_pages(domid, 0)
    assert xen.domain_info(domid).outstanding_pages == 0
    assert errno_of(lambda: xen.claim_pages(domid, 600)) == errno.EINVAL, "it has as many"
    assert errno_of(lambda: xen.claim_pages(domid, 4097)) == errno.EINVAL, "it may not have as many"
    xen.max_mem(domid, 1 << 40)
    with pytest.raises(NoMemoryError):
        xen.claim_pages(domid, 1 << 30)
    assert errno_of(lambda: xen.claim_pages(domid, 1 << 30)) == errno.ENOMEM
    assert errno_of(lambda: xen.claim_pages(NOBODY, 1)) == errno.EINVAL
    xen.claim_pages(domid, 700)


def test_a_claim_is_kept_from_others(xen: Hypercalls, guests: Guests) -> None:
    first, second = guests.create(), guests.create()
    xen.max_mem(first, 1 << 40)
    xen.max_mem(second, 1 << 40)
    xen.claim_pages(first, xen.physinfo().available_pages - 256)
    assert errno_of(lambda: xen.claim_pages(second, 1 << 12)) == errno.ENOMEM
    got = xen.populate_physmap(second, array("Q", range(0, 4096, 512)), 9)
    assert len(got) == 0, "what is claimed is not free"
    assert len(xen.populate_physmap(first, array("Q", [0]), 9)) == 1


def test_what_is_written_is_read_back(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(8)
    with xen.gate.map_frames(guest.domid, array("Q", reversed(guest.p2m))) as mapping:
        assert mapping.view.format == "B"
        assert len(mapping.view) == 8 * PAGE_SIZE
        for page in range(8):
            mapping.view[page * PAGE_SIZE] = page + 1
            mapping.view[(page + 1) * PAGE_SIZE - 1] = 0xAA
    for page in range(8):
        content = guest.read(page)
        assert (content[0], content[-1]) == (8 - page, 0xAA)


def test_a_frame_can_be_mapped_twice(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(2)
    frames = array("Q", [guest.mfn(0), guest.mfn(0)])
    with xen.gate.map_frames(guest.domid, frames) as mapping:
        mapping.view[5] = 77
        assert mapping.view[PAGE_SIZE + 5] == 77


def test_a_mapping_that_is_not_for_writing(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(1)
    with xen.gate.map_frames(guest.domid, guest.p2m, writable=False) as mapping:
        assert mapping.view.readonly
        with pytest.raises(TypeError):
            mapping.view[0] = 1


def test_a_mapping_that_is_closed(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(1)
    mapping = xen.gate.map_frames(guest.domid, guest.p2m)
    mapping.view[:4] = b"kept"
    whole, part = mapping.view, mapping.view[:4]
    mapping.close()
    mapping.close()
    with pytest.raises(ValueError, match="released"):
        whole[0]
    with pytest.raises(ValueError, match="released"):
        mapping.view[0]
    xen.destroy_domain(guest.domid)
    assert len(bytes(part)) == 4, "what a slice still shows is not said, but it can be read"
    part.release()
    with pytest.raises(NotFoundError):
        xen.domain_info(guest.domid)


def test_frames_of_another(xen: Hypercalls, guests: Guests) -> None:
    one, other = guests.build(2), guests.build(2)
    gate = xen.gate
    assert errno_of(lambda: gate.map_frames(one.domid, array("Q", [other.mfn(0)]))) == errno.EBUSY
    assert errno_of(lambda: gate.map_frames(one.domid, array("Q", [one.mfn(0), other.mfn(0)]))) == errno.EBUSY
    assert errno_of(lambda: gate.map_frames(one.domid, array("Q", [1 << 39]))) == errno.EPERM
    assert errno_of(lambda: gate.map_frames(NOBODY, array("Q", [one.mfn(0)]))) == errno.ESRCH
    assert one.read(0)


def test_the_memory_map(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create()
    xen.set_memory_map_limit(domid, 16 << 10)
    xen.set_memory_map(domid, [(0, 1 << 20, 1), (1 << 20, 1 << 20, 2)])
    xen.set_memory_map(domid, [])


def test_hypercall_pages(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(4)
    xen.hypercall_init(guest.domid, guest.mfn(2))
    code = guest.read(2)
    assert code[:32] != code[32:64], "each call has its own 32 bytes"
    assert errno_of(lambda: xen.hypercall_init(guest.domid, guests.build(1).mfn(0))) == errno.EINVAL


def test_the_shared_info_page(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(1)
    frame = xen.domain_info(guest.domid).shared_info_frame
    assert frame not in guest.p2m
    with xen.gate.map_frames(guest.domid, array("Q", [frame])) as mapping:
        mapping.view[1] = 1
    with xen.gate.map_frames(guest.domid, array("Q", [frame]), writable=False) as mapping:
        assert mapping.view[1] == 1


def test_grant_tables(xen: Hypercalls, guests: Guests) -> None:
    """Domain-0 writes a grant into the guest's table, as a builder does, and maps what it grants."""
    guest = guests.build(4)
    guest.write(1, b"granted")
    entry = grant_entry_v1.pack(flags=GTF_permit_access, domid=0, frame=guest.mfn(1))
    with xen.map_grant_table(guest.domid) as table:
        assert len(table.view) == PAGE_SIZE
        assert not any(table.view)
        table.view[8 * 8 : 9 * 8] = entry
        with xen.gate.map_grants(guest.domid, array("I", [8])) as mapping:
            assert bytes(mapping.view[:7]) == b"granted"
            mapping.view[0] = ord("G")
            flags = grant_entry_v1.get(table.view, "flags", 8 * 8)
            assert flags == GTF_permit_access | GTF_reading | GTF_writing
        assert grant_entry_v1.get(table.view, "flags", 8 * 8) == GTF_permit_access
        assert errno_of(lambda: xen.gate.map_grants(guest.domid, array("I", [9]))) == errno.EINVAL
        assert errno_of(lambda: xen.gate.map_grants(NOBODY, array("I", [8]))) == errno.EINVAL
    assert guest.read(1)[:7] == b"Granted"


def test_grant_tables_by_the_old_way(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(1)
    frames = xen.setup_grant_table(guest.domid, 2)
    assert len(set(frames)) == 2
    with xen.map_grant_table(guest.domid) as table:
        table.view[0] = 9
    with xen.gate.map_frames(guest.domid, frames) as mapping:
        assert mapping.view[0] == 9
        mapping.view[0] = 0
    with pytest.raises(NotFoundError):
        xen.setup_grant_table(NOBODY, 1)
    assert gnttab_setup_table.get(xen.scratch().view, "status") == GNTST_bad_domain


def test_resources(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(1)
    gate = xen.gate

    def ask(domid: DomId, kind: int = XENMEM_resource_grant_table, index: int = 0, count: int = 1) -> int:
        return errno_of(lambda: gate.map_resource(domid, kind, index, 0, count))

    assert ask(NOBODY) == errno.ESRCH
    # Where Xen says EINVAL, old libraries take it for a kernel that knows no resources.
    assert ask(guest.domid, kind=99) in (errno.EINVAL, errno.EOPNOTSUPP)
    assert ask(guest.domid, index=9) == errno.EINVAL
    assert ask(guest.domid, count=1 << 16) == errno.EINVAL


def test_buffers_are_zeroed_and_their_own(gate: Hypervisor) -> None:
    with gate.buffer(1) as small, gate.buffer(PAGE_SIZE + 1) as large:
        assert len(small.view) >= 1
        assert len(large.view) > PAGE_SIZE
        assert small.address % PAGE_SIZE == large.address % PAGE_SIZE == 0
        small.view[:] = b"\xff" * len(small.view)
        assert not any(large.view)
        kept = small.view
    with gate.buffer(1) as again:
        assert not any(again.view)
    with pytest.raises(ValueError, match="released"):
        kept[0]


def test_what_is_closed_stays_closed(gate: Hypervisor, guests: Guests) -> None:
    buffer = gate.buffer(100)
    guests.destroy_all()
    gate.close()
    gate.close()
    buffer.close()
    with pytest.raises(ValueError, match="released"):
        buffer.view[0]
    with pytest.raises(OSError, match="closed"):
        gate.hypercall(17, 0, 0)
