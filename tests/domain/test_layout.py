"""The layout's arithmetic: fixed facts, and properties up to 1 TiB."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.layout import VIRT_END_ALIGN, Layout, plan_layout
from xentool.errors import KernelError
from xentool.units import GIB, KIB, MIB, PAGE_SHIFT, PAGE_SIZE, TIB, pages_for

LINUX_BASE = 0xFFFFFFFF80000000
LINUX_P2M = 0x8000000000


def linux(memory: int, **keys: int | bool | None) -> Layout:
    return plan_layout(
        virt_base=LINUX_BASE,
        kernel_start=LINUX_BASE + 16 * MIB,
        kernel_end=LINUX_BASE + 48 * MIB + 0x123,
        nr_pages=memory >> PAGE_SHIFT,
        **keys,  # type: ignore[arg-type]
    )


def test_segments_follow_each_other_in_xens_order() -> None:
    layout = linux(128 * MIB, ramdisk_size=5 * MIB + 1)
    names = [segment.name for segment in layout.segments]
    assert names == [
        "padding", "kernel", "ramdisk", "p2m", "start_info", "xenstore", "console", "page tables",
        "boot stack", "padding",
    ]  # fmt: skip
    next_pfn = 0
    for segment in layout.segments:
        assert segment.pfn == next_pfn
        assert segment.vstart == LINUX_BASE + (segment.pfn << PAGE_SHIFT)
        next_pfn += segment.pages
    assert next_pfn == layout.end_pfn


def test_ramdisk_and_p2m_leave_the_mapping_when_the_kernel_says_so() -> None:
    layout = linux(1 * GIB, ramdisk_size=5 * MIB, init_p2m=LINUX_P2M, mod_start_pfn=True)
    assert layout.ramdisk is not None
    assert layout.ramdisk.vstart is None
    assert layout.p2m.vstart == LINUX_P2M
    names = [segment.name for segment in layout.segments]
    assert names.index("ramdisk") > names.index("boot stack")
    assert names[-1] == "p2m"
    own = layout.mappings[1]
    # 1 GiB: 262,144 entries are 2 MiB of list: one L1, one L2, one L3, and the L4 is the first mapping's.
    assert [level.count for level in own.tables] == [1, 1, 1, 0]
    assert own.table_pfn == layout.p2m.pfn + 512
    assert layout.p2m.pages == 512 + 3


@pytest.mark.parametrize("address", [LINUX_BASE + GIB, LINUX_P2M + 8])
def test_an_init_p2m_that_xl_ignores_is_ignored(address: int) -> None:
    layout = linux(128 * MIB, init_p2m=address)
    assert len(layout.mappings) == 1
    assert layout.p2m.vstart is not None
    assert layout.p2m.vstart > LINUX_BASE


def test_a_tiny_guest_fits_in_four_mebibytes() -> None:
    layout = plan_layout(virt_base=0, kernel_start=0, kernel_end=64 * KIB, nr_pages=4 * MIB >> PAGE_SHIFT)
    assert layout.virt_end == 4 * MIB
    assert [level.count for level in layout.mappings[0].tables] == [2, 1, 1, 1]


def test_a_mapping_past_the_address_space_is_refused() -> None:
    with pytest.raises(KernelError, match="past the end of the address space"):
        linux(8 * GIB, ramdisk_size=3 * GIB)


def test_too_little_memory_names_the_part_and_the_way_out() -> None:
    with pytest.raises(KernelError) as caught:
        linux(64 * MIB, ramdisk_size=80 * MIB)
    assert "ramdisk needs 80 MiB" in str(caught.value)
    assert "memory" in caught.value.hint


@given(
    memory=st.one_of(st.integers(4 * MIB, 256 * MIB), st.integers(256 * MIB, TIB)),
    start=st.integers(0, 64),
    kernel=st.integers(1, 64 * MIB),
    ramdisk=st.one_of(st.none(), st.integers(0, 512 * MIB)),
    p2m=st.sampled_from([None, LINUX_P2M, 0x100000000000]),
    mod_start_pfn=st.booleans(),
    base=st.sampled_from([0, LINUX_BASE, 0xFFFF880000000000]),
)
def test_properties(
    memory: int, start: int, kernel: int, ramdisk: int | None, p2m: int | None, mod_start_pfn: bool, base: int
) -> None:
    first = base + start * PAGE_SIZE
    try:
        layout = plan_layout(
            virt_base=base,
            kernel_start=first,
            kernel_end=first + kernel,
            nr_pages=memory >> PAGE_SHIFT,
            ramdisk_size=ramdisk,
            init_p2m=p2m,
            mod_start_pfn=mod_start_pfn,
        )
    except KernelError:
        return
    assert layout.end_pfn <= layout.nr_pages
    # Segments tile the pfns without gap or overlap.
    next_pfn = 0
    for segment in layout.segments:
        assert segment.pfn == next_pfn
        next_pfn += segment.pages
    assert next_pfn == layout.end_pfn
    assert layout.virt_end % VIRT_END_ALIGN == 0
    # start_info_t promises 512 KiB of mapped padding behind the boot stack.
    stack = layout.boot_stack
    assert layout.virt_end - (layout.vaddr(stack) + PAGE_SIZE) >= 512 * KIB
    for mapping in layout.mappings:
        below = mapping.last - mapping.first + 1
        # Every level covers what it maps, together with the first mapping's tables.
        assert sum(level.count for level in mapping.tables) == mapping.table_count
        if mapping is layout.mappings[0]:
            for level, tables in enumerate(mapping.tables):
                assert tables.first <= mapping.first
                assert tables.last >= mapping.last
                assert tables.count * 512 << (PAGE_SHIFT + 9 * level) >= below
    if layout.p2m.pages:
        assert layout.p2m.pages >= pages_for(layout.nr_pages * 8)
