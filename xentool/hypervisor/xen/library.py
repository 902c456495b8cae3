"""The stable Xen libraries: their functions, a handle on each, and why one cannot be opened.

Source: xencall.h, xenforeignmemory.h, xenevtchn.h, xengnttab.h.
"""

from __future__ import annotations

import errno
import os

from xentool.cfunctions import CLibrary, c_int, c_long, c_uint32, c_uint64, c_ulong, c_void_p, get_errno
from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = c_void_p
c_size_t = c_ulong

SIGNATURES: dict[str, dict[str, tuple[object, list[object]]]] = {
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
            [c_void_p, c_uint32, c_int, c_size_t, ADDRESS, ADDRESS],
        ),
        "xenforeignmemory_unmap": (c_int, [c_void_p, c_void_p, c_size_t]),
        "xenforeignmemory_map_resource": (
            c_void_p,
            [c_void_p, c_uint32, c_uint32, c_uint32, c_ulong, c_ulong, ADDRESS, c_int, c_int],
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
            [c_void_p, c_uint32, c_uint32, ADDRESS, c_int],
        ),
        "xengnttab_unmap": (c_int, [c_void_p, c_void_p, c_uint32]),
    },
}
# What each library opens, for the message when it cannot.
DEVICES = {
    "xencall": "/dev/xen/privcmd",
    "xenforeignmemory": "/dev/xen/privcmd",
    "xenevtchn": "/dev/xen/evtchn",
    "xengnttab": "/dev/xen/gntdev",
}


class Library:
    """One of the libraries, with one handle opened through it."""

    def __init__(self, name: str) -> None:
        soname = f"lib{name}.so.1"
        _check_device(DEVICES[name])
        try:
            library = CLibrary(soname)
        except OSError as exc:
            raise HostError(
                "use Xen",
                "on this machine",
                f"the library {soname} is missing",
                hint=f"apt-get install lib{name}1",
                detail=str(exc),
            ) from exc
        self._library = library
        self._signatures = SIGNATURES[soname]
        self._close = self.function(f"{name}_close")
        self.handle: int | None = self.function(f"{name}_open")(None, 0)
        if not self.handle:
            raise _cannot_open(DEVICES[name], get_errno())

    def function(self, name: str) -> Callable[..., int]:
        """A function of the library, declared; what it returns is not looked at here.

        Raises:
            HostError: the library has none.
        """
        function = self._library.function(name, self._signatures[name])
        if function is None:
            raise HostError("use Xen", "on this machine", f"its libraries have no function {name}")
        return function

    def close(self) -> None:
        if self.handle:
            self._close(self.handle)
            self.handle = None


def _check_device(device: str) -> None:
    """Open and close the device: the libraries would print to stderr what they cannot open.

    Raises:
        HostError: no Xen here, or not root.
    """
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as exc:
        raise _cannot_open(device, exc.errno or errno.EIO) from exc


def _cannot_open(device: str, number: int) -> HostError:
    if number in (errno.EACCES, errno.EPERM):
        return HostError(
            "use Xen",
            "on this machine",
            f"{device} is for root alone",
            hint="run this as root (sudo xentool …)",
        )
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO):
        return HostError(
            "use Xen",
            "on this machine",
            f"this is not the Domain-0 of a Xen host ({device} is missing)",
            hint="boot Xen; or --backend mock (a played host), or `xentool lab` (real Xen in QEMU)",
        )
    return HostError("use Xen", "on this machine", f"{device}: {os.strerror(number)}")


def failure() -> OSError:
    """The OSError of the library call that just failed."""
    number = get_errno() or errno.EIO
    return OSError(number, os.strerror(number))
