"""Features switched on and off in a list of CPUID leaves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xentool.abi import cpu_policy
from xentool.abi.cpu_policy import CMP_LEGACY, HTT, ITSC, XEN_CPUID_NO_SUBLEAF, xen_cpuid_leaf

FEATURES = (HTT, CMP_LEGACY, ITSC)
REGISTERS = st.integers(0, 0xFFFFFFFF)


def _leaves(*entries: tuple[int, int, int, int]) -> bytearray:
    numbers = (0x0, 0x1, 0x80000001, 0x80000007)
    image = bytearray()
    for leaf, (a, b, c, d) in zip(numbers, entries, strict=False):
        image += xen_cpuid_leaf.pack(leaf=leaf, subleaf=XEN_CPUID_NO_SUBLEAF, a=a, b=b, c=c, d=d)
    return image


@given(st.lists(st.tuples(REGISTERS, REGISTERS, REGISTERS, REGISTERS), min_size=4, max_size=4), st.booleans())
def test_a_feature_is_what_it_was_set_to_and_nothing_else_changes(
    entries: list[tuple[int, int, int, int]], present: bool
) -> None:
    for feature in FEATURES:
        leaves = _leaves(*entries)
        before = bytes(leaves)
        was = cpu_policy.has_feature(leaves, feature)
        assert cpu_policy.set_feature(leaves, feature, present) == (was != present)
        assert cpu_policy.has_feature(leaves, feature) == present
        different = int.from_bytes(before, "little") ^ int.from_bytes(leaves, "little")
        assert different.bit_count() == (was != present)


def test_an_absent_leaf_stays_absent() -> None:
    leaves = _leaves((0, 0, 0, 0))
    assert not cpu_policy.set_feature(leaves, HTT, True)
    assert not cpu_policy.has_feature(leaves, HTT)
    assert len(leaves) == xen_cpuid_leaf.size
