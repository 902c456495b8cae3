"""Frames of machine memory in our address space, contiguous, in any order.

One run of frames is one `mmap` of the memory file, which Python does itself.
Several runs are laid side by side into a reserved piece of address space, which
needs the C library; it is only imported for that.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

from xentool.hypervisor.mock.ranges import runs_of
from xentool.units import PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self


class FrameMapping:
    """Mapped frames (`port.Mapping`). `forget` tells the hypervisor, once, that they are mapped no more."""

    __slots__ = ("_forget", "_unmap", "_view")

    def __init__(
        self, view: memoryview, unmap: Callable[[], None] | None, forget: Callable[[], None] | None
    ) -> None:
        self._view = view
        self._unmap = unmap
        self._forget = forget

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        self._view.release()
        if self._unmap is not None:
            unmap, self._unmap = self._unmap, None
            unmap()
        if self._forget is not None:
            forget, self._forget = self._forget, None
            forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def map_frames(
    fd: int, frames: Sequence[int], writable: bool, forget: Callable[[], None] | None
) -> FrameMapping:
    """Map `frames` of the memory file `fd`.

    Raises:
        OSError: what mmap says.
    """
    runs = list(runs_of(frames))
    if len(runs) != 1:
        return _map_runs(fd, runs, writable, forget)
    start, end = runs[0]
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    mapped = mmap.mmap(fd, (end - start) << PAGE_SHIFT, mmap.MAP_SHARED, access, offset=start << PAGE_SHIFT)

    def unmap() -> None:
        # Where somebody still holds a slice of the view, the pages go with that.
        with suppress(BufferError):
            mapped.close()

    return FrameMapping(memoryview(mapped), unmap, forget)


def _map_runs(
    fd: int, runs: list[tuple[int, int]], writable: bool, forget: Callable[[], None] | None
) -> FrameMapping:
    import ctypes

    size = sum(end - start for start, end in runs) << PAGE_SHIFT
    if not size:
        return FrameMapping(memoryview(b""), None, forget)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
    ]  # fmt: skip
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    map_fixed = 0x10  # linux/mman.h; Python has no name for it
    failed = ctypes.c_void_p(-1).value

    base = libc.mmap(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if base == failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    at = base
    for start, end in runs:
        length = (end - start) << PAGE_SHIFT
        place = libc.mmap(at, length, access, mmap.MAP_SHARED | map_fixed, fd, start << PAGE_SHIFT)
        if place == failed:
            number = ctypes.get_errno()
            libc.munmap(base, size)
            raise OSError(number, os.strerror(number))
        at += length
    whole = (ctypes.c_ubyte * size).from_address(base)
    view = memoryview(whole).cast("B")

    def unmap() -> None:
        libc.munmap(base, size)

    return FrameMapping(view if writable else view.toreadonly(), unmap, forget)
