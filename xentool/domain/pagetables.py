"""The initial page tables of a PV guest, as bytes to be copied into its frames.

The guest's own tables hold machine addresses and are validated by Xen when
the L4 is pinned. Xen accepts no writable mapping of a frame that is a page
table, so the tables' own frames are mapped read-only.

Source: Intel SDM vol. 3, 4.5 (4-level paging); public/xen.h (direct paging).
"""

from __future__ import annotations

from array import array

from xentool.abi.paging import PageFlag
from xentool.domain.layout import LEVELS, TABLE_SHIFT, page_table_ranges
from xentool.units import PAGE_SHIFT, PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.layout import Layout, VirtualMapping
    from xentool.domain.p2m import P2m

READ_ONLY_LEAF = int(PageFlag.PRESENT | PageFlag.ACCESSED)
LEAF = READ_ONLY_LEAF | PageFlag.RW
TABLE = int(PageFlag.PRESENT | PageFlag.RW | PageFlag.ACCESSED | PageFlag.DIRTY | PageFlag.USER)


def build_tables(layout: Layout, p2m: P2m) -> list[array[int]]:
    """One ``array('Q')`` a mapping: the entries of all its tables, in order of their pfns."""
    return [_tables_of(mapping, layout, p2m) for mapping in layout.mappings]


def _tables_of(mapping: VirtualMapping, layout: Layout, p2m: P2m) -> array[int]:
    out = array("Q", bytes(mapping.table_count * PAGE_SIZE))
    for level in reversed(range(LEVELS)):
        tables = mapping.tables[level]
        if not tables.count:
            continue
        start = (tables.pfn - mapping.table_pfn) << TABLE_SHIFT
        shift = PAGE_SHIFT + level * TABLE_SHIFT
        for other in layout.mappings:
            if level == 0:
                low, high, pfn = other.first, other.last, other.pfn
            else:
                below = other.tables[level - 1]
                if not below.count:
                    continue
                low, high, pfn = below.first, below.last, below.pfn
            first, last = max(low, tables.first), min(high, tables.last)
            if first > last:
                continue
            count = ((last - first) >> shift) + 1
            index = start + ((first - tables.first) >> shift)
            pfn += (first - low) >> shift
            if level == 0:
                out[index : index + count] = _leaves(layout, p2m, pfn, count)
            else:
                out[index : index + count] = p2m.entries(pfn, count, TABLE)
    return out


def _leaves(layout: Layout, p2m: P2m, pfn: int, count: int) -> array[int]:
    """L1 entries for a run of frames, read-only where the frames are page tables."""
    out = p2m.entries(pfn, count, LEAF)
    for first, end in page_table_ranges(layout):
        low, high = max(first, pfn), min(end, pfn + count)
        if low < high:
            out[low - pfn : high - pfn] = p2m.entries(low, high - low, READ_ONLY_LEAF)
    return out
