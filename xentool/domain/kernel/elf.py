"""ELF files for x86-64: the headers, checked.

Source: the ELF-64 object file format; what Xen reads of it: common/libelf/libelf-loader.c.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.kernel.reader import Reader

ELF_MAGIC = b"\x7fELF"

ELFCLASS32 = 1
ELFCLASS64 = 2
ELFDATA2LSB = 1
EM_386 = 3
EM_X86_64 = 62

PT_LOAD = 1
PT_NOTE = 4
PF_RWX = 7
SHT_SYMTAB = 2
SHT_STRTAB = 3
SHT_NOTE = 7

EHDR_SIZE = 64
PHDR_SIZE = 56
SHDR_SIZE = 64

# Far above what any kernel has (Linux: 5 and about 40), far below what takes time.
PHNUM_MAX = 128
SHNUM_MAX = 8192

ADDRESS_SPACE = 1 << 64


class ProgramHeader:
    """One program header (Elf64_Phdr)."""

    __slots__ = ("align", "filesz", "flags", "memsz", "offset", "paddr", "type", "vaddr")

    def __init__(self, fields: tuple[int, ...]) -> None:
        (self.type, self.flags, self.offset, self.vaddr, self.paddr, self.filesz, self.memsz, self.align) = (
            fields
        )


class SectionHeader:
    """One section header (Elf64_Shdr); `raw` is its bytes."""

    __slots__ = ("link", "name", "offset", "raw", "size", "type")

    def __init__(self, raw: bytes) -> None:
        (self.name, self.type, _, _, self.offset, self.size, self.link) = struct.unpack_from("<IIQQQQI", raw)
        self.raw = raw


class Elf:
    """An x86-64 ELF file's headers.

    Raises (from the constructor):
        KernelError: another class, byte order or machine, truncated, or out of bounds.
    """

    __slots__ = ("_shnum", "_shoff", "_shstrndx", "entry", "header", "programs", "reader")

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        ident = reader.at(0, 20, "ELF header")
        if ident[:4] != ELF_MAGIC:
            raise reader.refuse("is not an ELF file")
        _check_ident(reader, ident)
        self.header = reader.at(0, EHDR_SIZE, "ELF header")
        (
            self.entry, phoff, self._shoff, _flags, _ehsize,
            phentsize, phnum, shentsize, self._shnum, self._shstrndx,
        ) = struct.unpack_from("<QQQIHHHHHH", self.header, 24)  # fmt: skip
        if not phnum:
            raise reader.refuse("has no program headers", hint="is it an object file or a module?")
        if phnum > PHNUM_MAX:
            raise reader.refuse(f"has {phnum:,} program headers (e_phnum), and {PHNUM_MAX} is the limit")
        if phentsize != PHDR_SIZE:
            raise reader.refuse(f"its program headers have {phentsize} bytes (e_phentsize), not {PHDR_SIZE}")
        if self._shnum > SHNUM_MAX:
            raise reader.refuse(f"has {self._shnum:,} sections (e_shnum), and {SHNUM_MAX:,} is the limit")
        if self._shnum and shentsize != SHDR_SIZE:
            raise reader.refuse(f"its section headers have {shentsize} bytes (e_shentsize), not {SHDR_SIZE}")
        table = reader.at(phoff, phnum * PHDR_SIZE, "program header table")
        reader.check_range(self._shoff, self._shnum * SHDR_SIZE, "section header table")
        self.programs = [ProgramHeader(fields) for fields in struct.iter_unpack("<IIQQQQQQ", table)]
        self._check_segments()

    def loadable(self) -> list[ProgramHeader]:
        """The segments that are loaded, in the file's order: PT_LOAD with any permission, as Xen has it."""
        return [program for program in self.programs if program.type == PT_LOAD and program.flags & PF_RWX]

    def sections(self) -> Sequence[SectionHeader]:
        """All section headers, the first (undefined) one too."""
        table = self.reader.at(self._shoff, self._shnum * SHDR_SIZE, "section header table")
        return [SectionHeader(table[at : at + SHDR_SIZE]) for at in range(0, len(table), SHDR_SIZE)]

    def section_named(self, name: str) -> SectionHeader | None:
        """The first section of that name, or None."""
        sections = self.sections()
        if self._shstrndx >= len(sections):
            return None
        strings = sections[self._shstrndx]
        wanted = name.encode() + b"\0"
        for section in sections[1:]:
            start = strings.offset + section.name
            if start + len(wanted) <= self.reader.size and (
                self.reader.at(start, len(wanted), "section name") == wanted
            ):
                return section
        return None

    def _check_segments(self) -> None:
        refuse = self.reader.refuse
        for number, program in enumerate(self.programs):
            if program.type != PT_LOAD:
                continue
            what = f"segment {number}"
            self.reader.check_range(program.offset, program.filesz, what)
            if program.filesz > program.memsz:
                raise refuse(
                    f"{what} has {program.filesz:#x} bytes in the file but {program.memsz:#x} in memory"
                )
            if program.paddr + program.memsz > ADDRESS_SPACE:
                raise refuse(f"{what} wraps around the end of the address space (at {program.paddr:#x})")
        loadable = self.loadable()
        if not any(program.memsz for program in loadable):
            raise refuse("has nothing to load (no PT_LOAD segment)")
        placed = sorted((program for program in loadable if program.memsz), key=lambda program: program.paddr)
        for number, above in enumerate(placed[1:]):
            below = placed[number]
            if below.paddr + below.memsz > above.paddr:
                raise refuse(f"two of its segments overlap at {above.paddr:#x}")


def _check_ident(reader: Reader, ident: bytes) -> None:
    elf_class, byte_order = ident[4], ident[5]
    machine = int.from_bytes(ident[18:20], "little" if byte_order == ELFDATA2LSB else "big")
    if machine not in (EM_386, EM_X86_64):
        raise reader.refuse(
            f"is built for another processor (ELF machine {machine})", hint="take the amd64 (x86-64) kernel"
        )
    if elf_class == ELFCLASS32 or machine == EM_386:
        raise reader.refuse(
            "is a 32-bit kernel, and 32-bit PV guests are not supported",
            hint="take the amd64 (x86-64) kernel; a 32-bit one can only run as PVH or HVM",
        )
    if elf_class != ELFCLASS64:
        raise reader.refuse(f"is an ELF file of an unknown class ({elf_class})")
    if byte_order != ELFDATA2LSB:
        raise reader.refuse("is a big-endian ELF file, which no x86 runs")
