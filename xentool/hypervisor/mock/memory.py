"""Machine memory: a sparse shared file, and what Xen knows of every frame in it.

The file is a memfd, so that other processes can map frames of it and nothing is
left when the last one closes it. Per frame there are, as in Xen's page_info, the
owner, the type with its count, and the general references that foreign mappings
hold; they live in anonymous maps, which cost nothing until they are touched.

Source: xen/include/asm/mm.h (PGT_*, PGC_*), xen/common/page_alloc.c.
"""

from __future__ import annotations

import mmap
import os
import sys
from array import array

from xentool.hypervisor.mock.ranges import Ranges
from xentool.units import GIB, MIB, PAGE_SHIFT, PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal

    Run = tuple[int, int]  # frames start <= mfn < end

# Frame types, as PGT_*: a frame has one at a time, and may change it only while nobody counts on it.
NO_TYPE = 0
L1_TABLE, L2_TABLE, L3_TABLE, L4_TABLE = 1, 2, 3, 4
SEGMENT_DESCRIPTORS = 5
WRITABLE = 7
_DATA_TYPES = bytes([NO_TYPE, WRITABLE])

NOBODY = 0  # in `owner`, which holds domid + 1
_LOW_MEMORY_FRAMES = MIB >> PAGE_SHIFT  # the first MiB is I/O, as on a PC
_XEN_FRAMES = (16 * MIB) >> PAGE_SHIFT  # Xen's own image and heap


class MachineMemory:
    """The host's RAM of `size_bytes`, and the state of its frames."""

    def __init__(self, size_bytes: int = 16 * GIB) -> None:
        if size_bytes % (2 * MIB) or size_bytes < 64 * MIB:
            raise ValueError("machine memory is a multiple of 2 MiB, and 64 MiB at least")
        self.frame_count = size_bytes >> PAGE_SHIFT
        self.fd = os.memfd_create("xentool-mock-memory", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size_bytes)
        self.ram = mmap.mmap(self.fd, size_bytes, mmap.MAP_SHARED)
        self.view = memoryview(self.ram)
        self.words = self.view.cast("Q")
        self._state: list[mmap.mmap] = []
        self.owner = self._table("H")
        self.kind = self._table("B")
        self.count = self._table("I")
        self.refs = self._table("I")
        self.m2p = self._table("Q")
        self.pinned: set[int] = set()
        self.free = Ranges()
        self.outstanding_claims = 0
        self.xen_frame = _LOW_MEMORY_FRAMES
        self.free.add(_LOW_MEMORY_FRAMES + _XEN_FRAMES, self.frame_count)

    def _table(self, code: Literal["B", "H", "I", "Q"]) -> memoryview:
        size = array(code).itemsize * self.frame_count
        table = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._state.append(table)
        return memoryview(table).cast(code)

    def close(self) -> None:
        """Give the memory back. Mappings that are still open keep their pages."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def valid(self, mfn: int) -> bool:
        """Whether `mfn` is RAM that a domain could own (Xen: mfn_valid, and not I/O)."""
        return _LOW_MEMORY_FRAMES <= mfn < self.frame_count

    def owned_by(self, mfn: int, domid: int) -> bool:
        return self.valid(mfn) and self.owner[mfn] == domid + 1

    def all_owned_by(self, runs: Iterable[Run], domid: int) -> bool:
        """Whether every frame of `runs` is RAM of domain `domid`."""
        mark = (domid + 1).to_bytes(2, sys.byteorder)
        for start, end in runs:
            if start < _LOW_MEMORY_FRAMES or end > self.frame_count:
                return False
            if self.owner[start:end].tobytes() != mark * (end - start):
                return False
        return True

    def table(self, mfn: int) -> memoryview:
        """The 512 words of a frame, writable."""
        return self.words[mfn << 9 : (mfn + 1) << 9]

    def page(self, mfn: int) -> memoryview:
        """The bytes of a frame, writable."""
        return self.view[mfn << PAGE_SHIFT : (mfn + 1) << PAGE_SHIFT]

    def assign(self, runs: Iterable[Run], domid: int) -> None:
        """Make `domid` the owner of freshly allocated runs."""
        for start, end in runs:
            self.owner[start:end] = array("H", [domid + 1]) * (end - start)

    def release(self, start: int, end: int) -> None:
        """Put a run back into the free pool: no owner, no type, scrubbed."""
        length = end - start
        self.owner[start:end] = array("H", bytes(2 * length))
        self.kind[start:end] = bytes(length)
        self.count[start:end] = array("I", bytes(4 * length))
        self.m2p[start:end] = array("Q", bytes(8 * length))
        # Punching the hole both scrubs the frames and gives their memory back.
        self.ram.madvise(mmap.MADV_REMOVE, start << PAGE_SHIFT, length << PAGE_SHIFT)
        self.free.add(start, end)

    def allocate_xen(self) -> int | None:
        """One frame for Xen itself (its heap), below 4 GiB as shared_info has to be."""
        runs = self.free.take(0, 1, min(self.frame_count, (4 * GIB) >> PAGE_SHIFT))
        return runs[0][0] if runs else None

    def get_writable(self, runs: Sequence[Run]) -> bool:
        """Count frames as written to (PGT_writable_page); False, and nothing done, if one cannot be."""
        for start, end in runs:
            if self.kind[start:end].tobytes().translate(None, _DATA_TYPES):
                return False
        for start, end in runs:
            self.kind[start:end] = bytes([WRITABLE]) * (end - start)
            _add(self.count, start, end, 1)
        return True

    def put_writable(self, runs: Iterable[Run]) -> None:
        """Undo `get_writable`."""
        kind, count = self.kind, self.count
        for start, end in runs:
            _add(count, start, end, -1)
            if not count[start:end].tobytes().strip(b"\0"):
                kind[start:end] = bytes(end - start)
                continue
            for mfn in range(start, end):
                if not count[mfn]:
                    kind[mfn] = NO_TYPE

    def hold(self, runs: Iterable[Run]) -> None:
        """Take a general reference to each frame: an owned frame that is held is not freed."""
        for start, end in runs:
            _add(self.refs, start, end, 1)

    def unhold(self, runs: Iterable[Run]) -> None:
        for start, end in runs:
            _add(self.refs, start, end, -1)

    def read(self, mfn: int, offset: int, length: int) -> bytes:
        """Bytes of one frame."""
        assert offset + length <= PAGE_SIZE
        start = (mfn << PAGE_SHIFT) + offset
        return self.view[start : start + length].tobytes()


def _add(table: memoryview, start: int, end: int, delta: int) -> None:
    """Add `delta` to every entry of ``table[start:end]``, whose format is ``I``."""
    first, length = table[start], end - start
    if table[start:end].tobytes() == first.to_bytes(4, sys.byteorder) * length:
        table[start:end] = array("I", [first + delta]) * length
        return
    for at in range(start, end):
        table[at] += delta
