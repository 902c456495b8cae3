"""Every compression that Linux offers, made by the tools that Linux uses."""

from __future__ import annotations

import bz2
import contextlib
import ctypes
import gzip
import lzma
import shutil
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from tests.support.elfwriter import bzimage, pv_kernel
from xentool.domain.kernel import load_kernel
from xentool.domain.kernel.reader import Reader, open_input
from xentool.domain.kernel.unpack import unpack
from xentool.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KERNEL = pv_kernel(size=300_000)


def tool(*command: str) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        return bytes(subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout)

    return run


def zstd_library(data: bytes) -> bytes:
    import zstandard

    return bytes(zstandard.ZstdCompressor(level=3).compress(data))


def lz4_library(data: bytes) -> bytes:
    """The legacy frame, as ``lz4 -l`` writes it."""
    import lz4.block

    block = bytes(lz4.block.compress(data, store_size=False))
    return struct.pack("<II", 0x184C2102, len(block)) + block


# The commands of Linux's scripts/Makefile.lib, and libraries beside them where no tool may be there.
METHODS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", tool("gzip", "-n", "-9")),
    "bzip2": ("bzip2", tool("bzip2", "-9")),
    "xz": ("xz", tool("xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB")),
    "lzma": ("lzma", tool("lzma", "-9")),
    "lz4": ("lz4", tool("lz4", "-l", "-9", "-c", "-")),
    "lz4 frame": ("lz4 frame", tool("lz4", "-c", "-")),
    "zstd": ("zstd", tool("zstd", "-q", "--ultra", "-22")),
    "lzop": ("lzop", tool("lzop", "-9")),
    "gzip library": ("gzip", gzip.compress),
    "bzip2 library": ("bzip2", bz2.compress),
    "xz library": ("xz", lambda data: lzma.compress(data, preset=1)),
    "zstd library": ("zstd", zstd_library),
    "lz4 library": ("lz4", lz4_library),
}
FORMATS = [name for name in METHODS if "library" not in name]
_made: dict[str, bytes] = {}


def compressed(method: str) -> bytes:
    if method not in _made:
        _made[method] = METHODS[method][1](KERNEL)
    return _made[method]


def elf_in(path: Path) -> bytes:
    out = path.with_suffix(".elf")
    fd, status = open_input(str(path), "load kernel")
    reader = Reader(fd, status.st_size, str(path))
    try:
        with open(out, "w+b") as file:
            unpacked = unpack(reader, file.fileno())
        data = out.read_bytes()
        assert (unpacked.size, unpacked.crc32) == (len(data), zlib.crc32(data))
        return data
    finally:
        reader.close()


@pytest.mark.parametrize("method", METHODS)
def test_a_kernel_compressed_whole(tmp_path: Path, method: str) -> None:
    path = tmp_path / "vmlinux.z"
    path.write_bytes(compressed(method))
    assert elf_in(path) == KERNEL
    with load_kernel(str(path), cache_dir="") as image:
        assert image.kind == METHODS[method][0]
        assert image.guest_os == "linux"


@pytest.mark.parametrize("method", METHODS)
def test_a_bzimage(tmp_path: Path, method: str) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(compressed(method), appended=METHODS[method][0] != "gzip"))
    assert elf_in(path) == KERNEL
    with load_kernel(str(path), cache_dir="") as image:
        assert image.kind == "bzImage"


def test_a_gzipped_bzimage(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz.gz"
    path.write_bytes(gzip.compress(bzimage(compressed("xz library"))))
    assert elf_in(path) == KERNEL


def test_no_third_layer(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux.gz.gz.gz"
    path.write_bytes(gzip.compress(gzip.compress(gzip.compress(KERNEL))))
    with pytest.raises(KernelError, match="more than 2 times"):
        load_kernel(str(path), cache_dir="")


def test_something_else_inside(tmp_path: Path) -> None:
    path = tmp_path / "initrd.gz"
    path.write_bytes(gzip.compress(b"070701" + bytes(1000)))
    with pytest.raises(KernelError, match="what is inside is not a kernel") as caught:
        load_kernel(str(path), cache_dir="")
    assert "ramdisk" in caught.value.hint


@pytest.mark.parametrize("method", FORMATS)
@pytest.mark.parametrize("part", [0.0, 0.3, 0.999])
def test_truncated(tmp_path: Path, method: str, part: float) -> None:
    data = compressed(method)
    path = tmp_path / "vmlinux.z"
    path.write_bytes(data[: max(24, int(len(data) * part))])
    with pytest.raises(KernelError, match=r"truncated|corrupt"):
        load_kernel(str(path), cache_dir="")


@pytest.mark.parametrize("method", FORMATS)
def test_corrupt(tmp_path: Path, method: str) -> None:
    """Noise in the middle is found by the format, or at the latest gives no other ELF file unnoticed."""
    data = bytearray(compressed(method))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xA5 for byte in data[middle : middle + 64])
    path = tmp_path / "vmlinux.z"
    path.write_bytes(data)
    if method in ("lz4", "zstd", "lzma"):  # no checksum: a wrong result is possible, a crash is not
        with contextlib.suppress(KernelError):
            load_kernel(str(path), cache_dir="").close()
    else:
        with pytest.raises(KernelError, match=r"corrupt|truncated"):
            load_kernel(str(path), cache_dir="")


@pytest.mark.parametrize("method", FORMATS)
def test_a_bomb_stops_at_the_limit(tmp_path: Path, method: str) -> None:
    bomb = METHODS[method][1](KERNEL + bytes(24 << 20))
    path = tmp_path / "bomb"
    path.write_bytes(bomb)
    fd, status = open_input(str(path), "load kernel")
    reader = Reader(fd, status.st_size, str(path))
    with open(tmp_path / "out", "w+b") as out, pytest.raises(KernelError, match="unpacks to more than 4 MiB"):
        unpack(reader, out.fileno(), 4 << 20)
    reader.close()
    assert (tmp_path / "out").stat().st_size <= 4 << 20


@pytest.mark.parametrize(
    ("method", "header", "reason"),
    [
        ("lz4", struct.pack("<II", 0x184C2102, 0x7FFF_FFFF) + bytes(9 << 20), "block of 2,147,483,647 bytes"),
        ("lz4", struct.pack("<II", 0x184C2102, 100) + bytes(50), "ends too early"),
        ("xz", lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]), "[Mm]emory"),
        ("lzma", b"\x5d\x00\x00\x00\x70" + b"\xff" * 8 + bytes(100), "[Mm]emory"),
        ("zstd", b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(100), "memory|window"),
    ],
)
def test_sizes_in_the_file_are_not_believed(tmp_path: Path, method: str, header: bytes, reason: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(header)
    with pytest.raises(KernelError, match=reason):
        load_kernel(str(path), cache_dir="")


@pytest.mark.parametrize(("method", "package"), [("zstd library", "zstandard"), ("lz4 library", "lz4")])
def test_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, package: str
) -> None:
    path = tmp_path / "vmlinux.z"
    path.write_bytes(compressed(method))
    for name in list(sys.modules):
        if name == package or name.startswith(package + "."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(KernelError, match=f"Python's {package} package is missing") as caught:
        load_kernel(str(path), cache_dir="")
    assert f"python3-{package}" in caught.value.hint


def test_a_missing_liblzo2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vmlinux.lzo"
    path.write_bytes(compressed("lzop"))

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(KernelError, match=r"liblzo2\.so\.2 is missing"):
        load_kernel(str(path), cache_dir="")


def lzop_file(block: bytes, flags: int, checksum: int | None) -> bytes:
    """An lzop file of one stored block."""
    header = struct.pack(">HHHBBIIIIB", 0x1040, 0x20A0, 0x0940, 3, 9, flags, 0, 0, 0, 4) + b"name" + bytes(4)
    checksums = b"" if checksum is None else struct.pack(">I", checksum)
    sizes = struct.pack(">II", len(block), len(block))
    return b"\x89LZO\0\r\n\x1a\n" + header + sizes + checksums + block + bytes(4)


@pytest.mark.parametrize(
    ("flags", "checksum"), [(0, None), (1, zlib.adler32(KERNEL)), (0x100, zlib.crc32(KERNEL))]
)
def test_lzop_checksums(tmp_path: Path, flags: int, checksum: int | None) -> None:
    path = tmp_path / "vmlinux.lzo"
    path.write_bytes(lzop_file(KERNEL, flags, checksum))
    assert elf_in(path) == KERNEL
    if checksum is not None:
        path.write_bytes(lzop_file(KERNEL, flags, checksum ^ 1))
        with pytest.raises(KernelError, match="checksum is wrong"):
            elf_in(path)


@pytest.mark.parametrize("flags", [0x40, 0x800])
def test_lzop_extras_are_refused(tmp_path: Path, flags: int) -> None:
    path = tmp_path / "vmlinux.lzo"
    path.write_bytes(lzop_file(KERNEL, flags, None))
    with pytest.raises(KernelError, match="filters and extra fields"):
        elf_in(path)
