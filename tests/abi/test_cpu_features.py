"""The names of CPU features, against Xen's header."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xentool.abi.cpu_features import Feature, feature_named, feature_names

HEADER = Path("/usr/include/xen/arch-x86/cpufeatureset.h")
NONE = 0xFFFFFFFF
WORDS = [
    (0x1, NONE, "edx"), (0x1, NONE, "ecx"), (0x80000001, NONE, "edx"), (0x80000001, NONE, "ecx"),
    (0xD, 1, "eax"), (0x7, 0, "ebx"), (0x7, 0, "ecx"), (0x80000007, NONE, "edx"), (0x80000008, NONE, "ebx"),
    (0x7, 0, "edx"), (0x7, 1, "eax"), (0x80000021, NONE, "eax"), (0x7, 1, "ebx"), (0x7, 2, "edx"),
    (0x7, 1, "ecx"), (0x7, 1, "edx"), (0x10A, NONE, "msr"), (0x10A, NONE, "msr"), (0x80000021, NONE, "ecx"),
]  # fmt: skip
"""The words of a featureset in the header's order, by its comments."""


def where(word: int, bit: int) -> Feature:
    word, bit = word + bit // 32, bit % 32
    leaf, subleaf, register = WORDS[word]
    return Feature(leaf, subleaf, register, bit + (32 if word == 17 else 0))


def test_every_feature_of_the_header_is_where_the_header_has_it() -> None:
    found = re.findall(r"^XEN_CPUFEATURE\((\w+), *(\d+)\*32 *\+ *(\d+)\)", HEADER.read_text(), re.MULTILINE)
    assert len(found) > 200
    wrong = {
        name
        for name, word, bit in found
        if feature_named(name.lower().replace("_", "-")) != where(int(word), int(bit))
    }
    assert wrong == set()


def test_no_name_stands_for_two() -> None:
    names = feature_names()
    assert len(names) == len(set(names)) > 280
    places = {feature_named(name) for name in names}
    assert len(places) == len(names)
    assert None not in places


@pytest.mark.parametrize("name", ["", "avx51", "vx", "avx:28", "fpu:0 vme", " "])
def test_what_is_no_name(name: str) -> None:
    assert feature_named(name) is None
