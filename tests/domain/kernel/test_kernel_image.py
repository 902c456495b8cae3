"""What a kernel's headers and notes become, and what is refused."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import elfwriter as ew
from tests.support.descriptors import open_descriptors
from tests.support.elfwriter import (
    VIRT_BASE,
    ElfFile,
    Load,
    Section,
    bzimage,
    note,
    notes_of,
    pv_kernel,
    pv_notes,
)
from xentool.domain.kernel import KernelImage, load_kernel
from xentool.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load_ = Callable[[bytes], KernelImage]


@pytest.fixture
def load(tmp_path: Path) -> Load_:
    def load(data: bytes) -> KernelImage:
        path = tmp_path / "kernel"
        path.write_bytes(data)
        image = load_kernel(str(path), cache_dir="")
        images.append(image)
        return image

    images: list[KernelImage] = []
    return load


def content(image: KernelImage, before: int = 0, after: int = 0) -> bytes:
    """The image in memory that held 0xAA before."""
    memory = bytearray(b"\xaa" * (before + image.vend - image.vstart + after))
    image.copy_into(memoryview(memory), image.vstart - before)
    return bytes(memory)


def one_load(notes: bytes, paddr: int = 0x10_0000, size: int = 0x3000, **fields: Any) -> bytes:
    return ElfFile(loads=[Load(paddr, bytes(size))], notes=notes, **fields).build()


def test_a_linux_like_kernel(load: Load_) -> None:
    image = load(
        pv_kernel(
            GUEST_VERSION="2.6", INIT_P2M=0x80_0000_0000, MOD_START_PFN=struct.pack("<I", 1), PAE_MODE="yes",
            HYPERCALL_PAGE=VIRT_BASE + 0x10_1000, SUPPORTED_FEATURES=struct.pack("<I", 0x8801),
        )
    )  # fmt: skip
    assert (image.vstart, image.vend) == (VIRT_BASE + 0x10_0000, VIRT_BASE + 0x20_0000 + 1024 + 0x5000)
    assert (image.entry, image.virt_base, image.paddr_offset) == (VIRT_BASE + 0x10_0000, VIRT_BASE, 0)
    assert (image.hypercall_page, image.init_p2m) == (VIRT_BASE + 0x10_1000, 0x80_0000_0000)
    assert image.mod_start_pfn
    assert (image.guest_os, image.guest_version, image.loader) == ("linux", "2.6", "generic")
    assert (image.xen_version, image.pae) == ("xen-3.0", "yes")
    assert image.required_features == 1
    assert image.supported_features == 0x8801 | 1 << 4
    assert [(s.vaddr, s.paddr, s.filesz, s.memsz) for s in image.segments] == [
        (VIRT_BASE + 0x10_0000, 0x10_0000, 0x3000, 0x3000),
        (VIRT_BASE + 0x20_0000, 0x20_0000, 1024, 1024 + 0x5000),
    ]
    assert image.kind == "elf64"
    assert not image.has_symbols


def test_absent_notes_are_none(load: Load_) -> None:
    image = load(pv_kernel())
    assert image.hypercall_page is None
    assert image.init_p2m is None
    assert image.phys32_entry is None
    assert not image.mod_start_pfn


def test_copy_places_segments_and_zeroes_the_rest(load: Load_) -> None:
    image = load(pv_kernel())
    memory = content(image, before=4096, after=8192)
    size = image.vend - image.vstart
    text = bytes(index * 7 % 251 for index in range(0x3000))
    assert memory[:4096] == b"\xaa" * 4096
    assert memory[4096 : 4096 + 0x3000] == text
    assert memory[4096 + 0x3000 : 4096 + 0x10_0000] == bytes(0x10_0000 - 0x3000)
    assert memory[4096 + 0x10_0000 : 4096 + 0x10_0400] == b"data" * 256
    assert memory[4096 + 0x10_0400 : 4096 + size] == bytes(0x5000)
    assert memory[4096 + size :] == b"\xaa" * 8192
    assert image.segment_bytes(0) == text
    assert image.segment_bytes(1) == b"data" * 256


@pytest.mark.parametrize("window", [1000, 4096, 0x10_0001])
def test_copy_window_by_window_is_copy_at_once(load: Load_, window: int) -> None:
    image = load(pv_kernel())
    whole = content(image, before=512, after=512)
    memory = bytearray(b"\xaa" * len(whole))
    for at in range(0, len(memory), window):
        image.copy_into(memoryview(memory)[at : at + window], image.vstart - 512 + at)
    assert memory == whole


def test_defaults_without_virt_base_and_entry(load: Load_) -> None:
    """VIRT_BASE 0, PADDR_OFFSET 0, e_entry (as pvgrub and older mini-os have it)."""
    image = load(
        one_load(
            notes_of({ew.GUEST_OS: "GRUB", ew.LOADER: "generic", ew.XEN_VERSION: "xen-3.0"}), 0, entry=16
        )
    )
    assert (image.virt_base, image.paddr_offset, image.vstart, image.entry) == (0, 0, 0, 16)
    assert image.vend == 0x3000


def test_paddr_offset_shifts_physical_addresses(load: Load_) -> None:
    base = 0xFFFF_FFFF_C000_0000
    notes = notes_of(pv_notes(BASE=base, PADDR_OFFSET=base, ENTRY=base + 0x10_0000))
    image = load(one_load(notes, base + 0x10_0000))
    assert image.vstart == base + 0x10_0000
    assert image.segments[0].vaddr == base + 0x10_0000
    assert image.paddr_offset == base


def test_p_vaddr_is_not_read(load: Load_) -> None:
    """Linux's per-cpu segment has p_vaddr 0; Xen places by p_paddr alone."""
    elf = ElfFile(loads=[Load(0x10_0000, b"x" * 4096, vaddr=0x1234)], notes=notes_of(pv_notes()))
    assert load(elf.build()).segments[0].vaddr == VIRT_BASE + 0x10_0000


def test_segments_without_permissions_are_not_loaded(load: Load_) -> None:
    loads = [Load(0x10_0000, b"x" * 4096), Load(0x80_0000, b"y" * 4096, flags=0)]
    image = load(ElfFile(loads=loads, notes=notes_of(pv_notes())).build())
    assert len(image.segments) == 1
    assert image.vend == VIRT_BASE + 0x10_1000


def test_notes_from_a_section(load: Load_) -> None:
    """Where no segment has any, and a segment at offset 0 does not count."""
    loads = [Load(0x10_0000, bytes(0x3000))]
    sections = [Section(".note.Xen", ew.SHT_NOTE, notes_of(pv_notes(MOD_START_PFN=b"\x01")))]
    assert load(ElfFile(loads=loads, sections=sections).build()).mod_start_pfn
    other = note(3, b"id", name=b"GNU\0")
    assert load(ElfFile(loads=loads, sections=sections, notes=other).build()).mod_start_pfn
    assert load(
        ElfFile(loads=loads, sections=sections, notes=b"\xff" * 64, note_offset=0).build()
    ).mod_start_pfn


def test_the_last_of_equal_notes_counts(load: Load_) -> None:
    notes = notes_of(pv_notes()) + note(ew.ENTRY, VIRT_BASE + 0x10_0010)
    assert load(one_load(notes)).entry == VIRT_BASE + 0x10_0010


def test_strings_need_no_nul(load: Load_) -> None:
    """Linux's FEATURES note has none."""
    notes = notes_of(pv_notes(FEATURES=b"!writable_page_tables|dom0__"))
    assert load(one_load(notes)).required_features == 1


def test_legacy_section(load: Load_) -> None:
    """__xen_guest: p_paddr holds virtual addresses, the hypercall page is a page number."""
    text = (
        b"GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,PAE=yes,LOADER=generic,"
    )
    text += b"VIRT_ENTRY=0xffffffff80100040,HYPERCALL_PAGE=0x101,FEATURES=!writable_page_tables|dom0,"
    text += b"BSD_SYMTAB\0junk"
    sections = [Section("__xen_guest", ew.SHT_PROGBITS, text)]
    image = load(ElfFile(loads=[Load(VIRT_BASE + 0x10_0000, bytes(0x3000))], sections=sections).build())
    assert (image.vstart, image.paddr_offset) == (VIRT_BASE + 0x10_0000, VIRT_BASE)
    assert (image.entry, image.hypercall_page) == (VIRT_BASE + 0x10_0040, VIRT_BASE + 0x10_1000)
    assert (image.guest_version, image.pae, image.required_features) == ("2.6", "yes", 1)


def test_bsd_symbols_follow_the_kernel(load: Load_) -> None:
    symbols, strings = b"S" * 50, b"\0main\0"
    elf = ElfFile(
        loads=[Load(0x10_0000, bytes(0x1001))],
        notes=notes_of(pv_notes(BSD_SYMTAB="yes")),
        sections=[
            Section(".symtab", ew.SHT_SYMTAB, symbols, link=2),
            Section(".strtab", ew.SHT_STRTAB, strings),
        ],
    ).build()
    image = load(elf)
    assert image.has_symbols
    start = 0x1008
    assert image.vend - image.vstart == start + 264 + 56 + 8
    memory = content(image)
    (size,) = struct.unpack_from("<I", memory, start)
    assert size == 264 + 56 + len(strings) - 4
    header = start + 4
    shoff, _, ehsize, phentsize, phnum, shentsize, shnum, shstrndx = struct.unpack_from(
        "<QIHHHHHH", memory, header + 40
    )
    assert (shoff, ehsize, phentsize, phnum, shentsize, shnum, shstrndx) == (64, 64, 0, 0, 64, 3, 0)
    assert memory[header : header + 4] == b"\x7fELF"
    for index, expected in ((1, symbols), (2, strings)):
        kind, offset, length, link = struct.unpack_from("<4xI16xQQI", memory, header + shoff + 64 * index)
        assert kind == {1: ew.SHT_SYMTAB, 2: ew.SHT_STRTAB}[index]
        assert memory[header + offset : header + offset + length] == expected
        if index == 1:
            assert link == 2


def test_bsd_symbols_asked_for_but_stripped(load: Load_) -> None:
    image = load(pv_kernel(BSD_SYMTAB="yes"))
    assert not image.has_symbols
    assert image.vend == VIRT_BASE + 0x20_0000 + 1024 + 0x5000


HEAP = VIRT_BASE + 0x10_0000
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "not a kernel": (b"hello, world" * 100, "not a kernel", "ELF file or a bzImage"),
    "a script": (b"#!/bin/sh\n" * 100, "not a kernel", "script"),
    "zeros": (bytes(5000), "not a kernel", "zeros only"),
    "a ramdisk": (b"070701" * 100, "not a kernel", "ramdisk"),
    "an EFI program": (b"MZ" + bytes(5000), "not a kernel", "EFI"),
    "an arm64 kernel": (bytes(0x38) + b"ARMd" + bytes(5000), "not a kernel", "ARM"),
    "cut in the ELF header": (pv_kernel()[:40], "truncated: its ELF header", "again"),
    "cut in the segments": (pv_kernel()[:0x1000], "truncated: its segment 0", "again"),
    "cut in the notes": (pv_kernel()[:-20], "truncated: its notes", "again"),
    "32-bit": (ElfFile(header={"class": 1, "machine": 3}).build(), "32-bit", "amd64"),
    "x32": (ElfFile(header={"class": 1}).build(), "32-bit", "amd64"),
    "i386 in ELF64": (ElfFile(header={"machine": 3}).build(), "32-bit", "amd64"),
    "arm64 ELF": (ElfFile(header={"machine": 183}).build(), "another processor", "amd64"),
    "big endian": (ElfFile(header={"data": 2}).build(), "big-endian", ""),
    "unknown class": (ElfFile(header={"class": 7}).build(), "unknown class", ""),
    "no program headers": (ElfFile().build(), "no program headers", "module"),
    "too many program headers": (one_load(b"", header={"phnum": 129}), "e_phnum", ""),
    "odd program headers": (one_load(b"", header={"phentsize": 64}), "e_phentsize", ""),
    "program headers outside": (one_load(b"", header={"phoff": 1 << 63}), "program header table", "again"),
    "too many sections": (one_load(b"", header={"shnum": 9000}), "e_shnum", ""),
    "odd sections": (one_load(b"", header={"shnum": 1, "shentsize": 40}), "e_shentsize", ""),
    "sections outside": (
        one_load(b"", header={"shnum": 3, "shoff": (1 << 64) - 1}),
        "section header table",
        "",
    ),
    "nothing to load": (ElfFile(notes=notes_of(pv_notes())).build(), "nothing to load", ""),
    "filesz over memsz": (
        ElfFile(loads=[Load(0, b"x" * 100, memsz=99)], notes=notes_of(pv_notes())).build(),
        "0x63 in memory",
        "",
    ),
    "segment outside": (ElfFile(loads=[Load(0, b"x", offset=(1 << 64) - 1)]).build(), "segment 0", "again"),
    "segment that wraps": (
        ElfFile(loads=[Load((1 << 64) - 4096, b"x" * 4097)], notes=notes_of(pv_notes())).build(),
        "wraps",
        "",
    ),
    "segments that overlap": (
        ElfFile(loads=[Load(0x1000, b"x" * 4097), Load(0x2000, b"y")], notes=notes_of(pv_notes())).build(),
        "overlap at 0x2000",
        "",
    ),
    "no Xen notes": (one_load(note(1, b"Linux", b"Linux\0")), "not built for Xen", "CONFIG_XEN_PV"),
    "PVH only": (
        one_load(notes_of({ew.GUEST_OS: "linux", ew.XEN_VERSION: "xen-3.0", ew.PHYS32_ENTRY: 0x10_0000})),
        "PVH only",
        'type = "pvh"',
    ),
    "other loader": (pv_kernel(LOADER="special", GUEST_OS="BeOS"), "another loader", "generic"),
    "other interface": (pv_kernel(XEN_VERSION="xen-4.0"), "another Xen interface", ""),
    "no interface": (pv_kernel(XEN_VERSION=None), "another Xen interface", ""),
    "dom0 kernel": (pv_kernel(FEATURES="!dom0"), "only dom0 has", "domU"),
    "translated": (pv_kernel(FEATURES="!auto_translated_physmap"), "no PV guest has", "domU"),
    "unknown feature": (pv_kernel(FEATURES="!time_travel"), "'time_travel'", "newer Xen"),
    "odd number": (pv_kernel(ENTRY=b"123"), "ENTRY has 3 bytes", ""),
    "long string": (pv_kernel(GUEST_OS="linux" + "x" * 4096), "GUEST_OS is longer than 4,096", ""),
    "many notes": (one_load(notes_of(pv_notes()) + note(77, bytes(65500))), "65,536 bytes of ELF notes", ""),
    "a note runs out": (
        one_load(notes_of(pv_notes()) + struct.pack("<III", 4, 400, 1) + b"Xen\0"),
        "runs out",
        "",
    ),
    "offset without base": (pv_kernel(BASE=None), "PADDR_OFFSET but not VIRT_BASE", ""),
    "wrapped": (pv_kernel(BASE=(1 << 64) - 0x20_1000, ENTRY=(1 << 64) - 0x10_1000), "wrap around", ""),
    "below its base": (pv_kernel(PADDR_OFFSET=0x11_0000, ENTRY=VIRT_BASE), "below its VIRT_BASE", ""),
    "in Xen's range": (
        pv_kernel(BASE=0xFFFF_8000_0000_0000, ENTRY=0xFFFF_8000_0010_0000),
        "not a PV guest's to use",
        "0xffff8800",
    ),
    "not canonical": (pv_kernel(BASE=1 << 47, ENTRY=(1 << 47) + 0x10_0000), "not a PV guest's to use", ""),
    "entry below": (pv_kernel(ENTRY=HEAP - 1), "entry point 0xffffffff800fffff lies outside", ""),
    "entry behind": (pv_kernel(ENTRY=VIRT_BASE + 0x20_0000 + 1024 + 0x5000), "entry point", ""),
    "hypercall page below": (pv_kernel(HYPERCALL_PAGE=HEAP - 4096), "hypercall page", ""),
    "hypercall page at the end": (pv_kernel(HYPERCALL_PAGE=VIRT_BASE + 0x20_5000), "lies outside", ""),
    "hypercall page askew": (pv_kernel(HYPERCALL_PAGE=HEAP + 8), "does not start on a page", ""),
    "P2M inside": (pv_kernel(INIT_P2M=HEAP + 4096), "P2M list", ""),
    "symbols outside": (
        ElfFile(
            loads=[Load(0x10_0000, bytes(64))],
            notes=notes_of(pv_notes(BSD_SYMTAB="yes")),
            sections=[
                Section("s", ew.SHT_SYMTAB, b"", link=2, size=1 << 40),
                Section("t", ew.SHT_STRTAB, b""),
            ],
        ).build(),
        "symbol table",
        "again",
    ),
    "legacy without NUL": (
        ElfFile(loads=[Load(0, bytes(64))], sections=[Section("__xen_guest", 1, b"GUEST_OS=linux")]).build(),
        "__xen_guest",
        "",
    ),
    "legacy with a bad number": (
        ElfFile(loads=[Load(0, bytes(64))], sections=[Section("__xen_guest", 1, b"VIRT_BASE=12z\0")]).build(),
        "VIRT_BASE='12z'",
        "",
    ),
    "legacy number of 65 bits": (
        ElfFile(
            loads=[Load(0, bytes(64))],
            sections=[Section("__xen_guest", 1, b"VIRT_BASE=0x1" + b"0" * 16 + b"\0")],
        ).build(),
        "64-bit",
        "",
    ),
    "old bzImage": (bzimage(b"\x1f\x8b", version=0x207), "boot protocol 2.07", "vmlinux"),
    "bzImage without payload": (bzimage(b"", length=0), "without a payload", ""),
    "bzImage cut in its header": (bzimage(b"")[:0x210], "bzImage's header", ""),
    "bzImage payload too long": (
        bzimage(b"\x1f\x8b" * 99, length=1 << 31),
        "its payload ends at byte",
        "again",
    ),
    "bzImage payload outside": (
        bzimage(b"\x1f\x8b" * 99, offset=0xFFFF_FFFF),
        "its payload ends at byte",
        "again",
    ),
    "bzImage of what?": (bzimage(b"nonsense" * 99), "unknown compression (6e 6f", ""),
    "bzImage, not compressed": (bzimage(pv_kernel()), "unknown compression (7f 45", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_its_reason(load: Load_, case: str) -> None:
    data, reason, hint = REFUSED[case]
    with pytest.raises(KernelError) as caught:
        load(data)
    assert reason in caught.value.reason
    assert hint in caught.value.hint
    assert caught.value.exit_code == 3


def test_refusing_leaves_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    before = open_descriptors()
    for data, _, _ in REFUSED.values():
        path.write_bytes(data)
        with pytest.raises(KernelError):
            load_kernel(str(path), cache_dir=str(tmp_path / "cache"))
    assert open_descriptors() == before
    path.write_bytes(pv_kernel())
    with load_kernel(str(path)) as image:
        image.segment_bytes(0)
    image.close()
    assert open_descriptors() == before


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(pv_kernel())
    with load_kernel(str(path)) as image:
        os.truncate(path, 0x800)
        with pytest.raises(KernelError, match="became shorter"):
            content(image)
