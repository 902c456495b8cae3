"""libxl's JSON, read and written without ``json``; ``json`` is the oracle."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.toolstack.libxl.jsontext import parse, write

VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_is_written_is_read_by_others_and_by_us(value: dict[str, object]) -> None:
    text = write(value).decode()
    assert json.loads(text) == value
    assert parse(text) == value


@given(VALUES | st.floats(allow_nan=False) | st.none())
def test_what_others_write_is_read(value: object) -> None:
    assert parse(json.dumps(value)) == value
    assert parse(f"\n {json.dumps(value, indent=2)} \n") == value


@given(st.text())
def test_any_text_is_a_value_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ValueError:
        return
    assert repr(found) == repr(json.loads(text, strict=False))  # NaN is not itself


@pytest.mark.parametrize("text", ["", "{", "{}{}", "[1,]", "nul", '{"a" 1}', "[" * 100_000])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting|Extra|delimiter"):
        parse(text)


def test_bytes_that_are_no_utf8_come_out_as_they_went_in() -> None:
    name = b"gr\xfcn".decode("utf-8", "surrogateescape")
    assert b"gr\xfcn" in write({"name": name, "none": None})
    assert b"none" not in write({"name": name, "none": None})


def test_a_tuple_is_a_list() -> None:
    assert parse(write({"a": (1, 2)}).decode()) == {"a": [1, 2]}
