"""From a compressed kernel file to the ELF file inside: streamed, counted, hashed on the way.

At most two layers are unwrapped: a kernel compressed whole (``vmlinux.gz``), a bzImage, a gzip'ed bzImage.
"""

from __future__ import annotations

import os
import zlib
from hashlib import blake2b

from xentool.domain.kernel.decompress import BLOCK_SIZE, decompress
from xentool.domain.kernel.formats import (
    BZIMAGE,
    ELF64,
    HEAD_SIZE,
    bzimage_payload,
    describe_unknown,
    format_of,
)
from xentool.domain.kernel.reader import FILE_SIZE_MAX
from xentool.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.domain.kernel.reader import Reader

_LAYERS_MAX = 2


class Unpacked:
    """What `unpack` wrote: its `size` in bytes, its `crc32`, and the `digest` of the file it came from."""

    __slots__ = ("crc32", "digest", "size")

    def __init__(self, size: int, crc32: int, digest: str) -> None:
        self.size = size
        self.crc32 = crc32
        self.digest = digest


class _HashedFile:
    """A file's bytes from first to last, each hashed as it is handed out."""

    __slots__ = ("_hash", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._hash = blake2b(digest_size=32)

    def chunks(self) -> Iterator[bytes]:
        for offset in range(0, self._reader.size, BLOCK_SIZE):
            chunk = self._reader.at(offset, min(BLOCK_SIZE, self._reader.size - offset), "content")
            self._hash.update(chunk)
            yield chunk

    def digest(self) -> str:
        return self._hash.hexdigest()


def digest_of(reader: Reader) -> str:
    """The content's name in the cache: BLAKE2b-256, in hex."""
    file = _HashedFile(reader)
    for _ in file.chunks():
        pass
    return file.digest()


def unpack(reader: Reader, out_fd: int, size_max: int = FILE_SIZE_MAX) -> Unpacked:
    """Write the ELF file inside `reader`'s file to `out_fd`, from its current position.

    The digest is of the very bytes that were unpacked, so that a file that changes
    meanwhile cannot be filed under another's name.

    Raises:
        KernelError: no kernel inside, corrupt, truncated, or larger than `size_max` when unpacked.
        OSError: `out_fd` cannot be written.
    """
    file = _HashedFile(reader)
    chunks = file.chunks()
    size = crc = 0
    for block in _unwrap(reader, chunks, _LAYERS_MAX, size_max):
        crc = zlib.crc32(block, crc)
        size += len(block)
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(out_fd, rest) :]
    for _ in chunks:  # behind the end of the compressed data; the digest is of the whole file
        pass
    return Unpacked(size, crc, file.digest())


def _unwrap(reader: Reader, chunks: Iterator[bytes], layers: int, size_max: int) -> Iterator[bytes]:
    head, chunks = _peek(chunks)
    kind = format_of(head)
    if kind == ELF64:
        return chunks
    if not layers:
        raise reader.refuse(f"is compressed more than {_LAYERS_MAX} times")
    if kind == BZIMAGE:
        offset, length = bzimage_payload(reader, head)
        head, chunks = _peek(_part(reader, chunks, offset, length))
        kind = format_of(head)
        if kind in ("", ELF64, BZIMAGE):
            raise reader.refuse(
                f"is a bzImage with a payload of an unknown compression ({head[:6].hex(' ')} …)"
            )
    elif not kind:
        what = (
            "is not a kernel"
            if layers == _LAYERS_MAX
            else "is compressed, but what is inside is not a kernel"
        )
        raise reader.refuse(what, hint=describe_unknown(head))
    return _unwrap(reader, _limit(reader, decompress(reader, kind, chunks), size_max), layers - 1, size_max)


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes (`HEAD_SIZE`, if there are as many), and all bytes."""
    held = b""
    for chunk in chunks:
        held += chunk
        if len(held) >= HEAD_SIZE:
            break
    return held[:HEAD_SIZE], _chain(held, chunks)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _part(reader: Reader, chunks: Iterator[bytes], offset: int, length: int) -> Iterator[bytes]:
    """The bytes [offset, offset + length) of a stream, all of which must be there."""
    at = 0
    end = offset + length
    for chunk in chunks:
        part = chunk[max(0, offset - at) : max(0, end - at)]
        at += len(chunk)
        if part:
            yield part
        if at >= end:
            return
    raise reader.refuse(
        f"is truncated: its payload ends at byte {end:,}, the bzImage at {at:,}",
        hint="copy or download the file again",
    )


def _limit(reader: Reader, blocks: Iterator[bytes], size_max: int) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > size_max:
            raise reader.refuse(
                f"unpacks to more than {format_size(size_max)}, the limit",
                hint="is this file what it should be?",
            )
        yield block
