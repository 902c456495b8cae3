"""Page tables of PV guests, validated as Xen validates them before a CPU may walk them.

A frame becomes a page table by type counting: the first reference of a type
checks all 512 entries, each of which takes a reference of the next lower type;
an L1 entry that may be written through counts its frame as writable. A frame has
one type at a time, so a page table can never be mapped writable. Xen also alters
what it accepts (user and accessed bits, its own slots of an L4), and so do we.

A table is looked at as a whole; only when something in it is not as it should be
are its entries walked one by one, to fail with the errno of the first, as Xen does.

Source: xen/arch/x86/mm.c (promote_l*_table, get_page_from_l*e, _get_page_type),
xen/arch/x86/pv/mm.h (adjust_guest_l*e, is_guest_l4_slot).
"""

from __future__ import annotations

import errno
from array import array

from xentool.hypervisor.mock.memory import (
    L1_TABLE,
    L2_TABLE,
    L4_TABLE,
    NO_TYPE,
    SEGMENT_DESCRIPTORS,
)
from xentool.hypervisor.mock.ranges import runs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.hypervisor.mock.memory import MachineMemory

PRESENT, RW, USER, ACCESSED, DIRTY, GLOBAL = 1, 2, 4, 0x20, 0x40, 0x100
_CACHE_ATTRIBUTES = 0x98  # PWT, PCD, PAT: not for a domain without devices
_L1_FORBIDDEN = _CACHE_ATTRIBUTES
_UPPER_FORBIDDEN = _CACHE_ATTRIBUTES | GLOBAL  # bit 7 is PSE there: no superpages for PV
_GUEST_KERNEL = 1 << 52  # how Xen tells the guest's kernel from its user, both of which run in ring 3
_FRAME = ((1 << 52) - 1) & ~0xFFF
_INVALID_MFN = (1 << 40) - 1
FIRST_XEN_SLOT, LAST_XEN_SLOT = 256, 271
_RO_MPT_SLOT = 256


class Refused(Exception):  # noqa: N818 - what Xen does
    """Xen refuses; `errno` says how."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode.get(number, str(number)))
        self.errno = number


class Mmu:
    """The types of the frames of one machine's memory."""

    def __init__(self, memory: MachineMemory) -> None:
        self._memory = memory

    def get_type(self, mfn: int, level: int, domid: int) -> None:
        """Take a reference to `mfn` as a table of `level` of domain `domid`, validating it at the first.

        Raises:
            Refused: EINVAL (not the domain's, of another type, a bad upper entry), EPERM (an L1 entry maps
                I/O), EBUSY (an L1 entry maps what it may not).
        """
        memory = self._memory
        if not memory.owned_by(mfn, domid):
            raise Refused(errno.EINVAL)
        count = memory.count[mfn]
        if count:
            if memory.kind[mfn] != level:
                raise Refused(errno.EINVAL)
            memory.count[mfn] = count + 1
            return
        # Like Xen, give it type and count before looking into it: an entry that points back must see them.
        memory.kind[mfn] = level
        memory.count[mfn] = 1
        try:
            if level == L1_TABLE:
                self._promote_l1(mfn, domid)
            elif level == SEGMENT_DESCRIPTORS:
                self._check_descriptors(mfn)
            else:
                self._promote_upper(mfn, level, domid)
        except Refused:
            memory.kind[mfn] = NO_TYPE
            memory.count[mfn] = 0
            raise

    def put_type(self, mfn: int) -> None:
        """Give a reference back; the last one lets go of what the table's entries hold."""
        memory = self._memory
        left = memory.count[mfn] - 1
        memory.count[mfn] = left
        if left:
            return
        level = memory.kind[mfn]
        memory.kind[mfn] = NO_TYPE
        if level == L1_TABLE:
            self._demote_l1(mfn)
        elif L2_TABLE <= level <= L4_TABLE:
            self._demote_upper(mfn, level, range(512))

    def pin(self, mfn: int, level: int, domid: int) -> None:
        """MMUEXT_PIN_L*_TABLE. Raises `Refused` as `get_type`, and EINVAL if it is pinned already."""
        self.get_type(mfn, level, domid)
        if mfn in self._memory.pinned:
            self.put_type(mfn)
            raise Refused(errno.EINVAL)
        self._memory.pinned.add(mfn)

    def unpin(self, mfn: int, domid: int) -> None:
        if not self._memory.owned_by(mfn, domid) or mfn not in self._memory.pinned:
            raise Refused(errno.EINVAL)
        self._memory.pinned.discard(mfn)
        self.put_type(mfn)

    def show_m2p(self, l4: int) -> None:
        """Fill in the read-only view of the M2P that a kernel-mode L4 gets (fill_ro_mpt)."""
        table = self._memory.table(l4)
        if not table[_RO_MPT_SLOT]:
            table[_RO_MPT_SLOT] = self._xen_entry()

    def hide_m2p(self, l4: int) -> None:
        """Empty that slot again, for a user-mode L4 (zap_ro_mpt)."""
        self._memory.table(l4)[_RO_MPT_SLOT] = 0

    def _xen_entry(self) -> int:
        return self._memory.xen_frame << 12 | PRESENT | RW | ACCESSED | DIRTY

    def _promote_l1(self, mfn: int, domid: int) -> None:
        memory = self._memory
        table = memory.table(mfn)
        entries = table.tolist()
        present = [entry for entry in entries if entry & PRESENT]
        if not present:
            return
        frames = list(runs_of([(entry & _FRAME) >> 12 for entry in present]))
        written = list(runs_of([(entry & _FRAME) >> 12 for entry in present if entry & RW]))
        forbidden = [entry for entry in present if entry & _L1_FORBIDDEN]
        fine = not forbidden and memory.all_owned_by(frames, domid)
        if not fine or not memory.get_writable(written):
            self._fail_l1(present, domid)
        table[:] = array("Q", [_adjusted_l1(entry) if entry & PRESENT else entry for entry in entries])

    def _fail_l1(self, present: Sequence[int], domid: int) -> None:
        """Raise what Xen raises at the first bad entry. Nothing has been counted yet."""
        memory = self._memory
        counted: list[tuple[int, int]] = []
        try:
            for entry in present:
                written = self._check_entry(entry, domid)
                if not memory.get_writable(written):
                    raise Refused(errno.EBUSY)
                counted += written
        finally:
            memory.put_writable(counted)
        raise AssertionError("a bad L1 table without a bad entry")

    def _demote_l1(self, mfn: int) -> None:
        entries = self._memory.table(mfn).tolist()
        written = [(e & _FRAME) >> 12 for e in entries if e & PRESENT and e & RW]
        self._memory.put_writable(runs_of(written))

    def _promote_upper(self, mfn: int, level: int, domid: int) -> None:
        memory = self._memory
        table = memory.table(mfn)
        done: list[int] = []
        try:
            for slot, entry in enumerate(table.tolist()):
                if not entry & PRESENT or (level == L4_TABLE and FIRST_XEN_SLOT <= slot <= LAST_XEN_SLOT):
                    continue
                if entry & _UPPER_FORBIDDEN:
                    raise Refused(errno.EINVAL)
                below = (entry & _FRAME) >> 12
                if below != mfn:
                    self.get_type(below, level - 1, domid)
                elif entry & RW:  # a linear map of itself is allowed, but for reading only
                    raise Refused(errno.EINVAL)
                done.append(slot)
                table[slot] = entry | USER | (ACCESSED if level == L4_TABLE else 0)
        except Refused:
            self._demote_upper(mfn, level, done)
            raise
        if level == L4_TABLE:
            entry = self._xen_entry()
            slots = [0] + [entry] * (LAST_XEN_SLOT - FIRST_XEN_SLOT)
            table[FIRST_XEN_SLOT : LAST_XEN_SLOT + 1] = array("Q", slots)

    def _demote_upper(self, mfn: int, level: int, slots: Sequence[int]) -> None:
        entries = self._memory.table(mfn).tolist()
        for slot in slots:
            entry = entries[slot]
            if not entry & PRESENT or (level == L4_TABLE and FIRST_XEN_SLOT <= slot <= LAST_XEN_SLOT):
                continue
            below = (entry & _FRAME) >> 12
            if below != mfn:
                self.put_type(below)

    def _check_descriptors(self, mfn: int) -> None:
        """A GDT or LDT frame: only code and data of rings 1 to 3, nothing of the system's."""
        for entry in self._memory.table(mfn):
            if not entry >> 47 & 1:
                continue
            code_or_data, ring = entry >> 44 & 1, entry >> 45 & 3
            if not code_or_data or not ring:
                raise Refused(errno.EINVAL)

    def update(self, mfn: int, slot: int, entry: int, tables_of: int, frames_of: int) -> None:
        """Set one word of a frame; of a page table, as an entry, validated first (MMU_NORMAL_PT_UPDATE).

        Raises:
            Refused: as `get_type`; EINVAL for a frame that is not the domain's.
        """
        memory = self._memory
        if not memory.owned_by(mfn, tables_of):
            raise Refused(errno.EINVAL)
        table, level = memory.table(mfn), memory.kind[mfn]
        old = table[slot]
        if level == L1_TABLE:
            if entry & PRESENT:
                written = self._check_entry(entry, frames_of)
                if not memory.get_writable(written):
                    raise Refused(errno.EBUSY)
                entry = _adjusted_l1(entry)
            table[slot] = entry
            if old & PRESENT and old & RW:
                memory.put_writable((((old & _FRAME) >> 12, ((old & _FRAME) >> 12) + 1),))
        elif L2_TABLE <= level <= L4_TABLE:
            if tables_of != frames_of or (level == L4_TABLE and FIRST_XEN_SLOT <= slot <= LAST_XEN_SLOT):
                raise Refused(errno.EINVAL)
            if entry & PRESENT:
                if entry & _UPPER_FORBIDDEN:
                    raise Refused(errno.EINVAL)
                self.get_type((entry & _FRAME) >> 12, level - 1, tables_of)
                entry |= USER | (ACCESSED if level == L4_TABLE else 0)
            table[slot] = entry
            if old & PRESENT and (old & _FRAME) >> 12 != mfn:
                self.put_type((old & _FRAME) >> 12)
        elif level == SEGMENT_DESCRIPTORS:
            raise Refused(errno.EINVAL)
        else:
            table[slot] = entry

    def _check_entry(self, entry: int, domid: int) -> list[tuple[int, int]]:
        """Whether an L1 entry may be; the frame to be counted as written, as runs. Raises `Refused`."""
        memory = self._memory
        mfn = (entry & _FRAME) >> 12
        if entry & _L1_FORBIDDEN:
            raise Refused(errno.EINVAL)
        if not memory.valid(mfn):  # I/O, which no domain here may map
            raise Refused(errno.EINVAL if mfn == _INVALID_MFN else errno.EPERM)
        if memory.owner[mfn] != domid + 1:
            raise Refused(errno.EBUSY)
        return [(mfn, mfn + 1)] if entry & RW else []

    def walk(self, cr3: int, vaddr: int) -> int | None:
        """The machine address behind `vaddr`, by the tables at machine address `cr3`; None on a fault."""
        memory = self._memory
        mfn = cr3 >> 12
        for shift in (39, 30, 21, 12):
            if not memory.valid(mfn):
                return None
            entry = memory.table(mfn)[vaddr >> shift & 511]
            if not entry & PRESENT:
                return None
            mfn = (entry & _FRAME) >> 12
        return mfn << 12 | vaddr & 0xFFF if memory.valid(mfn) else None


def _adjusted_l1(entry: int) -> int:
    if not entry & USER:
        return entry | _GUEST_KERNEL | USER
    return entry if entry & _GUEST_KERNEL else entry | GLOBAL
