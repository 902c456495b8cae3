"""xl's own config parser, through ctypes, for tests to compare with."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from typing import Any


@cache
def _libraries() -> tuple[Any, Any] | None:
    names = [ctypes.util.find_library("xlutil"), *(f"libxlutil.so.4.{minor}" for minor in range(17, 23))]
    for name in names:
        try:
            xlu, libc = ctypes.CDLL(name), ctypes.CDLL(None)
        except (OSError, TypeError):
            continue
        pointer = ctypes.c_void_p
        libc.open_memstream.restype = pointer
        libc.fclose.argtypes = [pointer]
        libc.free.argtypes = [pointer]
        xlu.xlu_cfg_init.restype = pointer
        xlu.xlu_cfg_init.argtypes = [pointer, ctypes.c_char_p]
        xlu.xlu_cfg_readdata.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int]
        xlu.xlu_cfg_destroy.argtypes = [pointer]
        xlu.xlu_cfg_get_string.argtypes = [pointer, ctypes.c_char_p, pointer, ctypes.c_int]
        xlu.xlu_cfg_get_list.argtypes = [pointer, ctypes.c_char_p, pointer, pointer, ctypes.c_int]
        xlu.xlu_cfg_get_listitem.argtypes = [pointer, ctypes.c_int]
        xlu.xlu_cfg_get_listitem.restype = ctypes.c_char_p
        return xlu, libc
    return None


AVAILABLE = bool(ctypes.util.find_library("xlutil")) and _libraries() is not None


def parse(data: bytes, keys: list[str]) -> dict[str, str | list[str | None]] | None:
    """The values of `keys` in `data`, or None if xl refuses it. A list in a list is None, as to xl."""
    libraries = _libraries()
    assert libraries is not None
    xlu, libc = libraries
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    report = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
    config = xlu.xlu_cfg_init(report, b"test")
    try:
        if xlu.xlu_cfg_readdata(config, data, len(data)):
            return None
        found: dict[str, str | list[str | None]] = {}
        for key in keys:
            value, items, count = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_int()
            if not xlu.xlu_cfg_get_string(config, key.encode(), ctypes.byref(value), 1):
                found[key] = (value.value or b"").decode()
            elif not xlu.xlu_cfg_get_list(config, key.encode(), ctypes.byref(items), ctypes.byref(count), 1):
                raw = [xlu.xlu_cfg_get_listitem(items, index) for index in range(count.value)]
                found[key] = [None if item is None else item.decode() for item in raw]
        return found
    finally:
        xlu.xlu_cfg_destroy(config)
        libc.fclose(report)
        libc.free(text)
