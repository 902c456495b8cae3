"""KernelImage: what the builder must know of a PV kernel, as one value.

Source: tools/libs/guest/xg_dom_elfloader.c, common/libelf/libelf-dominfo.c
(elf_xen_addr_calc_check), libelf-loader.c (elf_parse_binary, elf_load_binary).
"""

from __future__ import annotations

from xentool.domain.kernel.elf import ADDRESS_SPACE, Elf
from xentool.domain.kernel.notes import XenNotes, check_notes, read_notes
from xentool.units import MIB, PAGE_SIZE, Vaddr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from xentool.domain.kernel.reader import Reader

# Virtual addresses that a PV guest can use: the lower half, and the upper half behind the part
# that Xen keeps for itself (public/arch-x86/xen-x86_64.h, HYPERVISOR_VIRT_START and _END).
LOWER_HALF_END = 1 << 47
XEN_END = 0xFFFF_8800_0000_0000

_ZEROS_SIZE = MIB


class Segment:
    """One PT_LOAD segment: `filesz` bytes of the file from `offset` on, then zeros up to `memsz`.

    `vaddr` is where it is loaded: `paddr` plus the kernel's virtual offset. (The header's own
    p_vaddr is not it: Linux's per-cpu segment has 0 there. Xen does not read it.)
    """

    __slots__ = ("filesz", "memsz", "offset", "paddr", "vaddr")

    def __init__(self, vaddr: Vaddr, paddr: int, offset: int, filesz: int, memsz: int) -> None:
        self.vaddr = vaddr
        self.paddr = paddr
        self.offset = offset
        self.filesz = filesz
        self.memsz = memsz

    def __repr__(self) -> str:
        return (
            f"Segment(vaddr={self.vaddr:#x}, paddr={self.paddr:#x}, offset={self.offset:#x}, "
            f"filesz={self.filesz:#x}, memsz={self.memsz:#x})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Segment) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[int, ...]:
        return self.vaddr, self.paddr, self.offset, self.filesz, self.memsz


class KernelImage:
    """A kernel that a PV domain can boot. A value, but for the open file that `close` gives back.

    Attributes:
        path: the file as the config names it.
        kind: its format: ``"elf64"``, ``"bzImage"``, or a compression's name.
        origin: where the bytes come from, for ``--dry-run`` and ``--verbose``.
        segments: the PT_LOAD segments in the file's order.
        vstart, vend: virtual extent, bss and (if asked for) symbols included. Not rounded to pages.
        entry: virtual address where vcpu 0 starts.
        virt_base: virtual address of pfn 0.
        paddr_offset: what p_paddr is to be lessened by to give a guest-physical address.
        hypercall_page, init_p2m: virtual addresses, page-aligned (init_p2m: as the note has it), or None.
        mod_start_pfn: the ramdisk need not be mapped, and is given by its pfn.
        required_features, supported_features: bits 1 << XENFEAT_* of submap 0.
        guest_os, guest_version, xen_version, loader, pae: the notes' strings, empty if absent.
        phys32_entry: PVH's entry point, if the kernel is also built for that.
        has_symbols: the kernel's symbol table is loaded behind it (BSD_SYMTAB).
    """

    __slots__ = (
        "_mapped", "_pieces", "_reader", "entry", "guest_os", "guest_version", "has_symbols",
        "hypercall_page", "init_p2m", "kind", "loader", "mod_start_pfn", "origin", "paddr_offset", "pae",
        "path", "phys32_entry", "required_features", "segments", "supported_features", "vend", "virt_base",
        "vstart", "xen_version",
    )  # fmt: skip

    def __init__(self, reader: Reader, kind: str = "elf64", origin: str = "the file itself") -> None:
        """Parse the (decompressed) ELF file in `reader`, which is this image's from now on.

        Raises:
            KernelError: it is none, it is hostile, or no PV domU can boot it. `reader` is left open.
        """
        self._reader = reader
        self._mapped: memoryview | None = None
        self.path = reader.path
        self.kind = kind
        self.origin = origin
        elf = Elf(reader)
        notes = read_notes(elf)
        check_notes(reader, notes)
        self._take_strings(notes)
        self._place(elf, notes)
        self._check_addresses()

    def close(self) -> None:
        """Give back the file. Views from `segment_bytes` stay valid. May be called twice."""
        self._mapped = None
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def copy_into(self, view: memoryview, base_vaddr: int) -> None:
        """Write what of the kernel lies in [base_vaddr, base_vaddr + len(view)) into `view`, zeros included.

        Every byte of the view from `vstart` to `vend` is written: what no segment fills is zeroed. So a
        kernel can be written in one go or window by window. One copy, straight from the page cache.

        Raises:
            KernelError: the file shrank or cannot be read any more.
        """
        window_end = base_vaddr + len(view)
        done = max(base_vaddr, self.vstart)
        for vaddr, size, content in self._pieces:
            start, end = max(vaddr, base_vaddr), min(vaddr + size, window_end)
            if start >= end:
                continue
            _zero(view, done - base_vaddr, start - base_vaddr)
            target = view[start - base_vaddr : end - base_vaddr]
            if isinstance(content, int):
                self._reader.read_into(target, content + start - vaddr)
            else:
                target[:] = content[start - vaddr : end - vaddr]
            done = end
        _zero(view, done - base_vaddr, min(self.vend, window_end) - base_vaddr)

    def segment_bytes(self, index: int) -> memoryview:
        """The bytes that the file has for segment `index` (`filesz` of them), mapped, read-only.

        For looking at. The builder uses `copy_into`, which survives a file that shrinks.
        """
        if self._mapped is None:
            import mmap

            area = mmap.mmap(self._reader.fd, self._reader.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            self._mapped = memoryview(area)
        segment = self.segments[index]
        return self._mapped[segment.offset : segment.offset + segment.filesz]

    def _take_strings(self, notes: XenNotes) -> None:
        self.guest_os = notes.guest_os
        self.guest_version = notes.guest_version
        self.xen_version = notes.xen_version
        self.loader = notes.loader
        self.pae = notes.pae
        self.required_features = notes.required_features
        self.supported_features = notes.supported_features
        self.mod_start_pfn = notes.mod_start_pfn
        self.hypercall_page = notes.hypercall_page
        self.init_p2m = notes.init_p2m
        self.phys32_entry = notes.phys32_entry

    def _place(self, elf: Elf, notes: XenNotes) -> None:
        """Work out all addresses, by Xen's rules and with its defaults."""
        if notes.paddr_offset is not None and notes.virt_base is None:
            raise self._reader.refuse(
                "says PADDR_OFFSET but not VIRT_BASE", hint="the kernel's Xen notes are broken"
            )
        self.virt_base = Vaddr(notes.virt_base or 0)
        if notes.paddr_offset is not None:
            self.paddr_offset = notes.paddr_offset
        else:
            # Kernels of the __xen_guest kind have virtual addresses in p_paddr.
            self.paddr_offset = self.virt_base if notes.legacy else 0
        virt_offset = self.virt_base - self.paddr_offset

        programs = elf.loadable()
        start = min(program.paddr for program in programs)
        end = max(program.paddr + program.memsz for program in programs)
        pieces: list[tuple[int, int, int | bytes]] = [
            (program.paddr, program.filesz, program.offset) for program in programs if program.filesz
        ]
        self.has_symbols = False
        if notes.bsd_symtab:
            from xentool.domain.kernel.symtab import place_symbols

            symbols = place_symbols(elf, end)
            if symbols is not None:
                self.has_symbols = True
                end = symbols.end
                pieces += symbols.pieces

        # The offset may be negative, and Xen counts modulo 2^64.
        self.vstart = Vaddr((start + virt_offset) % ADDRESS_SPACE)
        self.vend = Vaddr((end + virt_offset) % ADDRESS_SPACE)
        shift = self.vstart - start
        self.segments = tuple(
            Segment(
                Vaddr(program.paddr + shift), program.paddr, program.offset, program.filesz, program.memsz
            )
            for program in programs
        )
        self._pieces = tuple(
            (paddr + shift, size, content) for paddr, size, content in sorted(pieces, key=_address)
        )
        self.entry = Vaddr(elf.entry if notes.entry is None else notes.entry)

    def _check_addresses(self) -> None:
        refuse = self._reader.refuse
        extent = f"{self.vstart:#x} to {self.vend:#x}"
        if self.vstart > self.vend:
            raise refuse(f"its addresses wrap around the end of the address space ({extent})")
        if self.vstart < self.virt_base:
            raise refuse(f"starts at {self.vstart:#x}, below its VIRT_BASE {self.virt_base:#x}")
        if not (self.vend <= LOWER_HALF_END or self.vstart >= XEN_END):
            raise refuse(
                f"its addresses, {extent}, are not a PV guest's to use",
                hint=f"guests have those below {LOWER_HALF_END:#x} and those from {XEN_END:#x} on",
            )
        if not self.vstart <= self.entry < self.vend:
            raise refuse(f"its entry point {self.entry:#x} lies outside of it ({extent})")
        page = self.hypercall_page
        if page is not None:
            if page % PAGE_SIZE:
                raise refuse(f"its hypercall page {page:#x} does not start on a page")
            if not (self.vstart <= page and page + PAGE_SIZE <= self.vend):
                raise refuse(f"its hypercall page {page:#x} lies outside of it ({extent})")
        if self.init_p2m is not None and self.vstart <= self.init_p2m < self.vend:
            raise refuse(f"wants its P2M list at {self.init_p2m:#x}, inside itself ({extent})")


def _address(piece: tuple[int, int, int | bytes]) -> int:
    return piece[0]


def _zero(view: memoryview, start: int, end: int) -> None:
    """Zero view[start:end], if there is anything between."""
    zeros = bytes(min(_ZEROS_SIZE, max(0, end - start)))
    while start < end:
        count = min(len(zeros), end - start)
        view[start : start + count] = zeros[:count] if count < len(zeros) else zeros
        start += count
