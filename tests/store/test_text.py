"""Values as text: what xenstore-read prints and xenstore-write takes, and nothing that terminals obey."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.errors import UsageError
from xentool.store.text import escaped, plain, shown, unescaped, value_fields


@given(value=st.binary(max_size=200))
def test_any_value_is_printable_ascii_and_comes_back(value: bytes) -> None:
    text = escaped(value)
    assert text.isascii()
    assert text.isprintable() or not text
    assert unescaped(text.encode()) == value


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        (rb"a\tb\n\r\\", b"a\tb\n\r\\"),
        (rb"\x1b\x1\x1g", b"\x1b\x01\x01g"),
        (rb"\0\07\101\1019", b"\x00\x07AA9"),
        (rb"\q\"\xg", b'q"xg'),
        (rb"\777", b"\xff"),
        (b"\xc3\xa4", b"\xc3\xa4"),
        (b"", b""),
    ],
)
def test_escapes_are_those_of_xenstore_write(typed: bytes, value: bytes) -> None:
    assert unescaped(typed) == value


def test_a_value_that_ends_within_an_escape_is_refused() -> None:
    with pytest.raises(UsageError, match="lone backslash"):
        unescaped(b"abc\\")


@pytest.mark.parametrize(
    "value", [b"\x1b[2J", b"\xc2\x9b2J", b"\x7f", b"\0", b"\xff", "\u202e".encode(), b"\xed\xa0\x80"]
)
def test_what_a_terminal_would_obey_is_no_plain_text(value: bytes) -> None:
    assert plain(value) is None
    assert set(value_fields(value)) == {"base64"}


@given(value=st.binary(max_size=64) | st.text(max_size=32).map(lambda text: text.encode("utf-8", "replace")))
def test_json_keeps_every_value(value: bytes) -> None:
    from binascii import a2b_base64

    fields = json.loads(json.dumps(value_fields(value)))
    back = fields["value"].encode() if "value" in fields else a2b_base64(fields["base64"])
    assert back == value


def test_paths_are_shown_as_they_are_unless_they_are_strange() -> None:
    assert shown("/local/domain/0") == "/local/domain/0"
    assert shown("/a\x1b[2J") == "/a\\x1b[2J"
