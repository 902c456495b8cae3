"""CPU lists: xl's syntax, and what becomes of it on a host."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.config.affinity import AffinityError, parse_affinity
from xentool.errors import ConfigError

TWO_NODES = [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("all", range(8)),
        ("3", [3]),
        ("0-3,5,^1", [0, 2, 3, 5]),
        ("^1,0-3", range(4)),  # from left to right: nothing to take 1 from yet
        ("node:1", [4, 5, 6, 7]),
        ("nodes:0-1,^node:0", [4, 5, 6, 7]),
        ("nodes:all", range(8)),
        ("all,^0-6", [7]),
        ("6-20", [6, 7]),
        (" 0 , 2 - 3 ,", [0, 2, 3]),
    ],
)
def test_a_list_names_cpus(text: str, cpus: list[int]) -> None:
    assert parse_affinity(text).resolve("cpus", 2, TWO_NODES) == [sum(1 << cpu for cpu in cpus)] * 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no CPU"),
        (",", "names no CPU"),
        ("^1", "leaves none"),
        ("^all", "every CPU away"),
        ("5-3", "ends before it begins"),
        ("a", "none of"),
        ("1-", "none of"),
        ("-1", "none of"),
        ("0x3", "none of"),
        ("node:", "none of"),
        ("9999", "beyond CPU 4095"),
        ("²", "none of"),
        ("1" * 5000, "beyond"),
    ],
)
def test_what_is_no_list_says_why(text: str, why: str) -> None:
    with pytest.raises(AffinityError, match=why):
        parse_affinity(text)


def test_a_list_per_vcpu_speaks_of_the_first_vcpus_only() -> None:
    affinity = parse_affinity(["0", "1-2", "3"])
    assert affinity.per_vcpu
    assert affinity.resolve("cpus", 2, TWO_NODES) == [1, 6]
    assert affinity.resolve("cpus", 5, TWO_NODES) == [1, 6, 8]


def test_a_vcpu_without_cpus_is_an_error_that_names_the_host() -> None:
    with pytest.raises(ConfigError, match=r'cpus_soft = "8-9".*0-7; NUMA nodes: 0, 1') as caught:
        parse_affinity(["0", "8-9"]).resolve("cpus_soft", 2, TWO_NODES)
    assert "leave cpus_soft out" in caught.value.hint


def test_libxls_bitmaps_may_be_wider_than_the_host() -> None:
    assert parse_affinity("all").bitmaps(1, [0, 0], 8) == [0xFF]
    assert parse_affinity("0-5").bitmaps(1, [0, 0], 8) == [0x3F]


term = st.builds(
    lambda no, node, first, more: f"{no}{node}{first}" + (f"-{first + more}" if more else ""),
    st.sampled_from(["", "^"]),
    st.sampled_from(["", "node:", "nodes:"]),
    st.integers(0, 4000),
    st.integers(0, 90),
)


@given(st.lists(term | st.just("all"), min_size=1).map(",".join))
def test_a_list_that_is_printed_reads_back(text: str) -> None:
    try:
        affinity = parse_affinity(text)
    except AffinityError:
        return
    assert parse_affinity(str(affinity)) == affinity


@given(st.text() | st.text("0123-,^al node:s"))
def test_any_text_is_a_list_or_an_affinity_error(text: str) -> None:
    with suppress(AffinityError):
        parse_affinity(text)
