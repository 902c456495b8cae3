"""Files that are not trusted: opened without surprises, read inside their bounds only.

Reads go through ``pread``, never through a mapping: a file that shrinks under a
mapping kills the reader with SIGBUS, here it is an error like any other.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from xentool.errors import KernelError
from xentool.units import GIB, MIB, format_size

FILE_SIZE_MAX = GIB
"""Larger kernels and ramdisks are refused, as xl does (xenguest.h, XC_DOM_DECOMPRESS_MAX)."""

DAMAGED = "the file is damaged, or was not made for Xen: copy or build it again"
"""The way out where a file contradicts itself."""

_BLOCK = MIB


def open_input(path: str, action: str, max_bytes: int = FILE_SIZE_MAX) -> tuple[int, os.stat_result]:
    """Open a regular, non-empty file of at most `max_bytes`: its descriptor and status.

    Raises:
        KernelError: it is missing, forbidden, no regular file, empty or too large.
    """
    try:
        # O_NONBLOCK: a FIFO must not hang us before it can be refused.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as exc:
        raise _cannot_open(path, action, exc) from exc
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise KernelError(action, path, "is a directory", hint="name the file itself")
        if not stat.S_ISREG(status.st_mode):
            raise KernelError(action, path, "is not a regular file", hint="copy it to a file first")
        if status.st_size == 0:
            raise KernelError(action, path, "is empty", hint="was it copied in full? is the disk full?")
        if status.st_size > max_bytes:
            raise KernelError(
                action, path,
                f"has {format_size(status.st_size)}, and {format_size(max_bytes)} is the limit",
                hint="is this the right file?",
            )  # fmt: skip
    except BaseException:
        os.close(fd)
        raise
    return fd, status


def _cannot_open(path: str, action: str, error: OSError | ValueError) -> KernelError:
    if not isinstance(error, OSError):  # a NUL byte in the path
        return KernelError(action, repr(path), f"is no path ({error})")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        parent = os.path.dirname(path) or "."
        hint = "look for a typo in the path" if os.path.isdir(parent) else f"there is no directory {parent}"
        return KernelError(action, path, "no such file", hint=hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        return KernelError(action, path, "permission denied", hint="run as root, or make the file readable")
    return KernelError(action, path, f"cannot be opened ({os.strerror(error.errno or 0)})")


class Reader:
    """A file's bytes, each access checked against its size. Owns the descriptor."""

    __slots__ = ("action", "fd", "path", "size")

    def __init__(self, fd: int, size: int, path: str, action: str = "load kernel") -> None:
        self.fd = fd
        self.size = size
        self.path = path
        self.action = action

    def close(self) -> None:
        """Close the descriptor; may be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def refuse(self, reason: str, hint: str = "") -> KernelError:
        """The error that says why this file will not do."""
        return KernelError(self.action, self.path, reason, hint=hint or DAMAGED)

    def check_range(self, offset: int, length: int, what: str) -> None:
        """Refuse the file unless `what`, at [offset, offset + length), lies inside it."""
        if offset + length > self.size:
            raise self.refuse(
                f"is truncated: its {what} ends at byte {offset + length:,}, the file at {self.size:,}",
                hint="copy or download the file again",
            )

    def at(self, offset: int, length: int, what: str) -> bytes:
        """The `length` bytes at `offset`; `what` names them in errors."""
        self.check_range(offset, length, what)
        try:
            data = os.pread(self.fd, length, offset)
        except OSError as exc:
            raise self._read_error(exc) from exc
        if len(data) != length:
            raise self._shrunk()
        return data

    def unpack(self, layout: str, offset: int, what: str) -> tuple[int, ...]:
        """Integers at `offset`, as ``struct`` reads them by `layout`."""
        return struct.unpack(layout, self.at(offset, struct.calcsize(layout), what))

    def read_into(self, target: memoryview, offset: int) -> None:
        """Fill `target` from `offset` on. One copy: from the page cache to where it belongs."""
        done = 0
        while done < len(target):
            try:
                count = os.preadv(self.fd, [target[done:]], offset + done)
            except OSError as exc:
                if exc.errno != errno.EFAULT:
                    raise self._read_error(exc) from exc
                # Some file systems (9p without cache, NFS with direct I/O) pin the target's
                # pages, which cannot be done with another domain's: copy through a buffer.
                block = os.pread(self.fd, min(_BLOCK, len(target) - done), offset + done)
                count = len(block)
                target[done : done + count] = block
            if not count:
                raise self._shrunk()
            done += count

    def _read_error(self, error: OSError) -> KernelError:
        return self.refuse(f"cannot be read ({os.strerror(error.errno or 0)})")

    def _shrunk(self) -> KernelError:
        return self.refuse("became shorter while it was read", hint="try again when nobody writes to it")
