"""Hypercall-safe memory, and how the hypervisor finds it by address.

An arena is a shared file that a caller and the hypervisor both map; an address
in a guest handle is the arena's base plus an offset. A map at its start says which
pages are in use, so that a handle into memory that was given back faults, as it
may on Linux. The file is sparse: its size is address space, not memory.
"""

from __future__ import annotations

import errno
import mmap
import os

from xentool.units import MIB, PAGE_SHIFT, PAGE_SIZE, pages_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ARENA_BASE = 0x7E00_0000_0000  # a canonical user address, where nothing of ours lives
ARENA_BYTES = 256 * MIB
_PAGES = ARENA_BYTES >> PAGE_SHIFT
_MAP_PAGES = pages_for(_PAGES)  # one byte a page


class Fault(Exception):  # noqa: N818 - Xen's word
    """A guest handle points where the caller has no memory: EFAULT."""


class Arena:
    """The shared memory of one caller; made by the caller (`fd` None) or opened by the hypervisor."""

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            fd = os.memfd_create("xentool-mock-arena", os.MFD_CLOEXEC)
            os.ftruncate(fd, ARENA_BYTES)
        elif os.fstat(fd).st_size != ARENA_BYTES:
            raise ValueError("not an arena: its size is wrong")
        self.fd = fd
        self._map = mmap.mmap(fd, ARENA_BYTES, mmap.MAP_SHARED)
        self.bytes = memoryview(self._map)

    def close(self) -> None:
        """Give the memory back; what is still mapped of it lives until its views die."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def allocate(self, size_bytes: int) -> ArenaBuffer:
        """Zeroed, page-aligned memory.

        Raises:
            OSError: ENOMEM, the arena is full.
        """
        pages = max(1, pages_for(size_bytes))
        start = self._map.find(bytes(pages), _MAP_PAGES, _PAGES)
        if start < 0:
            raise OSError(errno.ENOMEM, "no hypercall-safe memory is left")
        self._map[start : start + pages] = b"\1" * pages
        return ArenaBuffer(self, start, pages, size_bytes)

    def release(self, start_page: int, pages: int) -> None:
        self._map[start_page : start_page + pages] = bytes(pages)
        self._map.madvise(mmap.MADV_REMOVE, start_page << PAGE_SHIFT, pages << PAGE_SHIFT)

    def pages_in_use(self) -> int:
        """How many pages callers hold: zero when nothing has leaked."""
        return self._map[_MAP_PAGES:_PAGES].count(1)

    def memory(self, address: int, size_bytes: int) -> memoryview:
        """The caller's memory at `address`, writable.

        Raises:
            Fault: some of it is not memory that the caller holds.
        """
        offset = address - ARENA_BASE
        if offset < _MAP_PAGES * PAGE_SIZE or offset + size_bytes > ARENA_BYTES or size_bytes < 0:
            raise Fault
        first, last = offset >> PAGE_SHIFT, (offset + max(size_bytes, 1) - 1) >> PAGE_SHIFT
        if self._map[first : last + 1].count(1) != last + 1 - first:
            raise Fault
        return self.bytes[offset : offset + size_bytes]


class ArenaBuffer:
    """Hypercall-safe memory out of an arena (`port.Buffer`)."""

    __slots__ = ("_arena", "_pages", "_start", "_view", "address")

    def __init__(self, arena: Arena, start_page: int, pages: int, size_bytes: int) -> None:
        self._arena = arena
        self._start = start_page
        self._pages = pages
        offset = start_page << PAGE_SHIFT
        self.address = ARENA_BASE + offset
        self._view = arena.bytes[offset : offset + size_bytes]

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        if self._pages:
            self._view.release()
            self._arena.release(self._start, self._pages)
            self._pages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
