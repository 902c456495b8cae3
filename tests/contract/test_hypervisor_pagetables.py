"""Page tables are validated, pinned, and from then on protected; and vcpus start on those alone."""

from __future__ import annotations

import errno
from array import array
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.contract.guests import LEAF, READ_ONLY, TABLE, errno_of
from xentool.abi.paging import PageFlag
from xentool.abi.vcpu import (
    FLAT_KERNEL_CS,
    FLAT_KERNEL_SS,
    USER_REGS,
    VGCF_IN_KERNEL,
    VGCF_online,
    cpu_user_regs,
    vcpu_guest_context,
)
from xentool.units import PAGE_SIZE, Mfn

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.guests import Guest, Guests
    from xentool.hypervisor.calls import Hypercalls

# Page 4 and up are plain memory; 0 to 3 are L4, L3, L2 and L1 (Guest.write_tables).
DATA = 4


@pytest.fixture
def guest(guests: Guests) -> Guest:
    guest = guests.build(12)
    with guest.xen.gate.map_frames(guest.domid, guest.p2m) as mapping:
        mapping.view[:] = bytes(12 * PAGE_SIZE)
    return guest


def test_sound_tables_are_pinned_and_protected(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables(
        {0: guest.entry(DATA, LEAF), 1: guest.entry(3, READ_ONLY), 2: guest.entry(0, READ_ONLY)}
    )
    guest.pin()
    for table in range(4):
        assert guest.read(table), "reading them is allowed"
        assert errno_of(partial(guest.write, table, b"")) == errno.EBUSY
    guest.write(DATA, b"plain memory")
    xen.unpin_table(guest.domid, guest.mfn(0))
    guest.write(0, b"free again")


def test_pinned_twice_or_never(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables({})
    assert errno_of(lambda: xen.unpin_table(guest.domid, guest.mfn(0))) == errno.EINVAL
    guest.pin()
    assert errno_of(guest.pin) == errno.EINVAL
    xen.unpin_table(guest.domid, guest.mfn(0))
    assert errno_of(lambda: xen.unpin_table(guest.domid, guest.mfn(0))) == errno.EINVAL


def test_a_pinned_domain_can_be_destroyed(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables({0: guest.entry(DATA, LEAF)})
    guest.pin()
    xen.destroy_domain(guest.domid)
    assert guest.domid not in [info.domid for info in xen.domain_infos()]


REFUSED: dict[str, tuple[Callable[[Guest], None], int]] = {
    "the L1 maps itself for writing": (lambda g: g.write_tables({0: g.entry(3, LEAF)}), errno.EBUSY),
    "the L1 maps the L4 for writing": (lambda g: g.write_tables({0: g.entry(0, LEAF)}), errno.EBUSY),
    "the L1 maps the L2 for writing": (lambda g: g.write_tables({0: g.entry(2, LEAF)}), errno.EBUSY),
    "a frame of Domain-0": (
        lambda g: g.write_tables({0: _domain_0_frame(g) * PAGE_SIZE | LEAF}),
        errno.EBUSY,
    ),
    "a frame that is not there": (lambda g: g.write_tables({0: (1 << 35) * PAGE_SIZE | LEAF}), errno.EPERM),
    "the L1 is its own L1, read-only": (lambda g: g.write_tables({}, l2=g.entry(2, TABLE)), errno.EINVAL),
    "the L2 names a frame that is not there": (
        lambda g: g.write_tables({}, l2=(1 << 35) * PAGE_SIZE | TABLE),
        errno.EINVAL,
    ),
    "an L2 that is a superpage": (
        lambda g: g.write_tables({}, l2=g.entry(3, TABLE | PageFlag.PSE)),
        errno.EINVAL,
    ),
    "an L3 that is a superpage": (
        lambda g: g.write_tables({}, l3=g.entry(2, TABLE | PageFlag.PSE)),
        errno.EINVAL,
    ),
    "the L4 is an L3 too": (lambda g: g.write_tables({}, l4=g.entry(0, TABLE)), errno.EINVAL),
    "a global L2 entry": (
        lambda g: g.write_tables({}, l2=g.entry(3, TABLE | PageFlag.GLOBAL)),
        errno.EINVAL,
    ),
    "reserved bits in an L4 entry": (
        lambda g: g.write_tables({}, l4=g.entry(1, TABLE | PageFlag.PSE)),
        errno.EINVAL,
    ),
}


def _domain_0_frame(guest: Guest) -> int:
    return guest.xen.domain_info(0).shared_info_frame  # type: ignore[arg-type]


@pytest.mark.parametrize("why", REFUSED)
def test_unsound_tables_are_refused(guest: Guest, why: str) -> None:
    write, number = REFUSED[why]
    write(guest)
    assert errno_of(guest.pin) == number
    # Nothing keeps a type of what was half validated.
    guest.write_tables({0: guest.entry(DATA, LEAF)})
    guest.pin()


def test_bits_that_software_may_use(guest: Guest) -> None:
    software = 0b111 << 9 | 0x7F << 52
    guest.write_tables({0: guest.entry(DATA, LEAF) | software})
    guest.pin()


def test_a_global_page_is_no_offence(guest: Guest) -> None:
    """Xen sets the bit itself on a guest's user pages."""
    guest.write_tables({0: guest.entry(DATA, LEAF | PageFlag.GLOBAL)})
    guest.pin()


def test_entries_that_are_not_present_may_say_anything(guest: Guest) -> None:
    guest.write_tables(dict.fromkeys(range(512), ~1 & (1 << 64) - 1))
    guest.pin()


def test_tables_cannot_be_pinned_while_somebody_may_write_to_them(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables({0: guest.entry(DATA, LEAF)})
    for table in range(4):
        with xen.gate.map_frames(guest.domid, array("Q", [guest.mfn(table)])):
            assert errno_of(guest.pin) == errno.EINVAL
    with xen.gate.map_frames(guest.domid, guest.p2m[:4], writable=False):
        guest.pin()


def test_only_frames_of_the_domain_can_be_pinned(xen: Hypercalls, guest: Guest, guests: Guests) -> None:
    other = guests.build(1)
    assert errno_of(lambda: xen.pin_l4_table(guest.domid, other.mfn(0))) == errno.EINVAL
    assert errno_of(lambda: xen.pin_l4_table(guest.domid, Mfn(1 << 35))) == errno.EINVAL


def test_a_table_that_is_another_kind_already(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables({0: guest.entry(DATA, LEAF)})
    guest.pin()
    assert errno_of(lambda: guest.pin(1)) == errno.EINVAL, "it is an L3"
    assert errno_of(lambda: guest.pin(DATA)) == errno.EINVAL, "it is mapped for writing"
    assert errno_of(lambda: xen.hypercall_init(guest.domid, guest.mfn(3))) == errno.EPERM


def _context(guest: Guest, cr3: int) -> bytearray:
    regs = cpu_user_regs.pack(
        rip=0xFFFFFFFF81000000, rsp=0xFFFFFFFF82000000, rsi=0xFFFFFFFF83000000, rflags=0x200,
        cs=FLAT_KERNEL_CS, ss=FLAT_KERNEL_SS,
    )  # fmt: skip
    context = bytearray(
        vcpu_guest_context.pack(
            flags=VGCF_IN_KERNEL | VGCF_online, user_regs=regs, kernel_ss=FLAT_KERNEL_SS,
            kernel_sp=0xFFFFFFFF82000000, ctrlreg=(0, 0, 0, cr3, 0, 0, 0, 0),
            debugreg=(0, 0, 0, 0, 0, 0, 0xFFFF0FF0, 0x400),
        )
    )  # fmt: skip
    assert len(regs) == 200
    return context


def test_a_vcpu_has_no_context_until_it_is_given_one(xen: Hypercalls, guest: Guest) -> None:
    assert errno_of(lambda: xen.vcpu_context(guest.domid, 0)) == errno.ENODATA
    assert errno_of(lambda: xen.vcpu_context(guest.domid, 1)) == errno.EINVAL
    assert errno_of(lambda: xen.set_vcpu_context(guest.domid, 1, bytes(_context(guest, 0)))) == errno.EINVAL


def test_a_context_comes_back(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables({0: guest.entry(DATA, LEAF)})
    guest.pin()
    cr3 = guest.mfn(0) * PAGE_SIZE
    xen.set_vcpu_context(guest.domid, 0, bytes(_context(guest, cr3)))
    assert xen.domain_info(guest.domid).nr_online_vcpus == 1
    assert xen.vcpu_info(guest.domid, 0).online
    back = xen.vcpu_context(guest.domid, 0)
    regs = cpu_user_regs.unpack_from(back, USER_REGS)
    assert regs["rip"] == 0xFFFFFFFF81000000
    assert regs["rsp"] == 0xFFFFFFFF82000000
    assert regs["rsi"] == 0xFFFFFFFF83000000
    assert (regs["cs"], regs["ss"]) == (FLAT_KERNEL_CS, FLAT_KERNEL_SS)
    assert regs["rflags"] & 0x200
    context = vcpu_guest_context.unpack_from(back)
    assert context["ctrlreg"][3] == cr3
    assert context["kernel_sp"] == 0xFFFFFFFF82000000
    assert context["kernel_ss"] == FLAT_KERNEL_SS
    assert context["flags"] & VGCF_online
    assert context["flags"] & VGCF_IN_KERNEL


def test_a_vcpu_holds_on_to_its_page_tables(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables({})
    guest.pin()
    xen.set_vcpu_context(guest.domid, 0, bytes(_context(guest, guest.mfn(0) * PAGE_SIZE)))
    xen.unpin_table(guest.domid, guest.mfn(0))
    assert errno_of(lambda: guest.write(0, b"")) == errno.EBUSY
    xen.destroy_domain(guest.domid)


def test_a_vcpu_may_start_on_sound_tables_that_are_not_pinned(xen: Hypercalls, guest: Guest) -> None:
    guest.write_tables({})
    xen.set_vcpu_context(guest.domid, 0, bytes(_context(guest, guest.mfn(0) * PAGE_SIZE)))
    assert errno_of(lambda: guest.write(0, b"")) == errno.EBUSY


BAD_CONTEXTS: dict[str, Callable[[Guest, bytearray], None]] = {
    "cr3 is an L3": lambda guest, context: _set_cr3(context, guest.mfn(1)),
    "cr3 is nobody's": lambda guest, context: _set_cr3(context, 1 << 35),
    "cr3 is Domain-0's": lambda guest, context: _set_cr3(context, _domain_0_frame(guest)),
    "a GDT in a page table": lambda guest, context: vcpu_guest_context.pack_into(
        context, gdt_frames=(guest.mfn(0), *[0] * 15), gdt_ents=512
    ),
    "a GDT too large": lambda guest, context: vcpu_guest_context.pack_into(context, gdt_ents=8192),
    "a GDT without frames": lambda guest, context: vcpu_guest_context.pack_into(context, gdt_ents=8),
    "an LDT too large": lambda guest, context: vcpu_guest_context.pack_into(context, ldt_ents=8193),
    "an address that is not canonical": lambda guest, context: cpu_user_regs.pack_into(
        context, USER_REGS, rip=1 << 60
    ),
}


def _set_cr3(context: bytearray, mfn: int) -> None:
    vcpu_guest_context.pack_into(context, ctrlreg=(0, 0, 0, mfn * PAGE_SIZE, 0, 0, 0, 0))


@pytest.mark.parametrize("why", BAD_CONTEXTS)
def test_contexts_that_xen_refuses(xen: Hypercalls, guest: Guest, why: str) -> None:
    guest.write_tables({})
    guest.pin()
    context = _context(guest, guest.mfn(0) * PAGE_SIZE)
    BAD_CONTEXTS[why](guest, context)
    assert errno_of(lambda: xen.set_vcpu_context(guest.domid, 0, bytes(context))) == errno.EINVAL
    assert not xen.vcpu_info(guest.domid, 0).online
