"""CPU policies: what CPUID and two MSRs say to guests, as arrays of leaves and entries.

The policy here is of a plain x86-64 CPU. What a toolstack sets is merged leaf by
leaf and checked as Xen checks it: leaves that Xen knows, and no higher limits than
the host's.

Source: xen/lib/x86/cpuid.c, msr.c, policy.c; xen/include/xen/lib/x86/cpu-policy.h.
"""

from __future__ import annotations

import errno

from xentool.abi.cpu_policy import XEN_CPUID_NO_SUBLEAF, xen_cpuid_leaf, xen_msr_entry
from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.arena import Arena

    Leaves = dict[tuple[int, int], tuple[int, int, int, int]]

_BASIC, _EXTENDED = 14, 0x22  # CPUID_GUEST_NR_BASIC, _EXTD
_SUBLEAVES = {0x4: 6, 0x7: 3, 0xB: 2, 0xD: 63}
MAX_LEAVES = _BASIC + sum(_SUBLEAVES.values()) - len(_SUBLEAVES) + _EXTENDED + 2
MAX_MSRS = 2
_MSR_PLATFORM_INFO, _MSR_ARCH_CAPS = 0xCE, 0x10A
_NONE = XEN_CPUID_NO_SUBLEAF


class PolicyError(Exception):
    """A policy is refused: the errno, and the leaf, subleaf and MSR that are to blame (~0: none)."""

    def __init__(self, number: int, leaf: int = _NONE, subleaf: int = _NONE, msr: int = _NONE) -> None:
        super().__init__(number)
        self.errno, self.leaf, self.subleaf, self.msr = number, leaf, subleaf, msr


def host_leaves() -> Leaves:
    """The host's leaves, in the order in which Xen lists them."""
    name = b"xentool mock CPU".ljust(48, b"\0")
    brand = [int.from_bytes(name[at : at + 4], "little") for at in range(0, 48, 4)]
    leaves: Leaves = {
        (0x0, _NONE): (0xD, 0x756E6547, 0x6C65746E, 0x49656E69),  # GenuineIntel
        (0x1, _NONE): (0x000306C3, 0x00010800, 0x80202001, 0x0789CBF5),
        (0x2, _NONE): (0x00000001, 0, 0, 0),
        (0x3, _NONE): (0, 0, 0, 0),
        (0x4, 0): (0x1C000121, 0x01C0003F, 0x3F, 0),
        (0x4, 1): (0, 0, 0, 0),
        (0x5, _NONE): (0, 0, 0, 0),
        (0x6, _NONE): (0, 0, 0, 0),
        (0x7, 0): (0, 0x00000200, 0, 0),
        (0x8, _NONE): (0, 0, 0, 0),
        (0x9, _NONE): (0, 0, 0, 0),
        (0xA, _NONE): (0, 0, 0, 0),
        (0xB, 0): (0, 1, 0x100, 0),
        (0xB, 1): (0, 0, 1, 0),
        (0xC, _NONE): (0, 0, 0, 0),
        (0xD, 0): (0x3, 0x240, 0x240, 0),
        (0xD, 1): (0, 0, 0, 0),
        (0x40000000, _NONE): (0, 0, 0, 0),
        (0x40000100, _NONE): (0, 0, 0, 0),
        (0x80000000, _NONE): (0x80000008, 0x756E6547, 0x6C65746E, 0x49656E69),
        (0x80000001, _NONE): (0, 0, 0x00000001, 0x28100800),
        (0x80000005, _NONE): (0, 0, 0, 0),
        (0x80000006, _NONE): (0, 0, 0x01006040, 0),
        (0x80000007, _NONE): (0, 0, 0, 0x100),
        (0x80000008, _NONE): (0x3027, 0, 0, 0),
    }
    for at in range(3):
        words = brand[4 * at : 4 * at + 4]
        leaves[0x80000002 + at, _NONE] = (words[0], words[1], words[2], words[3])
    return dict(sorted(leaves.items()))


class Policy:
    """A policy: leaves and MSRs."""

    __slots__ = ("leaves", "msrs")

    def __init__(self, leaves: Leaves | None = None, msrs: dict[int, int] | None = None) -> None:
        self.leaves = host_leaves() if leaves is None else leaves
        self.msrs = {_MSR_PLATFORM_INFO: 1 << 31, _MSR_ARCH_CAPS: 0} if msrs is None else msrs

    def give(self, arena: Arena, leaves: int, leaf_room: int, msrs: int, msr_room: int) -> tuple[int, int]:
        """Copy it to the caller's arrays; how many there are. A null array asks for the most there can be.

        Raises:
            Refused: ENOBUFS.
            Fault: the caller's arrays are not its memory.
        """
        leaf_count, msr_count = MAX_LEAVES, MAX_MSRS
        if leaves:
            leaf_count = len(self.leaves)
            if leaf_count > leaf_room:
                raise Refused(errno.ENOBUFS)
            view = arena.memory(leaves, leaf_count * xen_cpuid_leaf.size)
            for at, ((leaf, subleaf), (a, b, c, d)) in enumerate(self.leaves.items()):
                place = at * xen_cpuid_leaf.size
                xen_cpuid_leaf.pack_into(view, place, leaf=leaf, subleaf=subleaf, a=a, b=b, c=c, d=d)
        if msrs:
            msr_count = len(self.msrs)
            if msr_count > msr_room:
                raise Refused(errno.ENOBUFS)
            view = arena.memory(msrs, msr_count * xen_msr_entry.size)
            for at, (index, value) in enumerate(self.msrs.items()):
                xen_msr_entry.pack_into(view, at * xen_msr_entry.size, idx=index, flags=0, val=value)
        return leaf_count, msr_count

    def merged(self, leaves: bytes, msrs: bytes) -> Policy:
        """A new policy with the caller's leaves and MSRs in it.

        Raises:
            PolicyError: E2BIG, ERANGE, EINVAL, with what is to blame.
        """
        new = Policy(dict(self.leaves), dict(self.msrs))
        if len(leaves) > MAX_LEAVES * xen_cpuid_leaf.size or len(msrs) > MAX_MSRS * xen_msr_entry.size:
            raise PolicyError(errno.E2BIG)
        for at in range(0, len(leaves), xen_cpuid_leaf.size):
            leaf, subleaf, *registers = xen_cpuid_leaf.row(leaves, at)
            if not _known(leaf, subleaf):
                raise PolicyError(errno.ERANGE, leaf, subleaf)
            new.leaves[leaf, subleaf] = (registers[0], registers[1], registers[2], registers[3])
        for at in range(0, len(msrs), xen_msr_entry.size):
            index, flags, value = xen_msr_entry.row(msrs, at)
            if flags:
                raise PolicyError(errno.EINVAL, msr=index)
            if index not in (_MSR_PLATFORM_INFO, _MSR_ARCH_CAPS):
                raise PolicyError(errno.ERANGE, msr=index)
            new.msrs[index] = value
        host = host_leaves()
        for limit in ((0x0, _NONE), (0x80000000, _NONE)):
            if new.leaves[limit][0] > host[limit][0]:
                raise PolicyError(errno.EINVAL, *limit)
        new.leaves = dict(sorted(new.leaves.items()))
        return new


def _known(leaf: int, subleaf: int) -> bool:
    if leaf in _SUBLEAVES:
        return subleaf < _SUBLEAVES[leaf]
    known = leaf < _BASIC or leaf in (0x40000000, 0x40000100) or 0 <= leaf - 0x80000000 < _EXTENDED
    return known and subleaf == _NONE
