"""A PV kernel that is just enough for the mock host's guests to boot.

The mock host's guests are simulated: no instruction of their kernel ever runs,
but the kernel is parsed, laid out, loaded and mapped like any other. This one
has one page of code, which on real Xen would yield for ever, and the Xen notes.

Source: the ELF-64 object file format; the notes' numbers in public/elfnote.h.
"""

from __future__ import annotations

from struct import pack

BASE = 0xFFFF_FFFF_8000_0000
LOAD_PADDR = 0x10_0000
PAGE = 4096

_ET_EXEC, _EM_X86_64, _PT_LOAD, _PT_NOTE = 2, 62, 1, 4
_EHDR, _PHDR = 64, 56
_ENTRY, _HYPERCALL_PAGE, _VIRT_BASE, _PADDR_OFFSET = 1, 2, 3, 4
_XEN_VERSION, _GUEST_OS, _GUEST_VERSION, _LOADER = 5, 6, 7, 8

# mov $29, %eax (sched_op); xor %edi, %edi (yield); xor %esi, %esi; syscall; jmp back
_CODE = bytes.fromhex("b81d000000 31ff 31f6 0f05 ebf3".replace(" ", ""))


def _note(kind: int, content: bytes) -> bytes:
    padded = content + b"\0" * (-len(content) % 4)
    return pack("<III", 4, len(content), kind) + b"Xen\0" + padded


def mock_kernel() -> bytes:
    """The bytes of the ELF file."""
    start = BASE + LOAD_PADDR
    notes = b"".join(
        (
            _note(_ENTRY, pack("<Q", start)),
            _note(_HYPERCALL_PAGE, pack("<Q", start + PAGE)),
            _note(_VIRT_BASE, pack("<Q", BASE)),
            _note(_PADDR_OFFSET, pack("<Q", 0)),
            _note(_XEN_VERSION, b"xen-3.0\0"),
            _note(_GUEST_OS, b"mock\0"),
            _note(_GUEST_VERSION, b"1\0"),
            _note(_LOADER, b"generic\0"),
        )
    )
    header = pack(
        "<4s5B7xHHIQQQIHHHHHH",
        b"\x7fELF", 2, 1, 1, 0, 0, _ET_EXEC, _EM_X86_64, 1, start, _EHDR, 0, 0, _EHDR, _PHDR, 2, 0, 0, 0,
    )  # fmt: skip
    load = pack("<IIQQQQQQ", _PT_LOAD, 7, PAGE, start, LOAD_PADDR, PAGE, 2 * PAGE, PAGE)
    note = pack("<IIQQQQQQ", _PT_NOTE, 4, _EHDR + 2 * _PHDR, 0, 0, len(notes), len(notes), 4)
    return (header + load + note + notes).ljust(PAGE, b"\0") + _CODE.ljust(PAGE, b"\0")
