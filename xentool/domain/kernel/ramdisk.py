"""Ramdisks: handed to the guest as they are."""

from __future__ import annotations

import os

from xentool.domain.kernel.reader import Reader, open_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Ramdisk:
    """An open ramdisk file of `size` bytes. `close` it, or use it as a context manager."""

    __slots__ = ("_reader", "path", "size")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.path = reader.path
        self.size = reader.size

    def copy_into(self, view: memoryview, offset: int = 0) -> None:
        """Fill `view` with the ramdisk's bytes from `offset` on; zeros behind its end.

        Raises:
            KernelError: the file shrank or cannot be read any more.
        """
        count = max(0, min(len(view), self.size - offset))
        self._reader.read_into(view[:count], offset)
        if count < len(view):
            view[count:] = bytes(len(view) - count)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def open_ramdisk(path: str) -> Ramdisk:
    """Open the ramdisk at `path`.

    It is given to the guest as the file has it, compressed or not: guests unpack it
    themselves. (xl gunzips ramdisks up to Xen 4.19, and no longer since 4.20.)

    Raises:
        KernelError: missing, forbidden, no regular file, empty, or larger than 1 GiB.
    """
    path = os.fspath(path)
    fd, status = open_input(path, "load ramdisk")
    return Ramdisk(Reader(fd, status.st_size, path, "load ramdisk"))
