"""C functions without ``ctypes``: the same types, and what is there is found."""

from __future__ import annotations

import ctypes
import os

import pytest

from xentool import cfunctions
from xentool.cfunctions import (
    CFUNCTYPE,
    CLibrary,
    addressof,
    byref,
    c_char,
    c_int,
    c_ulong,
    c_void_p,
    string_at,
)

TYPES = [name for name in cfunctions.__all__ if name.startswith("c_")]


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_as_large_as_that_of_ctypes_and_holds_the_same(name: str) -> None:
    ours, theirs = getattr(cfunctions, name), getattr(ctypes, name)
    assert ctypes.sizeof(ours) == ctypes.sizeof(theirs)
    if name not in ("c_char", "c_char_p"):
        assert ours(-1).value == theirs(-1).value  # signed or not


def test_a_function_takes_addresses_of_all_sorts() -> None:
    length = CLibrary(None).function("strlen", (c_ulong, [c_void_p]))
    assert length is not None
    text, foreign = (c_char * 8)(), ctypes.create_string_buffer(b"Xen")
    text.value = b"Domain"
    assert length(text) == length(byref(text)) == length(addressof(text)) == 6
    assert length(foreign) == 3


def test_a_number_is_returned_as_declared_and_so_is_errno() -> None:
    close = CLibrary(None).function("close", (c_int, [c_int]))
    assert close is not None
    assert close(-1) == -1
    assert os.strerror(cfunctions.get_errno()) == "Bad file descriptor"


def test_c_calls_a_function_of_pythons() -> None:
    seen: list[int] = []
    compare = CFUNCTYPE(c_int, c_void_p, c_void_p)

    def note(one: int, other: int) -> int:
        seen.append(other - one)
        return 0

    sort = CLibrary(None).function("qsort", (None, [c_void_p, c_ulong, c_ulong, c_void_p]))
    assert sort is not None
    sort((c_int * 2)(7, 5), 2, 4, compare(note))
    assert seen == [4]


def test_what_is_not_there_is_none() -> None:
    library = CLibrary(None)
    assert library.lacks(["strlen", "no_such_function", "free"]) == ["no_such_function"]
    assert library.function("no_such_function", (None, [])) is None
    with pytest.raises(OSError, match=r"libno\.such\.so\.1"):
        CLibrary("libno.such.so.1")


def test_bytes_at_an_address() -> None:
    memory = (c_char * 6)()
    memory.raw = b"a\0b\0\0\0"
    assert string_at(addressof(memory)) == b"a"
    assert string_at(addressof(memory), 4) == b"a\0b\0"
