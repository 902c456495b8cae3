"""Write ELF kernels and bzImages for tests, byte by byte, so that no binary is kept in the repository.

Everything can be set wrong on purpose: what is written is what is asked for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

VIRT_BASE = 0xFFFF_FFFF_8000_0000
PT_LOAD, PT_NOTE = 1, 4
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOTE = 1, 2, 3, 7

ENTRY, HYPERCALL_PAGE, BASE, PADDR_OFFSET, XEN_VERSION, GUEST_OS, GUEST_VERSION, LOADER = range(1, 9)
PAE_MODE, FEATURES, BSD_SYMTAB = 9, 10, 11
INIT_P2M, MOD_START_PFN, SUPPORTED_FEATURES, PHYS32_ENTRY = 15, 16, 17, 18


def note(kind: int, value: int | str | bytes, name: bytes = b"Xen\0") -> bytes:
    """One ELF note: numbers as 64 bits, strings ended by NUL, bytes as they are."""
    if isinstance(value, int):
        desc = struct.pack("<Q", value)
    elif isinstance(value, str):
        desc = value.encode() + b"\0"
    else:
        desc = value
    return struct.pack("<III", len(name), len(desc), kind) + _pad(name) + _pad(desc)


def notes_of(values: dict[int, int | str | bytes]) -> bytes:
    """Xen notes, in order."""
    return b"".join(note(kind, value) for kind, value in values.items())


def pv_notes(**changes: int | str | bytes | None) -> dict[int, int | str | bytes]:
    """What a Linux PV kernel at 1 MiB says; keywords (note names) change or (None) drop one."""
    values: dict[int, int | str | bytes] = {
        GUEST_OS: "linux",
        XEN_VERSION: "xen-3.0",
        LOADER: "generic",
        BASE: VIRT_BASE,
        PADDR_OFFSET: 0,
        ENTRY: VIRT_BASE + 0x10_0000,
        FEATURES: "!writable_page_tables|pae_pgdir_above_4gb",
    }
    for name, value in changes.items():
        kind = globals()[name]
        values.pop(kind, None)
        if value is not None:
            values[kind] = value
    return values


@dataclass
class Load:
    """A PT_LOAD segment; `filesz`, `memsz`, `offset` are true unless set."""

    paddr: int
    data: bytes
    memsz: int | None = None
    filesz: int | None = None
    offset: int | None = None
    vaddr: int = 0
    flags: int = 7


@dataclass
class Section:
    """A section with content of its own (not in any segment); `size` and `offset` are true unless set."""

    name: str
    type: int
    data: bytes
    link: int = 0
    size: int | None = None
    offset: int | None = None


@dataclass
class ElfFile:
    """An ELF file to be. `header` overrides header fields by name; `notes` becomes a PT_NOTE segment."""

    loads: list[Load] = field(default_factory=list)
    notes: bytes = b""
    sections: list[Section] = field(default_factory=list)
    entry: int = 0
    header: dict[str, int] = field(default_factory=dict)
    note_offset: int | None = None

    def build(self) -> bytes:
        """The file."""
        phnum = len(self.loads) + bool(self.notes)
        at = 64 + 56 * phnum
        body = bytearray()
        phdrs = bytearray()
        for load in self.loads:
            offset = at + len(body)
            body += load.data
            filesz = len(load.data) if load.filesz is None else load.filesz
            memsz = filesz if load.memsz is None else load.memsz
            phdrs += struct.pack(
                "<IIQQQQQQ", PT_LOAD, load.flags, offset if load.offset is None else load.offset,
                load.vaddr, load.paddr, filesz, memsz, 4096,
            )  # fmt: skip
        if self.notes:
            body += bytes(-len(body) % 4)
            offset = at + len(body) if self.note_offset is None else self.note_offset
            phdrs += struct.pack("<IIQQQQQQ", PT_NOTE, 4, offset, 0, 0, len(self.notes), 0, 4)
            body += self.notes
        shdrs = self._sections(at, body)
        fields = {
            "class": 2, "data": 1, "machine": 62, "entry": self.entry, "phoff": 64,
            "shoff": at + len(body) if shdrs else 0, "phentsize": 56, "phnum": phnum, "shentsize": 64,
            "shnum": len(shdrs) // 64, "shstrndx": len(self.sections) + 1 if shdrs else 0, **self.header,
        }  # fmt: skip
        ident = b"\x7fELF" + bytes([fields["class"], fields["data"], 1]) + bytes(9)
        order = "<" if fields["data"] == 1 else ">"
        ehdr = ident + struct.pack(
            f"{order}HHIQQQIHHHHHH",
            2, fields["machine"], 1, fields["entry"], fields["phoff"], fields["shoff"], 0, 64,
            fields["phentsize"], fields["phnum"], fields["shentsize"], fields["shnum"], fields["shstrndx"],
        )  # fmt: skip
        return bytes(ehdr + phdrs + body + shdrs)

    def _sections(self, at: int, body: bytearray) -> bytes:
        if not self.sections:
            return b""
        names = b"\0" + b"".join(section.name.encode() + b"\0" for section in self.sections) + b".shstrtab\0"
        shdrs = bytearray(64)
        for section in [*self.sections, Section(".shstrtab", SHT_STRTAB, names)]:
            offset = at + len(body) if section.offset is None else section.offset
            size = len(section.data) if section.size is None else section.size
            name_at = names.index(b"\0" + section.name.encode() + b"\0") + 1
            shdrs += struct.pack(
                "<IIQQQQIIQQ", name_at, section.type, 0, 0, offset, size, section.link, 0, 1, 0
            )
            body += section.data
        return bytes(shdrs)


def pv_kernel(size: int = 0x3000, **note_changes: int | str | bytes | None) -> bytes:
    """A small, valid PV kernel: text with a pattern, data with bss behind it."""
    text = bytes(index * 7 % 251 for index in range(size))
    data = b"data" * 256
    return ElfFile(
        loads=[Load(0x10_0000, text), Load(0x20_0000, data, memsz=len(data) + 0x5000)],
        notes=notes_of(pv_notes(**note_changes)),
    ).build()


def bzimage(
    payload: bytes, *, version: int = 0x20F, setup_sects: int = 2, appended: bool = True, **fields: int
) -> bytes:
    """A bzImage around a compressed payload; `appended`: Linux's trailing 32-bit size.

    `offset` and `length` in `fields` override the header's.
    """
    if appended:
        payload += struct.pack("<I", 0x1234)
    setup = bytearray((setup_sects + 1) * 512)
    setup[0x1F1] = setup_sects
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, version)
    stub = b"\x90" * 100
    struct.pack_into("<II", setup, 0x248, fields.get("offset", len(stub)), fields.get("length", len(payload)))
    return bytes(setup) + stub + payload + b"\x90" * 50


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
