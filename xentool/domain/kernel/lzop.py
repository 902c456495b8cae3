"""lzop files, as Linux makes them with CONFIG_KERNEL_LZO.

The container is read here; the LZO1X blocks in it by liblzo2, through ctypes. There is no
maintained Python package for it, and the C library's interface has been the same since 2005.

Source: lzop's file format (lzop.c, conf.h); Linux, lib/decompress_unlzo.c; lzo1x.h.
"""

from __future__ import annotations

import ctypes
import zlib

from xentool.domain.kernel.decompress import corrupt, cut_off
from xentool.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xentool.domain.kernel.decompress import Input
    from xentool.domain.kernel.reader import Reader

_LIBRARY = "liblzo2.so.2"
_MAGIC_SIZE = 9
_BLOCK_MAX = 8 * MIB  # lzop makes blocks of 256 KiB

# Flags in the header (F_…).
_ADLER32_D, _ADLER32_C, _EXTRA_FIELD = 0x1, 0x2, 0x40
_CRC32_D, _CRC32_C, _FILTER = 0x100, 0x200, 0x800


def unlzop(reader: Reader, source: Input) -> Iterator[bytes]:
    """The blocks of an lzop file.

    Raises:
        KernelError: corrupt, truncated, or liblzo2 is missing.
    """
    flags = _header(reader, source)
    unpack = _unpacker(reader)
    while True:
        size = _number(reader, source, 4)
        if not size:
            return
        packed_size = _number(reader, source, 4)
        if size > _BLOCK_MAX or not 0 < packed_size <= size:
            raise corrupt(reader, "lzop", f"a block of {packed_size:,} bytes for {size:,}")
        sums = [_number(reader, source, 4) if flags & flag else None for flag in (_ADLER32_D, _CRC32_D)]
        if packed_size < size:  # a stored block has no second checksum
            for flag in (_ADLER32_C, _CRC32_C):
                if flags & flag:
                    _number(reader, source, 4)
        packed = source.take(packed_size)
        if len(packed) < packed_size:
            raise cut_off(reader, "lzop")
        block = packed
        if packed_size < size:
            unpacked = unpack(packed, size)
            if unpacked is None:
                raise corrupt(reader, "lzop", "a block cannot be unpacked")
            block = unpacked
        for expected, checksum in zip(sums, (zlib.adler32, zlib.crc32), strict=True):
            if expected is not None and checksum(block) != expected:
                raise corrupt(reader, "lzop", "a block's checksum is wrong")
        yield block


def _header(reader: Reader, source: Input) -> int:
    """Read past the header; its flags."""
    source.take(_MAGIC_SIZE)
    version = _number(reader, source, 2)
    _number(reader, source, 2)  # the library's version
    recent = version >= 0x0940
    if recent:
        _number(reader, source, 2)  # the version needed to extract
    method = _number(reader, source, 1)
    if method not in (1, 2, 3):  # LZO1X-1, LZO1X-1(15), LZO1X-999
        raise corrupt(reader, "lzop", f"unknown method {method}")
    if recent:
        _number(reader, source, 1)  # the level
    flags = _number(reader, source, 4)
    if flags & (_FILTER | _EXTRA_FIELD):
        raise corrupt(reader, "lzop", "filters and extra fields, which no kernel has")
    _number(reader, source, 8)  # mode, time
    if recent:
        _number(reader, source, 4)  # the time's upper half
    source.take(_number(reader, source, 1))  # the file's name
    _number(reader, source, 4)  # the header's checksum
    return flags


def _number(reader: Reader, source: Input, size: int) -> int:
    data = source.take(size)
    if len(data) < size:
        raise cut_off(reader, "lzop")
    return int.from_bytes(data, "big")


def _unpacker(reader: Reader) -> Callable[[bytes, int], bytes | None]:
    """A function that unpacks an LZO1X block to exactly so many bytes, or gives None."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as exc:
        raise reader.refuse(
            f"is compressed by LZO, and the library {_LIBRARY} is missing", hint="install liblzo2-2 (Debian)"
        ) from exc
    function = library.lzo1x_decompress_safe
    function.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_size_t),
        ctypes.c_void_p,
    ]
    function.restype = ctypes.c_int

    def unpack(packed: bytes, size: int) -> bytes | None:
        out = ctypes.create_string_buffer(size)
        out_size = ctypes.c_size_t(size)
        result = function(packed, len(packed), out, ctypes.byref(out_size), None)
        return out.raw if result == 0 and out_size.value == size else None

    return unpack
