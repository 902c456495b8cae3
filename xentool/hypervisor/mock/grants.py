"""Grant tables, version 1: what a domain lets others map, checked entry by entry.

The table's frames are Xen's, lent to the domain; the entries are whatever the
domain (or its builder) wrote there, and are checked at each mapping.

Source: xen/common/grant_table.c; public/grant_table.h.
"""

from __future__ import annotations

import errno

from xentool.abi import grant_table as abi
from xentool.hypervisor.mock.mmu import Refused
from xentool.units import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.memory import MachineMemory

MAX_FRAMES, MAX_MAPTRACK_FRAMES = 64, 1024  # Xen's defaults: gnttab_max_frames, gnttab_max_maptrack_frames
_ENTRY_SIZE = 8
_ENTRIES_PER_FRAME = PAGE_SIZE // _ENTRY_SIZE


class GrantTable:
    """One domain's grants. `lend` makes a frame of Xen's the domain's; None if there is no memory."""

    def __init__(
        self, memory: MachineMemory, domid: int, max_frames: int, lend: Callable[[], int | None]
    ) -> None:
        self._memory = memory
        self._domid = domid
        self._lend = lend
        self.max_frames = max_frames
        self.frames: list[int] = []
        self._pins: dict[int, list[int]] = {}  # reference -> [readers, writers, mfn]

    def grow(self, frames: int) -> None:
        """Have at least `frames` frames. Raises `Refused`: EINVAL past the limit, ENOMEM."""
        if frames > self.max_frames:
            raise Refused(errno.EINVAL)
        while len(self.frames) < frames:
            mfn = self._lend()
            if mfn is None:
                raise Refused(errno.ENOMEM)
            self.frames.append(mfn)

    def map(self, reference: int, by: int, writable: bool) -> int:
        """Check that domain `by` may map the grant, mark it in use; the frame behind it.

        Raises:
            Refused: EINVAL, as Linux says for every GNTST_* that is not okay.
        """
        if reference >= len(self.frames) * _ENTRIES_PER_FRAME:
            raise Refused(errno.EINVAL)
        words = self._memory.table(self.frames[reference // _ENTRIES_PER_FRAME])
        at = reference % _ENTRIES_PER_FRAME
        entry = words[at]
        flags, domid, mfn = entry & 0xFFFF, entry >> 16 & 0xFFFF, entry >> 32
        pin = self._pins.get(reference)
        if pin is None:
            if flags & (abi.GTF_type_mask | abi.GTF_sub_page) != abi.GTF_permit_access or domid != by:
                raise Refused(errno.EINVAL)
            if not self._memory.owned_by(mfn, self._domid):
                raise Refused(errno.EINVAL)
        else:
            mfn = pin[2]
        if writable and flags & abi.GTF_readonly:
            raise Refused(errno.EINVAL)
        pin = self._pins.setdefault(reference, [0, 0, mfn])
        pin[writable] += 1
        words[at] = entry | abi.GTF_reading | (abi.GTF_writing if writable else 0)
        return mfn

    def unmap(self, reference: int, writable: bool) -> None:
        """The grant is mapped once less; its entry shows when it is free again."""
        pin = self._pins[reference]
        pin[writable] -= 1
        words = self._memory.table(self.frames[reference // _ENTRIES_PER_FRAME])
        at = reference % _ENTRIES_PER_FRAME
        if not pin[1]:
            words[at] &= ~abi.GTF_writing
        if not pin[0] and not pin[1]:
            words[at] &= ~abi.GTF_reading
            del self._pins[reference]
