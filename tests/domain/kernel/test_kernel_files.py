"""Files that cannot be opened or should not be; and ramdisks."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.elfwriter import pv_kernel
from xentool.domain.kernel import load_kernel, open_ramdisk
from xentool.domain.kernel.reader import Reader, open_input
from xentool.errors import KernelError
from xentool.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPENERS = [load_kernel, open_ramdisk]


@pytest.mark.parametrize("opener", OPENERS)
class TestOpening:
    def check(self, opener: Callable[[str], object], path: Path | str, reason: str, hint: str) -> None:
        with pytest.raises(KernelError) as caught:
            opener(str(path))
        assert reason in caught.value.reason
        assert hint in caught.value.hint
        assert caught.value.action == ("load kernel" if opener is load_kernel else "load ramdisk")

    def test_missing(self, opener: Callable[[str], object], tmp_path: Path) -> None:
        self.check(opener, tmp_path / "vmlinux", "no such file", "typo")
        self.check(opener, tmp_path / "boot" / "vmlinux", "no such file", f"no directory {tmp_path}/boot")

    def test_directory(self, opener: Callable[[str], object], tmp_path: Path) -> None:
        self.check(opener, tmp_path, "is a directory", "the file itself")

    def test_fifo_does_not_hang(self, opener: Callable[[str], object], tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        self.check(opener, tmp_path / "fifo", "not a regular file", "copy")
        self.check(opener, "/dev/null", "not a regular file", "copy")

    def test_empty(self, opener: Callable[[str], object], tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        self.check(opener, tmp_path / "empty", "is empty", "copied in full")

    def test_too_large(self, opener: Callable[[str], object], tmp_path: Path) -> None:
        with open(tmp_path / "large", "wb") as file:
            file.truncate(GIB + 1)
        self.check(
            opener, tmp_path / "large", "1,073,741,825 bytes, and 1,024 MiB is the limit", "right file"
        )

    def test_nul_in_the_path(self, opener: Callable[[str], object]) -> None:
        self.check(opener, "a\0b", "is no path", "")

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
    def test_forbidden(
        self, opener: Callable[[str], object], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_arguments: object, **_named: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "open", refuse)
        wanted = "permission denied" if number == errno.EACCES else "cannot be opened (Input/output error)"
        self.check(opener, tmp_path / "x", wanted, "run as root" if number == errno.EACCES else "")


def test_ramdisk_is_copied_and_padded(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    data = bytes(range(256)) * 40
    path.write_bytes(data)
    with open_ramdisk(str(path)) as ramdisk:
        assert ramdisk.size == len(data)
        memory = bytearray(b"\xaa" * 12288)
        ramdisk.copy_into(memoryview(memory))
        assert memory == data + bytes(12288 - len(data))
        memory = bytearray(b"\xaa" * 12288)
        ramdisk.copy_into(memoryview(memory)[:4096])
        ramdisk.copy_into(memoryview(memory)[4096:], 4096)
        assert memory == data + bytes(12288 - len(data))
        os.truncate(path, 100)
        with pytest.raises(KernelError, match="became shorter"):
            ramdisk.copy_into(memoryview(memory))
    ramdisk.close()


def test_memory_that_cannot_be_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems cannot read straight into foreign memory: EFAULT, and we copy."""
    path = tmp_path / "kernel"
    path.write_bytes(pv_kernel())
    with load_kernel(str(path)) as image:
        expected, memory = bytearray(image.vend - image.vstart), bytearray(image.vend - image.vstart)
        image.copy_into(memoryview(expected), image.vstart)

        def fault(*_arguments: object) -> int:
            raise OSError(errno.EFAULT, "Bad address")

        monkeypatch.setattr(os, "preadv", fault)
        image.copy_into(memoryview(memory), image.vstart)
    assert memory == expected


def test_read_errors_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    fd, status = open_input(str(path), "load kernel")
    reader = Reader(fd, status.st_size, str(path))

    def fail(*_arguments: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        patch.setattr(os, "preadv", fail)
        with pytest.raises(KernelError, match=r"cannot be read \(Input/output error\)"):
            reader.at(0, 10, "thing")
        with pytest.raises(KernelError, match=r"cannot be read \(Input/output error\)"):
            reader.read_into(memoryview(bytearray(10)), 0)
    reader.close()
    reader.close()


def test_the_last_byte_is_inside(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    fd, status = open_input(str(path), "load kernel")
    reader = Reader(fd, status.st_size, str(path))
    assert reader.at(90, 10, "thing") == bytes(range(90, 100))
    assert reader.at(100, 0, "nothing") == b""
    for offset, length in ((91, 10), (101, 0), (1 << 64, 1), (0, 1 << 64)):
        with pytest.raises(KernelError, match="is truncated: its thing ends at byte"):
            reader.at(offset, length, "thing")
    reader.close()
