"""Real Xen, through the libraries whose interfaces are stable.

libxencall, libxenforeignmemory, libxenevtchn and libxengnttab keep their
soname (``.so.1``) from release to release, unlike libxenctrl. Each is opened
when it is first needed: `list` needs libxencall alone.

Source: xencall.h, xenforeignmemory.h, xenevtchn.h, xengnttab.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import POINTER, c_int, c_long, c_size_t, c_uint32, c_uint64, c_ulong, c_void_p

from xentool.errors import HostError
from xentool.units import PAGE_SHIFT, PAGE_SIZE, DomId, Port, pages_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

PROT_READ, PROT_WRITE = 1, 2
POOLED_BUFFERS = 4  # one-page hypercall buffers kept for the next call

_SIGNATURES: dict[str, dict[str, tuple[object, list[object]]]] = {
    "libxencall.so.1": {
        "xencall_open": (c_void_p, [c_void_p, c_uint32]),
        "xencall_close": (c_int, [c_void_p]),
        "xencall_alloc_buffer_pages": (c_void_p, [c_void_p, c_size_t]),
        "xencall_free_buffer_pages": (None, [c_void_p, c_void_p, c_size_t]),
        "xencall0": (c_int, [c_void_p, c_uint32]),
        "xencall1": (c_int, [c_void_p, c_uint32, c_uint64]),
        "xencall2": (c_int, [c_void_p, c_uint32, c_uint64, c_uint64]),
        "xencall2L": (c_long, [c_void_p, c_uint32, c_uint64, c_uint64]),
        "xencall3": (c_int, [c_void_p, c_uint32, c_uint64, c_uint64, c_uint64]),
        "xencall4": (c_int, [c_void_p, c_uint32, c_uint64, c_uint64, c_uint64, c_uint64]),
        "xencall5": (c_int, [c_void_p, c_uint32, c_uint64, c_uint64, c_uint64, c_uint64, c_uint64]),
    },
    "libxenforeignmemory.so.1": {
        "xenforeignmemory_open": (c_void_p, [c_void_p, c_uint32]),
        "xenforeignmemory_close": (c_int, [c_void_p]),
        "xenforeignmemory_map": (
            c_void_p,
            [c_void_p, c_uint32, c_int, c_size_t, POINTER(c_uint64), POINTER(c_int)],
        ),
        "xenforeignmemory_unmap": (c_int, [c_void_p, c_void_p, c_size_t]),
        "xenforeignmemory_map_resource": (
            c_void_p,
            [c_void_p, c_uint32, c_uint32, c_uint32, c_ulong, c_ulong, POINTER(c_void_p), c_int, c_int],
        ),
        "xenforeignmemory_unmap_resource": (c_int, [c_void_p, c_void_p]),
    },
    "libxenevtchn.so.1": {
        "xenevtchn_open": (c_void_p, [c_void_p, c_uint32]),
        "xenevtchn_close": (c_int, [c_void_p]),
        "xenevtchn_fd": (c_int, [c_void_p]),
        "xenevtchn_notify": (c_int, [c_void_p, c_uint32]),
        "xenevtchn_bind_unbound_port": (c_int, [c_void_p, c_uint32]),
        "xenevtchn_bind_interdomain": (c_int, [c_void_p, c_uint32, c_uint32]),
        "xenevtchn_bind_virq": (c_int, [c_void_p, c_uint32]),
        "xenevtchn_unbind": (c_int, [c_void_p, c_uint32]),
        "xenevtchn_pending": (c_int, [c_void_p]),
        "xenevtchn_unmask": (c_int, [c_void_p, c_uint32]),
    },
    "libxengnttab.so.1": {
        "xengnttab_open": (c_void_p, [c_void_p, c_uint32]),
        "xengnttab_close": (c_int, [c_void_p]),
        "xengnttab_map_domain_grant_refs": (
            c_void_p,
            [c_void_p, c_uint32, c_uint32, POINTER(c_uint32), c_int],
        ),
        "xengnttab_unmap": (c_int, [c_void_p, c_void_p, c_uint32]),
    },
}
# What each library opens, for the message when it cannot.
_DEVICES = {
    "xencall": "/dev/xen/privcmd",
    "xenforeignmemory": "/dev/xen/privcmd",
    "xenevtchn": "/dev/xen/evtchn",
    "xengnttab": "/dev/xen/gntdev",
}


class _Library:
    """One of the libraries, with one handle opened through it."""

    def __init__(self, name: str) -> None:
        soname = f"lib{name}.so.1"
        try:
            library = ctypes.CDLL(soname, use_errno=True)
        except OSError as exc:
            raise HostError(
                "use Xen",
                "on this machine",
                f"the library {soname} is missing",
                hint=f"apt-get install lib{name}1; without Xen, use --backend mock or `xentool lab`",
                detail=str(exc),
            ) from exc
        self._library = library
        self._signatures = _SIGNATURES[soname]
        self._close = self.function(f"{name}_close")
        self.handle: int | None = self.function(f"{name}_open")(None, 0)
        if not self.handle:
            raise _cannot_open(_DEVICES[name], ctypes.get_errno())

    def function(self, name: str) -> Callable[..., int]:
        """A function of the library, declared; what it returns is not looked at here."""
        result, arguments = self._signatures[name]
        function = getattr(self._library, name)
        function.restype = result
        function.argtypes = arguments
        return function  # type: ignore[no-any-return]

    def close(self) -> None:
        if self.handle:
            self._close(self.handle)
            self.handle = None


def _cannot_open(device: str, number: int) -> HostError:
    if number in (errno.EACCES, errno.EPERM):
        return HostError(
            "use Xen",
            "on this machine",
            f"{device} is for root alone",
            hint="run this as root (sudo xentool …)",
        )
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or not os.path.exists(device):
        return HostError(
            "use Xen",
            "on this machine",
            f"this is not a Xen host's Domain-0 ({device} is missing)",
            hint="boot Xen; or --backend mock (a played host), or `xentool lab` (real Xen in QEMU)",
        )
    return HostError("use Xen", "on this machine", f"{device}: {os.strerror(number)}")


def _fail() -> OSError:
    """The OSError of the library call that just failed."""
    number = ctypes.get_errno() or errno.EIO
    return OSError(number, os.strerror(number))


class _View:
    """Bytes at an address, until `close`. Slices of the view must not outlive it."""

    def __init__(self, address: int, size: int, give_back: Callable[[], None]) -> None:
        self.address = address
        self._give_back: Callable[[], None] | None = give_back
        self._view = memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        if self._give_back is not None:
            self._view.release()
            give_back, self._give_back = self._give_back, None
            give_back()

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
        self._call = _Library("xencall")
        self._calls = [self._call.function(f"xencall{n}") for n in range(6)]
        self._alloc = self._call.function("xencall_alloc_buffer_pages")
        self._free = self._call.function("xencall_free_buffer_pages")
        self._pool: list[int] = []
        self._memory: _Library | None = None
        self._grants: _Library | None = None

    def hypercall(self, number: int, *arguments: int) -> int:
        result = self._calls[len(arguments)](self._call.handle, number, *arguments)
        if result < 0:
            raise _fail()
        return result

    def buffer(self, size_bytes: int) -> _View:
        pages = max(1, pages_for(size_bytes))
        if pages == 1 and self._pool:
            address = self._pool.pop()
        else:
            address = self._alloc(self._call.handle, pages)
            if not address:
                raise _fail()
        # New pages are zero already; but the pool's are not, and a memset of a page costs nothing.
        ctypes.memset(address, 0, pages << PAGE_SHIFT)
        return _View(address, pages << PAGE_SHIFT, lambda: self._give_buffer_back(address, pages))

    def _give_buffer_back(self, address: int, pages: int) -> None:
        if pages == 1 and len(self._pool) < POOLED_BUFFERS and self._call.handle:
            self._pool.append(address)
        else:
            self._free(self._call.handle, address, pages)

    @property
    def _foreign(self) -> _Library:
        if self._memory is None:
            self._memory = _Library("xenforeignmemory")
        return self._memory

    def map_frames(self, domid: DomId, frames: array[int], *, writable: bool = True) -> _View:
        library, count = self._foreign, len(frames)
        if not count:
            raise OSError(errno.EINVAL, "no frames to map")
        wanted = (c_uint64 * count).from_buffer(frames)
        # With no array for the errors, the library maps all frames or none.
        address = library.function("xenforeignmemory_map")(
            library.handle, domid, _protection(writable), count, wanted, None
        )
        if not address:
            raise _fail()

        def unmap() -> None:
            if library.function("xenforeignmemory_unmap")(library.handle, address, count):
                raise _fail()

        return _View(address, count * PAGE_SIZE, unmap)

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
            ctypes.byref(address),
            _protection(writable=True),
            0,
        )
        if not resource or not address.value:
            raise _fail()

        def unmap() -> None:
            if library.function("xenforeignmemory_unmap_resource")(library.handle, resource):
                raise _fail()

        return _View(address.value, count * PAGE_SIZE, unmap)

    def map_grants(self, domid: DomId, references: array[int], *, writable: bool = True) -> _View:
        if self._grants is None:
            self._grants = _Library("xengnttab")
        library, count = self._grants, len(references)
        wanted = (c_uint32 * count).from_buffer(references)
        address = library.function("xengnttab_map_domain_grant_refs")(
            library.handle, count, domid, wanted, _protection(writable)
        )
        if not address:
            raise _fail()

        def unmap() -> None:
            if library.function("xengnttab_unmap")(library.handle, address, count):
                raise _fail()

        return _View(address, count * PAGE_SIZE, unmap)

    def event_channels(self) -> XenEventChannels:
        return XenEventChannels()

    def close(self) -> None:
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


def _protection(writable: bool) -> int:
    return PROT_READ | PROT_WRITE if writable else PROT_READ


class XenEventChannels:
    """Implements `xentool.hypervisor.port.EventChannels` through /dev/xen/evtchn."""

    def __init__(self) -> None:
        self._library = _Library("xenevtchn")

    def _ask(self, name: str, *arguments: int) -> int:
        result = self._library.function(f"xenevtchn_{name}")(self._library.handle, *arguments)
        if result < 0:
            raise _fail()
        return result

    def fileno(self) -> int:
        return self._ask("fd")

    def bind_interdomain(self, remote: DomId, remote_port: Port) -> Port:
        return Port(self._ask("bind_interdomain", remote, remote_port))

    def bind_virq(self, virq: int) -> Port:
        return Port(self._ask("bind_virq", virq))

    def alloc_unbound(self, remote: DomId) -> Port:
        return Port(self._ask("bind_unbound_port", remote))

    def notify(self, port: Port) -> None:
        self._ask("notify", port)

    def pending(self) -> Port:
        return Port(self._ask("pending"))

    def unmask(self, port: Port) -> None:
        self._ask("unmask", port)

    def unbind(self, port: Port) -> None:
        self._ask("unbind", port)

    def close(self) -> None:
        self._library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
