"""Page tables on the mock hypervisor: what may be pinned, and how what may not is refused."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Callable, Iterator

import pytest

from tests.support.mockguest import READ_ONLY, TABLE, WRITABLE, HandMade, errno_of
from xentool.hypervisor.calls import Hypercalls
from xentool.hypervisor.mock.hypervisor import MockHypervisor
from xentool.hypervisor.mock.mmu import FIRST_XEN_SLOT
from xentool.units import MIB, Mfn

GUEST_KERNEL = 1 << 52


@pytest.fixture
def hypervisor() -> Iterator[MockHypervisor]:
    with MockHypervisor(memory_bytes=256 * MIB, domain_0_bytes=64 * MIB) as made:
        yield made


@pytest.fixture
def guest(hypervisor: MockHypervisor) -> HandMade:
    return HandMade(Hypercalls(hypervisor))


def types_of(hypervisor: MockHypervisor) -> tuple[bytes, bytes]:
    memory = hypervisor.xen.memory
    return memory.kind.tobytes(), memory.count.tobytes()


def test_good_tables_are_pinned_once(guest: HandMade) -> None:
    guest.pin()
    assert errno_of(guest.pin) == errno.EINVAL


def test_unpinning_lets_go_of_everything(hypervisor: MockHypervisor, guest: HandMade) -> None:
    before = types_of(hypervisor)
    guest.pin()
    assert types_of(hypervisor) != before
    guest.calls.unpin_table(guest.domid, Mfn(guest.frames[guest.l4]))
    assert types_of(hypervisor) == before
    assert errno_of(guest.calls.unpin_table, guest.domid, Mfn(guest.frames[guest.l4])) == errno.EINVAL


def test_xen_marks_what_it_has_validated(guest: HandMade) -> None:
    guest.pin()
    assert guest.peek(guest.l1s[0], 0) == guest.frames[0] << 12 | WRITABLE | GUEST_KERNEL | 4
    assert guest.peek(guest.l4, FIRST_XEN_SLOT + 1) & 1


def test_tables_are_no_more_mapped_writable(guest: HandMade) -> None:
    guest.pin()
    for pfn in sorted(guest.tables):
        assert errno_of(guest.gate.map_frames, guest.domid, guest.frames[pfn : pfn + 1]) == errno.EBUSY
        guest.gate.map_frames(guest.domid, guest.frames[pfn : pfn + 1], writable=False).close()


def test_tables_that_are_mapped_writable_are_not_pinned(guest: HandMade) -> None:
    for pfn in sorted(guest.tables):
        with guest.gate.map_frames(guest.domid, guest.frames[pfn : pfn + 1]):
            assert errno_of(guest.pin) == errno.EINVAL
    guest.pin()


def _own(guest: HandMade, pfn: int) -> int:
    return guest.frames[pfn] << 12


BAD_ENTRIES: dict[str, tuple[Callable[[HandMade], tuple[int, int, int]], int]] = {
    "an L1 maps another domain's frame": (lambda g: (g.l1s[0], 5, 0x2000 << 12 | READ_ONLY), errno.EBUSY),
    "an L1 maps I/O": (lambda g: (g.l1s[0], 5, 0xB8 << 12 | READ_ONLY), errno.EPERM),
    "an L1 maps beyond the RAM": (lambda g: (g.l1s[0], 5, 1 << 44 | READ_ONLY), errno.EPERM),
    "an L1 maps no frame at all": (lambda g: (g.l1s[0], 5, (1 << 52) - 4096 | READ_ONLY), errno.EINVAL),
    "an L1 maps uncached": (lambda g: (g.l1s[0], 5, _own(g, 5) | READ_ONLY | 0x10), errno.EINVAL),
    # Its L1 is validated already when it comes to the entry; the other order is in a test of its own.
    "the last L1 maps the first one writable": (
        lambda g: (g.l1s[-1], 7, _own(g, g.l1s[0]) | WRITABLE),
        errno.EBUSY,
    ),
    "an L1 maps itself writable": (lambda g: (g.l1s[0], 7, _own(g, g.l1s[0]) | WRITABLE), errno.EBUSY),
    "the first L1 maps the last one writable": (
        lambda g: (g.l1s[0], 7, _own(g, g.l1s[-1]) | WRITABLE),
        errno.EINVAL,
    ),
    "an L2 has a superpage": (lambda g: (g.l2, 5, g.frames[0] << 12 | TABLE | 0x80), errno.EINVAL),
    "an L2 names another domain's frame": (lambda g: (g.l2, 5, 0x2000 << 12 | TABLE), errno.EINVAL),
    "an L2 names the L3": (lambda g: (g.l2, 5, _own(g, g.l3) | TABLE), errno.EINVAL),
    "an L2 is global": (lambda g: (g.l2, 0, _own(g, g.l1s[0]) | TABLE | 0x100), errno.EINVAL),
    "an L3 names an L1": (lambda g: (g.l3, 1, _own(g, g.l1s[0]) | TABLE), errno.EINVAL),
    "an L4 names itself writable": (lambda g: (g.l4, 1, _own(g, g.l4) | TABLE), errno.EINVAL),
}


@pytest.mark.parametrize("what", BAD_ENTRIES)
def test_bad_tables_are_refused_and_nothing_is_counted(
    hypervisor: MockHypervisor, guest: HandMade, what: str
) -> None:
    place, number = BAD_ENTRIES[what]
    pfn, slot, word = place(guest)
    good = guest.peek(pfn, slot)
    before = types_of(hypervisor)
    guest.poke(pfn, slot, word)
    assert errno_of(guest.pin) == number
    assert types_of(hypervisor) == before
    guest.poke(pfn, slot, good)
    guest.pin()


def test_an_l4_may_name_itself_for_reading(guest: HandMade) -> None:
    guest.poke(guest.l4, 1, _own(guest, guest.l4) | 0x65)
    guest.pin()


def test_xens_slots_are_not_looked_at(guest: HandMade) -> None:
    guest.poke(guest.l4, FIRST_XEN_SLOT + 3, 0xFFFF_FFFF_FFFF_FFFF)
    guest.pin()


def test_only_frames_of_the_domain_can_be_mapped(hypervisor: MockHypervisor, guest: HandMade) -> None:
    other = HandMade(guest.calls)
    for frames, number in (
        (array("Q", [guest.frames[0], other.frames[0]]), errno.EBUSY),
        (array("Q", [1 << 30]), errno.EPERM),
        (array("Q", [(1 << 40) - 1]), errno.EINVAL),
    ):
        assert errno_of(hypervisor.map_frames, guest.domid, frames) == number
    assert hypervisor.session.open_mappings == 0


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"cr3": 0}, errno.EINVAL),
        ({"cr3": 0x3000 << 12}, errno.EINVAL),
        ({"rip": 1 << 47}, errno.EINVAL),
        ({"kernel_sp": 1 << 60}, errno.EINVAL),
        ({"ldt_base": 123}, errno.EINVAL),
        ({"ldt_base": 0xFFFF_8000_0000_0000}, errno.EINVAL),
        ({"gdt_ents": 17 * 512}, errno.EINVAL),
        ({"gdt_ents": 1}, errno.EINVAL),  # whose frame, 0, is not the domain's
        ({"flags": 1 << 5}, errno.EINVAL),  # user mode, without page tables for it
        ({"vm_assist": 1 << 31}, errno.EINVAL),
    ],
)
def test_bad_contexts_are_refused(
    hypervisor: MockHypervisor, guest: HandMade, fields: dict[str, int], number: int
) -> None:
    guest.pin()
    before = types_of(hypervisor)
    assert errno_of(guest.calls.set_vcpu_context, guest.domid, 0, guest.context(**fields)) == number
    assert types_of(hypervisor) == before
    assert errno_of(guest.calls.vcpu_context, guest.domid, 0) == errno.ENODATA


def test_a_context_holds_its_page_tables(guest: HandMade) -> None:
    guest.calls.set_vcpu_context(guest.domid, 0, guest.context())
    l4 = guest.frames[guest.l4 : guest.l4 + 1]
    assert errno_of(guest.gate.map_frames, guest.domid, l4) == errno.EBUSY
    assert guest.calls.domain_info(guest.domid).nr_online_vcpus == 1
    other = guest.context(cr3=guest.frames[guest.l3] << 12)
    assert errno_of(guest.calls.set_vcpu_context, guest.domid, 0, other) == errno.EOPNOTSUPP


def test_a_hypercall_page_needs_a_data_frame(guest: HandMade) -> None:
    guest.pin()
    guest.calls.hypercall_init(guest.domid, Mfn(guest.frames[9]))
    assert guest.peek(9, 0) & 0xFFFF == 0x4151  # push %rcx; push %r11
    call = guest.calls.hypercall_init
    assert errno_of(call, guest.domid, Mfn(guest.frames[guest.l4])) == errno.EPERM
    assert errno_of(call, guest.domid, Mfn(0x2000)) == errno.EINVAL
