"""The kernel's own symbols, placed behind it, for kernels that ask (the BSDs: note BSD_SYMTAB).

What the kernel finds at its end, rounded up to 8: a 32-bit size, an ELF header,
three section headers (none, symbol table, string table), the two tables.

Source: common/libelf/libelf-loader.c (elf_parse_bsdsyms, elf_load_bsdsyms).
"""

from __future__ import annotations

import struct

from xentool.domain.kernel.elf import EHDR_SIZE, SHDR_SIZE, SHT_STRTAB, SHT_SYMTAB, Elf

_SECTIONS = 3
_HEADER_SIZE = 4 + EHDR_SIZE + _SECTIONS * SHDR_SIZE
# Offsets in Elf64_Ehdr and Elf64_Shdr.
_E_VERSION, _E_PHOFF, _E_SHOFF, _E_EHSIZE = 20, 32, 40, 52
_SH_OFFSET, _SH_LINK = 24, 40


class SymbolImage:
    """Where the symbols go: `pieces` of (physical address, size, offset in the file or bytes); `end`."""

    __slots__ = ("end", "pieces")

    def __init__(self, pieces: list[tuple[int, int, int | bytes]], end: int) -> None:
        self.pieces = pieces
        self.end = end


def place_symbols(elf: Elf, kernel_end: int) -> SymbolImage | None:
    """Plan the symbols behind physical address `kernel_end`; None if the kernel has no symbol table.

    Raises:
        KernelError: a table lies outside the file.
    """
    sections = elf.sections()
    symbols = next((section for section in sections[1:] if section.type == SHT_SYMTAB), None)
    if symbols is None or not 0 < symbols.link < len(sections):
        return None
    strings = sections[symbols.link]
    if strings.type != SHT_STRTAB:
        return None
    elf.reader.check_range(symbols.offset, symbols.size, "symbol table")
    elf.reader.check_range(strings.offset, strings.size, "string table of the symbols")

    start = _round_up(kernel_end)
    symbols_at = _round_up(_HEADER_SIZE)
    strings_at = _round_up(symbols_at + symbols.size)
    # Offsets in the headers count from the ELF header, which follows the 32-bit size.
    ehdr = bytearray(elf.header)
    struct.pack_into("<I", ehdr, _E_VERSION, 1)
    struct.pack_into("<QQ", ehdr, _E_PHOFF, 0, EHDR_SIZE)
    struct.pack_into("<HHHHHH", ehdr, _E_EHSIZE, EHDR_SIZE, 0, 0, SHDR_SIZE, _SECTIONS, 0)
    symbols_header = bytearray(symbols.raw)
    struct.pack_into("<Q", symbols_header, _SH_OFFSET, symbols_at - 4)
    struct.pack_into("<I", symbols_header, _SH_LINK, 2)
    strings_header = bytearray(strings.raw)
    struct.pack_into("<Q", strings_header, _SH_OFFSET, strings_at - 4)
    size = (strings_at + strings.size - 4) & 0xFFFFFFFF
    header = struct.pack("<I", size) + ehdr + bytes(SHDR_SIZE) + symbols_header + strings_header
    pieces: list[tuple[int, int, int | bytes]] = [(start, len(header), header)]
    for at, section in ((symbols_at, symbols), (strings_at, strings)):
        if section.size:
            pieces.append((start + at, section.size, section.offset))
    return SymbolImage(pieces, start + _round_up(strings_at + strings.size))


def _round_up(value: int) -> int:
    return value + 7 & ~7
