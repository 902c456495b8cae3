"""Initramfs archives, in the cpio format that Linux reads, written without root, the same bytes each time.

Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst ("newc").
"""

from __future__ import annotations

import gzip
import io
import stat
from typing import Final

_TRAILER: Final = "TRAILER!!!"


class CpioWriter:
    """Collects folders, files, links and devices, all owned by root; `gzipped` gives the archive."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._inode = 0
        self._folders: set[str] = set()

    def folder(self, path: str) -> None:
        """A folder, with those above it. `path` has no leading slash."""
        if not path or path in self._folders:
            return
        self.folder(path.rpartition("/")[0])
        self._folders.add(path)
        self._entry(path, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """A regular file."""
        self.folder(path.rpartition("/")[0])
        self._entry(path, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def link(self, path: str, target: str) -> None:
        """A symbolic link to `target`."""
        self.folder(path.rpartition("/")[0])
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, major: int, minor: int) -> None:
        """A character device."""
        self.folder(path.rpartition("/")[0])
        self._entry(path, stat.S_IFCHR | 0o600, b"", major, minor)

    def gzipped(self) -> bytes:
        """The finished archive, compressed."""
        self._entry(_TRAILER, 0, b"")
        return gzip.compress(self._out.getvalue(), 6, mtime=0)

    def _entry(self, path: str, mode: int, data: bytes, major: int = 0, minor: int = 0) -> None:
        self._inode += 1
        name = path.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name), 0)
        self._out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
        self._pad()
        self._out.write(data)
        self._pad()

    def _pad(self) -> None:
        self._out.write(b"\0" * (-self._out.tell() % 4))
