"""Hostile kernels: real headers, mutated. Only our own errors; bounded memory and time."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import subprocess
import sys
import tempfile
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import elfwriter as ew
from tests.support.elfwriter import VIRT_BASE, ElfFile, Load, Section, bzimage, notes_of, pv_kernel
from xentool.domain.kernel import KernelImage, load_kernel
from xentool.domain.kernel.image import LOWER_HALF_END, XEN_END
from xentool.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Sequence

Mutation = tuple[int, bytes]

# XENTOOL_FUZZ=50 multiplies them, for a long run.
EFFORT = int(os.environ.get("XENTOOL_FUZZ", "1"))
HEADER_EXAMPLES, IMAGE_EXAMPLES = 300 * EFFORT, 60 * EFFORT


def debian_like() -> ElfFile:
    """The headers and notes of Debian 12's 6.1 kernel; the segments' content in the file is a hole."""
    return ElfFile(
        loads=[
            Load(0x100_0000, b"", filesz=0x18EA9F0, offset=0x20_0000, flags=5, vaddr=0xFFFF_FFFF_8100_0000),
            Load(0x2A0_0000, b"", filesz=0x64_4000, offset=0x1C0_0000, flags=6, vaddr=0xFFFF_FFFF_82A0_0000),
            Load(0x304_4000, b"", filesz=0x3_5000, offset=0x240_0000, flags=6),
            Load(0x307_9000, b"", filesz=0x198_7000, offset=0x247_9000, vaddr=0xFFFF_FFFF_8307_9000),
        ],
        notes=notes_of(
            {
                ew.GUEST_OS: "linux", ew.GUEST_VERSION: "2.6", ew.XEN_VERSION: "xen-3.0", ew.BASE: VIRT_BASE,
                ew.INIT_P2M: 0x80_0000_0000, ew.ENTRY: VIRT_BASE + 0x307_91C0,
                ew.FEATURES: b"!writable_page_tables|pae_pgdir_above_4gb",
                ew.SUPPORTED_FEATURES: struct.pack("<I", 0x8801), ew.PAE_MODE: "yes", ew.LOADER: "generic",
                13: struct.pack("<QQ", 1, 1), 14: b"\1\0\0\0", ew.MOD_START_PFN: b"\1\0\0\0",
                12: 0xFFFF_8000_0000_0000, ew.PADDR_OFFSET: 0, ew.PHYS32_ENTRY: 0x100_0850,
            }
        ),
        entry=0x100_0000,
    )  # fmt: skip


def bsd_like() -> ElfFile:
    """Symbols, a note section, and the older __xen_guest string beside it."""
    legacy = b"GUEST_OS=netbsd,XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0xffffffff80000000,BSD_SYMTAB=yes\0"
    notes = notes_of({**ew.pv_notes(GUEST_OS="NetBSD"), ew.BSD_SYMTAB: "yes"})
    return ElfFile(
        loads=[Load(0x10_0000, b"T" * 8192, memsz=0x5000)],
        sections=[
            Section(".symtab", ew.SHT_SYMTAB, b"S" * 240, link=2),
            Section(".strtab", ew.SHT_STRTAB, b"N" * 100),
            Section(".note.Xen", ew.SHT_NOTE, notes),
            Section("__xen_guest", ew.SHT_PROGBITS, legacy),
        ],
    )


KERNELS = {
    # name: the headers, and the size of the file (holes behind them)
    "debian": (debian_like().build(), 65_906_612),
    "bsd": (bsd_like().build(), 0),
    "small": (pv_kernel(HYPERCALL_PAGE=VIRT_BASE + 0x10_1000), 0),
}
NUMBERS = [
    0,
    1,
    4,
    0x7F,
    0xFF,
    0xFFF,
    0x1000,
    0xFFFF,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
]
NUMBERS += [
    1 << 47,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 0x1000,
    (1 << 64) - 1,
    VIRT_BASE,
    XEN_END - 1,
    XEN_END,
]
REPLACEMENTS = st.one_of(
    st.binary(min_size=1, max_size=16),
    st.builds(
        lambda number, width: (number % (1 << 8 * width)).to_bytes(width, "little"),
        st.one_of(st.sampled_from(NUMBERS), st.integers(0, (1 << 64) - 1)),
        st.sampled_from([1, 2, 4, 8]),
    ),
)


def mutations(size: int) -> st.SearchStrategy[list[Mutation]]:
    """Overwrites at any place, or at a multiple of 4, where fields begin."""
    places = st.one_of(st.integers(0, size - 1), st.integers(0, size // 4 - 1).map(lambda word: 4 * word))
    return st.lists(st.tuples(places, REPLACEMENTS), min_size=1, max_size=6)


def mutated(data: bytes, changes: Sequence[Mutation]) -> bytes:
    result = bytearray(data)
    for at, value in changes:
        result[at : at + len(value)] = value[: len(data) - at]
    return bytes(result)


def try_kernel(data: bytes, size: int = 0) -> bool:
    """Load it; check what must hold of any image; whether it was taken."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        if size > len(data):
            os.truncate(file.name, size)
        try:
            image: KernelImage | None = load_kernel(file.name, cache_dir="")
        except KernelError as error:
            refusal = str(error)
            image = None
        if image is None:
            assert 0 < len(refusal) < 1000
            return False
        with image:
            assert image.virt_base <= image.vstart <= image.entry < image.vend
            assert image.vend <= LOWER_HALF_END or image.vstart >= XEN_END
            end = int(image.vstart)
            for segment in sorted(image.segments, key=lambda segment: segment.vaddr):
                if segment.memsz:
                    assert end <= segment.vaddr
                    end = segment.vaddr + segment.memsz
                assert segment.filesz <= segment.memsz
            assert end <= image.vend
            if image.hypercall_page is not None:
                assert image.vstart <= image.hypercall_page <= image.vend - 4096
            if image.init_p2m is not None:
                assert not image.vstart <= image.init_p2m < image.vend
            window = memoryview(bytearray(8192))
            for base in (image.vstart - 4096, image.entry - 100, image.vend - 4096):
                image.copy_into(window, base)
        return True


@pytest.mark.parametrize("name", KERNELS)
def test_the_unmutated_are_taken(name: str) -> None:
    assert try_kernel(*KERNELS[name])


@pytest.mark.parametrize("name", KERNELS)
def test_mutated_headers(name: str) -> None:
    data, size = KERNELS[name]

    @settings(max_examples=HEADER_EXAMPLES, deadline=5000)
    @given(mutations(min(len(data), 1500) if name != "bsd" else len(data)))
    def check(changes: list[Mutation]) -> None:
        try_kernel(mutated(data, changes), size)

    check()


@settings(max_examples=100, deadline=5000)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00", b"", bytes(0x202) + b"HdrS"]),
)
def test_noise(noise: bytes, prefix: bytes) -> None:
    try_kernel(prefix + noise)


@cache
def packed(method: str) -> bytes:
    kernel = pv_kernel()
    if method == "gzip":
        return gzip.compress(kernel)
    if method == "bzip2":
        return bz2.compress(kernel)
    if method == "xz":
        return lzma.compress(
            kernel, filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 1}]
        )
    if method == "lzma":
        return lzma.compress(kernel, format=lzma.FORMAT_ALONE)
    if method == "zstd":
        import zstandard

        return bytes(zstandard.compress(kernel))
    if method == "lz4":
        import lz4.block

        block = lz4.block.compress(kernel, store_size=False)
        return struct.pack("<II", 0x184C2102, len(block)) + bytes(block)
    block = kernel[:4096]  # lzop, a stored block without checksums
    header = struct.pack(">HHHBBIIIIB", 0x1040, 0x20A0, 0x0940, 3, 9, 0, 0, 0, 0, 0) + bytes(4)
    return b"\x89LZO\0\r\n\x1a\n" + header + struct.pack(">II", len(block), len(block)) + block + bytes(4)


@pytest.mark.parametrize("method", ["gzip", "bzip2", "xz", "lzma", "zstd", "lz4", "lzop"])
def test_mutated_bzimages(method: str) -> None:
    image = bzimage(packed(method))
    interesting = st.one_of(mutations(0x300), mutations(len(image)))

    @settings(max_examples=IMAGE_EXAMPLES, deadline=5000)
    @given(interesting)
    def check(changes: list[Mutation]) -> None:
        try_kernel(mutated(image, changes))

    check()


UNPACK_A_BOMB = """
import sys
from xentool.domain.kernel.reader import Reader, open_input
from xentool.domain.kernel.unpack import unpack
from xentool.errors import KernelError

import bz2, lzma, lz4.block, lz4.frame, zstandard, zlib
fd, status = open_input(sys.argv[1], "load kernel")
reader = Reader(fd, status.st_size, sys.argv[1])

def peak():  # not ru_maxrss, which counts the parent's memory before exec
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

before = peak()
with open("/dev/null", "wb") as out:
    try:
        unpack(reader, out.fileno(), 128 << 20)
    except KernelError as error:
        assert "unpacks to more than 128 MiB" in error.reason, error
    else:
        raise AssertionError("the bomb was swallowed")
print(peak() - before)
"""


def bomb(method: str, size: int) -> bytes:
    """`size` zeros behind an ELF magic, in the smallest space."""
    data = pv_kernel() + bytes(size)
    if method == "gzip":
        return gzip.compress(data, compresslevel=1)
    if method == "xz":
        return lzma.compress(data, preset=0)
    if method == "zstd":
        import zstandard

        return bytes(zstandard.compress(data))
    import lz4.block

    blocks = [data[at : at + (8 << 20)] for at in range(0, len(data), 8 << 20)]
    small = [bytes(lz4.block.compress(block, store_size=False)) for block in blocks]
    return struct.pack("<I", 0x184C2102) + b"".join(struct.pack("<I", len(block)) + block for block in small)


@pytest.mark.parametrize("method", ["gzip", "xz", "zstd", "lz4"])
def test_memory_is_bounded(method: str) -> None:
    """A bomb of 160 MiB takes some blocks' worth of memory, not its own size."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bomb(method, 160 << 20))
        file.flush()
        result = subprocess.run(
            [sys.executable, "-c", UNPACK_A_BOMB, file.name],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 60 << 10
