"""Structures are packed and read back field by field."""

from __future__ import annotations

import struct

import pytest

from xentool.abi.layout import Struct

SAMPLE = Struct(
    "struct sample",
    32,
    {"head": (0, "H"), "tag": (4, "4s"), "sub_value": (8, "q", "sub.value"), "list": (16, "2Q")},
)


def test_fields_are_written_where_they_lie() -> None:
    image = bytearray(b"\xee" * 40)
    SAMPLE.pack_into(image, 8, head=0x1234, sub_value=-2, list=(1, 2))
    assert image[8:10] == b"\x34\x12"
    assert image[10:16] == b"\xee" * 6, "fields that are not named stay as they are"
    assert image[16:24] == b"\xfe" + b"\xff" * 7
    assert SAMPLE.get(image, "list", 8) == (1, 2)
    assert SAMPLE.get(image, "tag", 8) == b"\xee" * 4


def test_pack_zeroes_what_is_not_named() -> None:
    image = SAMPLE.pack(tag=b"ab")
    assert len(image) == 32
    assert SAMPLE.unpack_from(image) == {"head": 0, "tag": b"ab\0\0", "sub_value": 0, "list": (0, 0)}


def test_a_row_has_the_fields_in_their_order() -> None:
    layout = Struct("struct row", 16, {"a": (0, "B"), "b": (4, "I"), "c": (8, "4s")})
    image = layout.pack(a=1, b=2, c=b"four")
    assert layout.row(image) == (1, 2, b"four")
    assert layout.unpack_from(b"\0" * 3 + image, 3) == {"a": 1, "b": 2, "c": b"four"}


@pytest.mark.parametrize("value", [1 << 16, -1])
def test_a_value_too_large_for_its_field_is_refused(value: int) -> None:
    with pytest.raises(struct.error):
        SAMPLE.pack(head=value)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(KeyError):
        SAMPLE.pack(nosuch=1)


def test_a_view_too_short_is_refused() -> None:
    with pytest.raises(struct.error):
        SAMPLE.pack_into(bytearray(31), list=(1, 2))
