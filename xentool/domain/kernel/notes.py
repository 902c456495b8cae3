"""What a kernel tells Xen about itself: ELF notes, or the older ``__xen_guest`` section.

Source: xen/include/public/elfnote.h, public/features.h; rules and defaults as in
common/libelf/libelf-dominfo.c.
"""

from __future__ import annotations

from xentool.abi import elfnote
from xentool.abi import version as xenver
from xentool.domain.kernel.elf import ADDRESS_SPACE, PT_NOTE, SHT_NOTE, Elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.kernel.reader import Reader

NOTES_SIZE_MAX = 65536
STRING_SIZE_MAX = 4096
# Names and values in a kernel's __xen_guest string are this long at most, as in libelf.
_LEGACY_VALUE_MAX = 127

_STRINGS = {
    elfnote.XEN_ELFNOTE_XEN_VERSION: "xen_version",
    elfnote.XEN_ELFNOTE_GUEST_OS: "guest_os",
    elfnote.XEN_ELFNOTE_GUEST_VERSION: "guest_version",
    elfnote.XEN_ELFNOTE_LOADER: "loader",
    elfnote.XEN_ELFNOTE_PAE_MODE: "pae",
}
_NUMBERS = {
    elfnote.XEN_ELFNOTE_ENTRY: "entry",
    elfnote.XEN_ELFNOTE_HYPERCALL_PAGE: "hypercall_page",
    elfnote.XEN_ELFNOTE_VIRT_BASE: "virt_base",
    elfnote.XEN_ELFNOTE_PADDR_OFFSET: "paddr_offset",
    elfnote.XEN_ELFNOTE_INIT_P2M: "init_p2m",
    elfnote.XEN_ELFNOTE_PHYS32_ENTRY: "phys32_entry",
}
_LEGACY_STRINGS = {
    "LOADER": "loader",
    "GUEST_OS": "guest_os",
    "GUEST_VER": "guest_version",
    "XEN_VER": "xen_version",
    "PAE": "pae",
}
_LEGACY_NUMBERS = {"VIRT_BASE": "virt_base", "VIRT_ENTRY": "entry", "ELF_PADDR_OFFSET": "paddr_offset"}

# XENFEAT_*: the features that a kernel may name, and their bits.
FEATURE_BITS = {
    "writable_page_tables": xenver.XENFEAT_writable_page_tables,
    "writable_descriptor_tables": xenver.XENFEAT_writable_descriptor_tables,
    "auto_translated_physmap": xenver.XENFEAT_auto_translated_physmap,
    "supervisor_mode_kernel": xenver.XENFEAT_supervisor_mode_kernel,
    "pae_pgdir_above_4gb": xenver.XENFEAT_pae_pgdir_above_4gb,
    "hvm_callback_vector": xenver.XENFEAT_hvm_callback_vector,
    "dom0": xenver.XENFEAT_dom0,
}
# What a PV domU can never have. (Xen does not name writable_page_tables to PV guests
# either, yet every PV Linux requires it, and every Xen emulates it.)
_NEVER_FOR_PV = ("dom0", "auto_translated_physmap", "supervisor_mode_kernel", "hvm_callback_vector")


class XenNotes:
    """The notes, as they stand in the file; None or empty where the kernel says nothing.

    Addresses are virtual but for `paddr_offset` and `phys32_entry`. `required_features` and
    `supported_features` are bits 1 << XENFEAT_* of submap 0.
    """

    __slots__ = (
        "bsd_symtab", "entry", "found", "guest_os", "guest_version", "hypercall_page", "init_p2m", "legacy",
        "loader", "mod_start_pfn", "paddr_offset", "pae", "phys32_entry", "required_features",
        "supported_features", "virt_base", "xen_version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.found = False
        self.legacy = False
        self.entry: int | None = None
        self.hypercall_page: int | None = None
        self.virt_base: int | None = None
        self.paddr_offset: int | None = None
        self.init_p2m: int | None = None
        self.phys32_entry: int | None = None
        self.mod_start_pfn = False
        self.bsd_symtab = False
        self.required_features = 0
        self.supported_features = 0
        self.xen_version = ""
        self.guest_os = ""
        self.guest_version = ""
        self.loader = ""
        self.pae = ""

    @property
    def pvh_only(self) -> bool:
        """It has PVH's entry and none of what a PV kernel needs to say."""
        return self.phys32_entry is not None and self.entry is None and self.virt_base is None


def read_notes(elf: Elf) -> XenNotes:
    """Xen's notes of a kernel: from PT_NOTE, else from SHT_NOTE sections, else from ``__xen_guest``.

    Raises:
        KernelError: notes out of bounds, or a feature required that Xen does not know.
    """
    notes = XenNotes()
    reader = elf.reader
    budget = NOTES_SIZE_MAX
    for program in elf.programs:
        # Some versions of binutils leave p_offset 0 in a note segment.
        if program.type == PT_NOTE and program.offset:
            budget = _take_notes(reader, notes, program.offset, program.filesz, budget)
    if not notes.found:
        budget = NOTES_SIZE_MAX
        for section in elf.sections()[1:]:
            if section.type == SHT_NOTE:
                budget = _take_notes(reader, notes, section.offset, section.size, budget)
    if not notes.found:
        section_found = elf.section_named("__xen_guest")
        if section_found is not None:
            reader.check_range(section_found.offset, section_found.size, "__xen_guest section")
            size = min(section_found.size, STRING_SIZE_MAX + 1)
            _take_legacy(reader, notes, reader.at(section_found.offset, size, "__xen_guest section"))
    return notes


def check_notes(reader: Reader, notes: XenNotes) -> None:
    """Refuse a kernel that cannot run as a PV domU, and say why."""
    if not notes.found:
        raise reader.refuse(
            "is not built for Xen: it has no Xen notes",
            hint='take a kernel built with CONFIG_XEN_PV (Debian\'s amd64 ones are), or type = "hvm"',
        )
    if notes.pvh_only:
        raise reader.refuse(
            "is built for Xen PVH only: it has PVH's entry point (PHYS32_ENTRY) but none for PV",
            hint='take a kernel built with CONFIG_XEN_PV, or set type = "pvh"',
        )
    if not notes.loader.startswith("generic") and not notes.guest_os.startswith("linux"):
        raise reader.refuse(
            f"asks for another loader than ours: LOADER {notes.loader!r}, GUEST_OS {notes.guest_os!r}",
            hint='Xen boots kernels that say LOADER "generic" or GUEST_OS "linux"',
        )
    if not notes.xen_version.startswith("xen-3.0"):
        raise reader.refuse(
            f"is built for another Xen interface: XEN_VERSION {notes.xen_version!r}, not 'xen-3.0'",
            hint="every PV kernel for Xen 3.0 and later says xen-3.0",
        )
    for name in _NEVER_FOR_PV:
        if notes.required_features & 1 << FEATURE_BITS[name]:
            where = "only dom0 has" if name == "dom0" else "no PV guest has"
            raise reader.refuse(
                f"requires the feature {name}, which {where}", hint="take a kernel for PV domUs"
            )


def _take_notes(reader: Reader, notes: XenNotes, offset: int, size: int, budget: int) -> int:
    """Read one area of notes; what is left of the `budget` of bytes."""
    reader.check_range(offset, size, "notes")
    if size > budget:
        raise reader.refuse(f"has more than {NOTES_SIZE_MAX:,} bytes of ELF notes")
    data = reader.at(offset, size, "notes")
    at = 0
    while at + 12 <= size:
        namesz = int.from_bytes(data[at : at + 4], "little")
        descsz = int.from_bytes(data[at + 4 : at + 8], "little")
        kind = int.from_bytes(data[at + 8 : at + 12], "little")
        name_at = at + 12
        desc_at = name_at + (namesz + 3 & ~3)
        if desc_at + descsz > size:
            raise reader.refuse(f"its ELF note at byte {offset + at:,} runs out of the notes' area")
        # As Xen has it: the name ends at its NUL, whatever namesz says.
        if data[name_at : name_at + 4] == b"Xen\0":
            notes.found = True
            _take_note(reader, notes, kind, data[desc_at : desc_at + descsz])
        at = desc_at + (descsz + 3 & ~3)
    return budget - size


def _take_note(reader: Reader, notes: XenNotes, kind: int, desc: bytes) -> None:
    if kind in _NUMBERS:
        if len(desc) not in (1, 2, 4, 8):
            raise reader.refuse(
                f"its Xen note {_NUMBERS[kind].upper()} has {len(desc)} bytes, not 1, 2, 4 or 8"
            )
        setattr(notes, _NUMBERS[kind], int.from_bytes(desc, "little"))
    elif kind in _STRINGS:
        setattr(notes, _STRINGS[kind], _string(reader, desc, _STRINGS[kind].upper()))
    elif kind == elfnote.XEN_ELFNOTE_FEATURES:
        _take_features(reader, notes, _string(reader, desc, "FEATURES"))
    elif kind == elfnote.XEN_ELFNOTE_SUPPORTED_FEATURES:
        if len(desc) % 4 == 0:  # an array of 32-bit submaps; there is one so far
            notes.supported_features |= int.from_bytes(desc[:4], "little")
    elif kind == elfnote.XEN_ELFNOTE_MOD_START_PFN:
        notes.mod_start_pfn = any(desc)
    elif kind == elfnote.XEN_ELFNOTE_BSD_SYMTAB:
        notes.bsd_symtab = _string(reader, desc, "BSD_SYMTAB") == "yes"


def _string(reader: Reader, desc: bytes, name: str) -> str:
    text = desc.partition(b"\0")[0]
    if len(text) > STRING_SIZE_MAX:
        raise reader.refuse(f"its Xen note {name} is longer than {STRING_SIZE_MAX:,} bytes")
    return text.decode("ascii", "backslashreplace")


def _take_features(reader: Reader, notes: XenNotes, features: str) -> None:
    """Parse ``name|!name|…``; ``!`` marks what the kernel cannot do without."""
    for item in features.split("|"):
        name = item.removeprefix("!")
        bit = FEATURE_BITS.get(name)
        if bit is not None:
            notes.supported_features |= 1 << bit
            if item != name:
                notes.required_features |= 1 << bit
        elif item != name:
            raise reader.refuse(
                f"requires a feature that Xen does not know: {name[:64]!r}",
                hint="it may be built for a newer Xen than xentool knows",
            )


def _take_legacy(reader: Reader, notes: XenNotes, data: bytes) -> None:
    """Parse the ``__xen_guest`` string: ``NAME=value,NAME=value…``, ended by NUL."""
    text, end, _ = data.partition(b"\0")
    if not end:
        raise reader.refuse("its __xen_guest section is not ended by a NUL byte within 4,096 bytes")
    notes.found = notes.legacy = True
    for item in text.decode("ascii", "backslashreplace").split(","):
        name, _, value = item.partition("=")
        value = value[:_LEGACY_VALUE_MAX]
        if name in _LEGACY_STRINGS:
            setattr(notes, _LEGACY_STRINGS[name], value)
        elif name in _LEGACY_NUMBERS:
            setattr(notes, _LEGACY_NUMBERS[name], _number(reader, name, value))
        elif name == "HYPERCALL_PAGE":  # a page's number, relative to VIRT_BASE
            notes.hypercall_page = _number(reader, name, value) << 12
        elif name == "FEATURES":
            _take_features(reader, notes, value)
        elif name == "BSD_SYMTAB":
            notes.bsd_symtab = True
    if notes.hypercall_page is not None:
        notes.hypercall_page = (notes.hypercall_page + (notes.virt_base or 0)) % ADDRESS_SPACE


def _number(reader: Reader, name: str, value: str) -> int:
    """A number as C's strtoull with base 0 reads it: 0x…, 0… (octal) or decimal."""
    octal = len(value) > 1 and value[0] == "0" and value.isdigit()
    try:
        number = int(value, 8 if octal else 0)
    except ValueError:
        number = -1
    if not 0 <= number < ADDRESS_SPACE:
        raise reader.refuse(f"its __xen_guest section has {name}={value!r}, which is no 64-bit number")
    return number
