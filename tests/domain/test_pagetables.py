"""The page tables, walked as a CPU would."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.layout import Layout, page_table_ranges, plan_layout
from xentool.domain.p2m import P2m
from xentool.domain.pagetables import build_tables
from xentool.units import KIB, MIB, PAGE_SHIFT, PAGE_SIZE

LINUX_BASE = 0xFFFFFFFF80000000


def scattered_p2m(nr_pages: int) -> P2m:
    """Extents and single frames out of order, as a fragmented machine gives them."""
    extents = array("Q", [0x40000 + 512 * ((7 * n) % 1021) for n in range(nr_pages >> 9)])
    singles = array("Q", [0x900000 + (5 * n) % 1021 for n in range(nr_pages & 511)])
    return P2m(extents, singles)


def walk(vaddr: int, layout: Layout, p2m: P2m) -> tuple[int, int] | None:
    """The mfn and the flags of the leaf that maps `vaddr`; None if nothing does."""
    contents: dict[int, array[int]] = {}
    for mapping, entries in zip(layout.mappings, build_tables(layout, p2m), strict=True):
        for n in range(mapping.table_count):
            contents[p2m[mapping.table_pfn + n]] = entries[n * 512 : (n + 1) * 512]
    mfn = p2m[layout.page_tables.pfn]
    entry = 0
    for shift in (39, 30, 21, 12):
        entry = contents[mfn][(vaddr >> shift) & 511]
        if not entry & 1:
            return None
        mfn = entry >> PAGE_SHIFT
    return mfn, entry & 0xFFF


@pytest.mark.parametrize("init_p2m", [None, 0x8000000000])
@pytest.mark.parametrize("memory", [64 * MIB, 97 * MIB + 12 * KIB])
def test_every_mapped_frame_is_reached(memory: int, init_p2m: int | None) -> None:
    layout = plan_layout(
        virt_base=LINUX_BASE,
        kernel_start=LINUX_BASE + MIB,
        kernel_end=LINUX_BASE + 9 * MIB,
        nr_pages=memory >> PAGE_SHIFT,
        ramdisk_size=MIB,
        init_p2m=init_p2m,
    )
    p2m = scattered_p2m(layout.nr_pages)
    tables = {pfn for first, end in page_table_ranges(layout) for pfn in range(first, end)}
    probes = [s for s in layout.segments if s.vstart is not None]
    for segment in probes:
        for n in {0, segment.pages // 2, segment.pages - 1}:
            pfn = segment.pfn + n
            if segment is layout.p2m and pfn in tables:
                continue  # the P2M's own page tables lie behind it, unmapped
            assert segment.vstart is not None
            reached = walk(segment.vstart + n * PAGE_SIZE, layout, p2m)
            assert reached is not None
            mfn, flags = reached
            assert mfn == p2m[pfn]
            assert bool(flags & 2) is (pfn not in tables)
            assert not flags & 4, "leaves are for the guest's kernel: Xen sets the user bit itself"
    assert walk(layout.virt_end, layout, p2m) is None


@given(data=st.data(), nr_pages=st.integers(1, 3000))
def test_p2m_slices_equal_its_items(data: st.DataObject, nr_pages: int) -> None:
    p2m = scattered_p2m(nr_pages)
    assert len(p2m) == nr_pages
    first = data.draw(st.integers(0, nr_pages))
    count = data.draw(st.integers(0, nr_pages - first))
    mfns = [p2m[pfn] for pfn in range(first, first + count)]
    assert list(p2m.mfns(first, count)) == mfns
    assert list(p2m.entries(first, count, 0x63)) == [mfn << 12 | 0x63 for mfn in mfns]
    assert [mfn for chunk in p2m.chunks(100) for mfn in chunk] == [p2m[pfn] for pfn in range(nr_pages)]


def test_p2m_refuses_frames_that_the_guest_has_not() -> None:
    p2m = scattered_p2m(1000)
    with pytest.raises(IndexError):
        p2m.mfns(999, 2)
    with pytest.raises(IndexError):
        p2m[1000]
