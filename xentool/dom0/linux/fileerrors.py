"""Why a file or block device cannot be had, in words. Loaded when something went wrong."""

from __future__ import annotations

import errno
import stat

from xentool.errors import HostError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.errors import XentoolError


def kind_of(mode: int) -> str:
    """What a file of that mode is, in words."""
    for is_it, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a block device"),
    ):
        if is_it(mode):
            return name
    return "something else"


def cannot(action: str, path: str, exc: OSError | ValueError) -> XentoolError:
    """The error that `action` on the file at `path` ended with, in words that say what to look at."""
    if not isinstance(exc, OSError):  # a NUL in the path
        return HostError(action, repr(path), "that is no path")
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFoundError(action, path, "there is no such file")
    reasons = {
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied (is it immutable? `lsattr` shows)",
        errno.EROFS: "it is on a file system that is mounted read-only",
        errno.ENXIO: "there is no such device, or nothing in the drive",
        errno.ENOMEDIUM: "there is nothing in the drive",
        errno.ETXTBSY: "it is in use as a program or swap file",
        errno.ESTALE: "its file system (NFS) has gone away",
    }
    return HostError(action, path, reasons.get(exc.errno or 0) or exc.strerror or str(exc))
