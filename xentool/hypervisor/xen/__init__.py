"""Real Xen, through the libraries whose interfaces are stable.

libxencall, libxenforeignmemory, libxenevtchn and libxengnttab keep their
soname (``.so.1``) from release to release, unlike libxenctrl. Each is opened
when it is first needed: `list` needs libxencall alone.

Memory that a view looks into goes when the last view on it goes: `close`
releases ours, and a slice that somebody kept delays the rest, so that no view
ever points into nothing. What is still open goes with the hypervisor.

Source: xencall.h, xenforeignmemory.h, xenevtchn.h, xengnttab.h.
"""

from __future__ import annotations

import errno
import os
from _weakref import ref  # what weakref has it from; that module would cost its import
from sys import getrefcount

from xentool.cfunctions import byref, c_char, c_int, c_uint32, c_uint64, c_void_p
from xentool.hypervisor.xen.library import Library, failure
from xentool.units import PAGE_SHIFT, PAGE_SIZE, DomId, pages_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from xentool.hypervisor.xen.events import XenEventChannels

PROT_READ, PROT_WRITE = 1, 2
POOLED_BUFFERS = 4  # one-page hypercall buffers kept for the next call


class _View:
    """Bytes at an address. They are given back when `close` was called and no slice looks into them."""

    def __init__(
        self,
        address: int,
        size: int,
        give_back: Callable[[], None],
        opened: set[_View],
        *,
        writable: bool = True,
    ) -> None:
        self.address = address
        memory = (c_char * size).from_address(address)
        # Every slice keeps `memory` alive, and nothing else does but us.
        self._memory: object = memory
        self._give_back = give_back
        self._gone: ref[object] | None = ref(memory, lambda _: give_back())
        view = memoryview(memory).cast("B")
        self._view = view if writable else view.toreadonly()
        self._opened = opened
        opened.add(self)

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        if self in self._opened:
            self._opened.discard(self)
            # Released first, so that whoever still has the view itself gets an error from it.
            self._view.release()
            memory, self._memory = self._memory, None
            if getrefcount(memory) <= 2:  # `memory` and the call's own argument: no slice is left
                # Here and not in the callback: what a signal raises there would be swallowed.
                self._gone = None
                self._give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class XenHypervisor:
    """Implements `xentool.hypervisor.port.Hypervisor` on the Xen that this Domain-0 runs on.

    Raises:
        HostError: no Xen, not root, or a library is missing.
    """

    kind = "xen"

    def __init__(self) -> None:
        self._call = Library("xencall")
        self._calls = [self._call.function(f"xencall{n}") for n in range(6)]
        self._calls[2] = self._call.function("xencall2L")  # memory_op's results outgrow an int
        self._alloc = self._call.function("xencall_alloc_buffer_pages")
        self._free = self._call.function("xencall_free_buffer_pages")
        self._pool: list[int] = []
        self._opened: set[_View] = set()
        self._memory: Library | None = None
        self._grants: Library | None = None

    def hypercall(self, number: int, *arguments: int) -> int:
        handle = self._call.handle
        if handle is None:
            raise OSError(errno.EBADF, "the hypervisor is closed")
        result = self._calls[len(arguments)](handle, number, *arguments)
        if result < 0:
            raise failure()
        return result

    def buffer(self, size_bytes: int) -> _View:
        if self._call.handle is None:
            raise OSError(errno.EBADF, "the hypervisor is closed")
        pages = max(1, pages_for(size_bytes))
        if pages == 1 and self._pool:
            address = self._pool.pop()
        else:
            address = self._alloc(self._call.handle, pages)
            if not address:
                raise failure()
        size = pages << PAGE_SHIFT
        buffer = _View(address, size, lambda: self._give_buffer_back(address, pages), self._opened)
        buffer.view[:] = bytes(size)  # neither the library's cache of pages nor ours has them zeroed
        return buffer

    def _give_buffer_back(self, address: int, pages: int) -> None:
        if self._call.handle is None:
            return  # a slice outlived us; the process's end frees it
        if pages == 1 and len(self._pool) < POOLED_BUFFERS:
            self._pool.append(address)
        else:
            self._free(self._call.handle, address, pages)

    @property
    def _foreign(self) -> Library:
        if self._memory is None:
            self._memory = Library("xenforeignmemory")
        return self._memory

    def map_frames(self, domid: DomId, frames: array[int], *, writable: bool = True) -> _View:
        library, count = self._foreign, len(frames)
        if not count:
            raise OSError(errno.EINVAL, "no frames to map")
        wanted = (c_uint64 * count).from_buffer(frames)
        failures = (c_int * count)()
        address = library.function("xenforeignmemory_map")(
            library.handle, domid, _protection(writable), count, wanted, failures
        )
        if not address:
            raise failure()
        unmap = _giver(library, "xenforeignmemory_unmap", address, count)
        if bytes(failures).strip(b"\0"):
            unmap()
            at, number = next((at, -number) for at, number in enumerate(failures) if number)
            raise OSError(number, f"{os.strerror(number)}: frame {frames[at]:#x} of domain {domid}")
        return _View(address, count * PAGE_SIZE, unmap, self._opened, writable=writable)

    def map_resource(self, domid: DomId, kind: int, index: int, frame: int, count: int) -> _View:
        library = self._foreign
        address = c_void_p()
        resource = library.function("xenforeignmemory_map_resource")(
            library.handle,
            domid,
            kind,
            index,
            frame,
            count,
            byref(address),
            _protection(writable=True),
            0,
        )
        if not resource or not address.value:
            raise failure()
        unmap = _giver(library, "xenforeignmemory_unmap_resource", resource)
        return _View(address.value, count * PAGE_SIZE, unmap, self._opened)

    def map_grants(self, domid: DomId, references: array[int], *, writable: bool = True) -> _View:
        if self._grants is None:
            self._grants = Library("xengnttab")
        library, count = self._grants, len(references)
        if not count:
            raise OSError(errno.EINVAL, "no grants to map")
        wanted = (c_uint32 * count).from_buffer(references)
        address = library.function("xengnttab_map_domain_grant_refs")(
            library.handle, count, domid, wanted, _protection(writable)
        )
        if not address:
            raise failure()
        unmap = _giver(library, "xengnttab_unmap", address, count)
        return _View(address, count * PAGE_SIZE, unmap, self._opened, writable=writable)

    def event_channels(self) -> XenEventChannels:
        from xentool.hypervisor.xen.events import XenEventChannels

        return XenEventChannels()

    def close(self) -> None:
        for view in list(self._opened):
            view.close()
        while self._pool and self._call.handle:
            self._free(self._call.handle, self._pool.pop(), 1)
        for library in (self._call, self._memory, self._grants):
            if library is not None:
                library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _giver(library: Library, name: str, *arguments: int) -> Callable[[], None]:
    """What gives back a mapping, while the library's handle is open; the process's end does otherwise."""
    function = library.function(name)

    def give_back() -> None:
        if library.handle and function(library.handle, *arguments) < 0:
            raise failure()

    return give_back


def _protection(writable: bool) -> int:
    return PROT_READ | PROT_WRITE if writable else PROT_READ
