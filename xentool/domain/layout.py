"""Where everything lies in a new PV guest's memory: pure arithmetic.

A PV guest boots with its memory laid out from pfn 0 on and mapped from
VIRT_BASE on: kernel, ramdisk, the phys-to-machine list (P2M), start-info, the
XenStore and console rings, the page tables themselves, a boot stack, padding.
Two ELF notes move things: with MOD_START_PFN the ramdisk comes after all that
and is not mapped; with INIT_P2M the P2M does too, and is mapped at the
guest's own address, by page tables that follow it.

Source: the boot-time contract of start_info_t in public/xen.h ("Start-of-day
memory layout"); the order and the rounding are those that xl's builder shows
in ``xl -vvv create``.
"""

from __future__ import annotations

from xentool.errors import KernelError
from xentool.units import KIB, MIB, PAGE_SHIFT, PAGE_SIZE, Pfn, Vaddr, format_size, pages_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = 4
TABLE_SHIFT = 9  # 512 entries in a table
VADDR_MASK = (1 << 48) - 1
ADDRESS_SPACE_END = 1 << 64
VIRT_END_ALIGN = 4 * MIB
SLACK_BYTES = 512 * KIB  # mapped behind the boot stack, as start_info_t promises
P2M_ENTRY_BYTES = 8


class Segment:
    """A named run of frames of the guest: `pages` from `pfn`, seen at [vstart, vend).

    `vstart` is None for what the initial page tables do not map.
    """

    __slots__ = ("name", "pages", "pfn", "size", "vstart")

    def __init__(self, name: str, pfn: int, pages: int, vstart: int | None, size: int) -> None:
        self.name = name
        self.pfn = Pfn(pfn)
        self.pages = pages
        self.vstart = None if vstart is None else Vaddr(vstart)
        self.size = size

    @property
    def vend(self) -> int | None:
        return None if self.vstart is None else self.vstart + self.size

    def __repr__(self) -> str:
        where = "unmapped" if self.vstart is None else f"{self.vstart:#x}"
        return f"Segment({self.name!r}, pfn={self.pfn:#x}, pages={self.pages}, vstart={where})"


class Tables:
    """The page tables of one level in one mapping: `count` frames from `pfn`, covering [first, last].

    Addresses are canonical ones cut to 48 bits; both ends are included.
    `count` 0 means that tables of an earlier mapping serve this level.
    """

    __slots__ = ("count", "first", "last", "pfn")

    def __init__(self, pfn: int, first: int, last: int, count: int) -> None:
        self.pfn = pfn
        self.first = first
        self.last = last
        self.count = count


class VirtualMapping:
    """A stretch of virtual addresses [first, last], backed by frames from `pfn` on.

    `tables[0]` are its L1 tables, `tables[3]` the L4 (in the first mapping only).
    """

    __slots__ = ("first", "last", "pfn", "table_count", "table_pfn", "tables")

    def __init__(self, first: int, last: int, pfn: int, tables: list[Tables]) -> None:
        self.first = first
        self.last = last
        self.pfn = pfn
        self.tables = tables
        self.table_pfn = tables[LEVELS - 1].pfn
        self.table_count = sum(level.count for level in tables)


class Layout:
    """The plan of a PV guest's memory.

    `segments` in order of their pfns; `mappings` one, or two with INIT_P2M;
    `end_pfn` is the first pfn that nothing here uses.
    """

    __slots__ = (
        "boot_stack", "console", "end_pfn", "kernel", "mappings", "nr_pages", "p2m", "page_tables", "ramdisk",
        "segments", "start_info", "virt_base", "virt_end", "xenstore",
    )  # fmt: skip

    nr_pages: int
    virt_base: int
    virt_end: int
    end_pfn: int
    kernel: Segment
    ramdisk: Segment | None
    p2m: Segment
    start_info: Segment
    xenstore: Segment
    console: Segment
    page_tables: Segment
    boot_stack: Segment
    segments: list[Segment]
    mappings: list[VirtualMapping]

    def vaddr(self, segment: Segment) -> int:
        """Where the guest sees a segment that must be mapped."""
        if segment.vstart is None:
            msg = f"segment {segment.name} is not mapped"
            raise AssertionError(msg)
        return segment.vstart


def plan_tables(first: int, last: int, table_pfn: int, earlier: list[VirtualMapping]) -> list[Tables]:
    """The page tables that map [first, last] beside what `earlier` mappings have, from `table_pfn` on.

    Frames are handed out from the top level down: L4, L3s, L2s, L1s.
    Returns one `Tables` a level, L1 first.
    """
    levels: list[Tables] = []
    next_pfn = table_pfn
    for level in reversed(range(LEVELS)):
        if level == LEVELS - 1:
            tables = Tables(next_pfn, 0, VADDR_MASK, 1) if not earlier else Tables(next_pfn, 0, 0, 0)
        else:
            tables = _tables_of_level(level, first, last, next_pfn, earlier)
        next_pfn += tables.count
        levels.append(tables)
    levels.reverse()
    return levels


def _tables_of_level(level: int, first: int, last: int, pfn: int, earlier: list[VirtualMapping]) -> Tables:
    """Tables of one level below the top; what an earlier mapping's tables cover already is cut off."""
    shift = PAGE_SHIFT + (level + 1) * TABLE_SHIFT
    mask = (1 << shift) - 1
    low, high = first & ~mask, last | mask
    for mapping in earlier:
        other = mapping.tables[level]
        if not other.count:
            continue
        if other.first <= low and high <= other.last:
            return Tables(pfn, 0, 0, 0)
        if other.first <= low <= other.last:
            low = other.last + 1
        if other.first <= high <= other.last:
            high = other.first - 1
    return Tables(pfn, low, high, ((high - low) >> shift) + 1)


class _Planner:
    """Hands out frames and virtual addresses in step, from pfn 0 and VIRT_BASE on."""

    def __init__(self, virt_base: int, nr_pages: int) -> None:
        self.nr_pages = nr_pages
        self.pfn = 0
        self.virt = virt_base
        self.segments: list[Segment] = []

    def take(self, name: str, size: int, *, mapped: bool = True) -> Segment:
        pages = pages_for(size)
        if pages > self.nr_pages - self.pfn:
            raise _too_small(name, size, self.pfn, self.nr_pages)
        segment = Segment(name, self.pfn, pages, self.virt if mapped else None, size)
        self.pfn += pages
        self.virt += pages << PAGE_SHIFT
        self.segments.append(segment)
        return segment


def _too_small(name: str, size: int, used_pages: int, nr_pages: int) -> KernelError:
    needed = (used_pages + pages_for(size)) << PAGE_SHIFT
    needed_mib = -(-needed // MIB)
    return KernelError(
        "lay out",
        "the guest's memory",
        f"{name} needs {format_size(size)}, and only {format_size((nr_pages - used_pages) << PAGE_SHIFT)} of "
        f"the guest's {format_size(nr_pages << PAGE_SHIFT)} are left",
        hint=f"give the guest more than {needed_mib:,} MiB (memory = …), or a smaller kernel or ramdisk",
    )


def plan_layout(
    *,
    virt_base: int,
    kernel_start: int,
    kernel_end: int,
    nr_pages: int,
    ramdisk_size: int | None = None,
    init_p2m: int | None = None,
    mod_start_pfn: bool = False,
) -> Layout:
    """Lay out a guest of `nr_pages` frames.

    Args:
        virt_base: the kernel's VIRT_BASE, the virtual address of pfn 0.
        kernel_start, kernel_end: the kernel's extent, [start, end), bss included.
        nr_pages: the guest's memory in frames.
        ramdisk_size: bytes, or None for no ramdisk.
        init_p2m: the INIT_P2M note's address, if the kernel has one.
        mod_start_pfn: the kernel's MOD_START_PFN note: it takes the ramdisk unmapped.

    Raises:
        KernelError: the guest's memory is too small, or the kernel's addresses contradict each other.
    """
    if kernel_start < virt_base or (kernel_start | virt_base) & (PAGE_SIZE - 1):
        raise KernelError(
            "lay out",
            "the kernel",
            f"its first address {kernel_start:#x} does not fit VIRT_BASE {virt_base:#x}",
        )
    planner = _Planner(virt_base, nr_pages)
    layout = Layout()
    layout.nr_pages = nr_pages
    layout.virt_base = virt_base
    if kernel_start > virt_base:
        planner.take("padding", kernel_start - virt_base)
    layout.kernel = planner.take("kernel", kernel_end - kernel_start)
    layout.ramdisk = None
    if ramdisk_size is not None and not mod_start_pfn:
        layout.ramdisk = planner.take("ramdisk", ramdisk_size)

    # As xl does: an INIT_P2M that is not below the kernel, or not page-aligned, is not honoured.
    p2m_apart = init_p2m is not None and init_p2m < virt_base and not init_p2m & (PAGE_SIZE - 1)
    p2m_size = nr_pages * P2M_ENTRY_BYTES
    if not p2m_apart:
        layout.p2m = planner.take("p2m", p2m_size)
    layout.start_info = planner.take("start_info", PAGE_SIZE)
    layout.xenstore = planner.take("xenstore", PAGE_SIZE)
    layout.console = planner.take("console", PAGE_SIZE)

    layout.virt_end, tables = _fit_tables(planner, virt_base)
    first = VirtualMapping(virt_base & VADDR_MASK, (layout.virt_end - 1) & VADDR_MASK, 0, tables)
    layout.mappings = [first]
    layout.page_tables = planner.take("page tables", first.table_count << PAGE_SHIFT)
    layout.boot_stack = planner.take("boot stack", PAGE_SIZE)
    planner.take("padding", layout.virt_end - planner.virt)

    if ramdisk_size is not None and mod_start_pfn:
        layout.ramdisk = planner.take("ramdisk", ramdisk_size, mapped=False)
    if p2m_apart:
        assert init_p2m is not None
        layout.p2m = _place_p2m(planner, layout, init_p2m, p2m_size)
    layout.segments = [segment for segment in planner.segments if segment.pages]
    layout.end_pfn = Pfn(planner.pfn)
    return layout


def _fit_tables(planner: _Planner, virt_base: int) -> tuple[int, list[Tables]]:
    """The end of the initial mapping, and its tables; these lie inside it, so iterate until they fit."""
    extra = 1 + (SLACK_BYTES >> PAGE_SHIFT)  # the boot stack and the slack behind it
    pages = extra
    while True:
        wanted = planner.virt + (pages << PAGE_SHIFT)
        virt_end = (wanted | (VIRT_END_ALIGN - 1)) + 1
        last_pfn = (virt_end - 1 - virt_base) >> PAGE_SHIFT
        if last_pfn >= planner.nr_pages:
            raise _too_small("the initial mapping", virt_end - planner.virt, planner.pfn, planner.nr_pages)
        if virt_end > ADDRESS_SPACE_END:
            raise KernelError(
                "lay out",
                "the guest's memory",
                f"kernel and ramdisk run past the end of the address space (VIRT_BASE {virt_base:#x})",
                hint="a smaller ramdisk, or a kernel that takes its ramdisk unmapped (MOD_START_PFN)",
            )
        tables = plan_tables(virt_base & VADDR_MASK, (virt_end - 1) & VADDR_MASK, planner.pfn, [])
        pages = sum(level.count for level in tables) + extra
        if planner.virt + (pages << PAGE_SHIFT) <= virt_end:
            return virt_end, tables


def _place_p2m(planner: _Planner, layout: Layout, address: int, size: int) -> Segment:
    """The P2M at the address that INIT_P2M asks for, its own page tables in the frames behind it."""
    list_pages = pages_for(size)
    first = address & VADDR_MASK
    last = (address + (list_pages << PAGE_SHIFT) - 1) & VADDR_MASK
    main = layout.mappings[0]
    if last < first or (first <= main.last and main.first <= last):
        raise KernelError(
            "lay out",
            "the P2M",
            f"INIT_P2M asks for {address:#x}, and {format_size(list_pages << PAGE_SHIFT)} from there "
            "run into the kernel",
        )
    tables = plan_tables(first, last, planner.pfn + list_pages, layout.mappings)
    mapping = VirtualMapping(first, last, planner.pfn, tables)
    layout.mappings.append(mapping)
    segment = planner.take("p2m", (list_pages + mapping.table_count) << PAGE_SHIFT, mapped=False)
    segment.vstart = Vaddr(address)
    segment.size = size
    return segment


def page_table_ranges(layout: Layout) -> Iterator[tuple[int, int]]:
    """The frames that hold page tables, as [first, end) pfn ranges: these are mapped read-only."""
    for mapping in layout.mappings:
        yield mapping.table_pfn, mapping.table_pfn + mapping.table_count
