"""C libraries, their functions and their types: what is used here of ``ctypes``, without its start.

Importing ``ctypes`` takes a fourth of the time that Python itself takes to start: it declares every type of
C, and two functions of Python for C to call. So what commands need on their way is made here in the same
manner of the same parts (`_ctypes`). Whoever has the time takes ``ctypes``: the types of both go together.

Where C wants the address of something it is declared as `c_void_p`, which takes `byref`, arrays and numbers.

Source: Lib/ctypes/__init__.py of Python (c_int and the others, CDLL); dlopen(3), dlsym(3).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _ctypes import dlopen, dlsym
    from collections.abc import Callable, Iterable
    from ctypes import (
        CFUNCTYPE,
        Structure,
        addressof,
        byref,
        c_char,
        c_char_p,
        c_int,
        c_int64,
        c_long,
        c_short,
        c_uint32,
        c_uint64,
        c_ulong,
        c_void_p,
        get_errno,
    )
    from typing import Any

    _Function: Any

    Declaration = tuple[object, list[object]]
    """What a function returns, and what it takes."""
else:
    from _ctypes import (
        FUNCFLAG_CDECL,
        FUNCFLAG_USE_ERRNO,
        CFuncPtr,
        Structure,
        _SimpleCData,
        addressof,
        byref,
        dlopen,
        dlsym,
        get_errno,
    )

    # The letters are those of the module struct, in the machine's own sizes.

    class c_char(_SimpleCData):  # noqa: N801
        _type_ = "c"

    class c_short(_SimpleCData):  # noqa: N801
        _type_ = "h"

    class c_int(_SimpleCData):  # noqa: N801
        _type_ = "i"

    class c_long(_SimpleCData):  # noqa: N801
        _type_ = "l"

    class c_ulong(_SimpleCData):  # noqa: N801
        _type_ = "L"

    class c_uint32(_SimpleCData):  # noqa: N801
        _type_ = "I"

    class c_char_p(_SimpleCData):  # noqa: N801
        _type_ = "z"

    class c_void_p(_SimpleCData):  # noqa: N801
        _type_ = "P"

    # As wherever Linux and Xen's Domain-0 run together, long has 64 bits (LP64).
    c_int64, c_uint64 = c_long, c_ulong

    class _Function(CFuncPtr):
        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
        _restype_ = c_int

    def CFUNCTYPE(result: object, *arguments: object) -> type:  # noqa: N802
        """The type of functions of Python's that C calls."""

        class Callback(CFuncPtr):
            _flags_ = FUNCFLAG_CDECL
            _restype_ = result
            _argtypes_ = arguments

        return Callback


__all__ = [
    "CFUNCTYPE", "CLibrary", "Structure", "addressof", "byref", "c_char", "c_char_p", "c_int", "c_int64",
    "c_long", "c_short", "c_uint32", "c_uint64", "c_ulong", "c_void_p", "get_errno", "string_at",
]  # fmt: skip


class CLibrary:
    """A library that is loaded, with all that it needs, and stays so; with `soname` None the C library.

    Raises:
        OSError: it cannot be loaded; the text is the loader's.
    """

    __slots__ = ("_handle",)

    def __init__(self, soname: str | None) -> None:
        self._handle: int = dlopen(soname, 0)  # type: ignore[arg-type] # None: what this process has

    def lacks(self, names: Iterable[str]) -> list[str]:
        """Those of the functions that it has not."""
        handle, missing = self._handle, []
        for name in names:
            try:
                dlsym(handle, name)
            except OSError:
                missing.append(name)
        return missing

    def function(self, name: str, declared: Declaration) -> Callable[..., int] | None:
        """The function of that name, declared, or None if there is none.

        `get_errno` says afterwards what errno it left.
        """
        try:
            address = dlsym(self._handle, name)
        except OSError:
            return None
        function: Callable[..., int] = _Function(address)
        function.restype, function.argtypes = declared  # type: ignore[attr-defined]
        return function


def string_at(address: int, size: int | None = None) -> bytes:
    """The `size` bytes at an address; without it those before the first NUL."""
    if size is None:
        return c_char_p(address).value or b""
    return (c_char * size).from_address(address).raw
