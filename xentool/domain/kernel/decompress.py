"""Decompressors as streams: bytes in, bounded blocks out, foreign errors translated.

None of them believes a size that the file claims: a block is small (at most 8 MiB, mostly 1), and
who consumes the blocks counts. Libraries are imported when a kernel needs them.
"""

from __future__ import annotations

from xentool.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from xentool.domain.kernel.reader import Reader
    from xentool.errors import KernelError

    class _Decompressor(Protocol):
        @property
        def eof(self) -> bool: ...
        @property
        def needs_input(self) -> bool: ...
        def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


BLOCK_SIZE = MIB
# Dictionaries: Linux takes 128 MiB at most (xz --lzma2=dict=…, zstd -22 --ultra).
MEMORY_MAX = 256 * MIB
ZSTD_WINDOW_MAX = 128 * MIB
_ZSTD_FEED = 256
_LZ4_BLOCK = 8 * MIB
_LZ4_MAGIC = 0x184C2102


class Input:
    """Bytes from an iterator of chunks, taken in the sizes that a format asks for."""

    __slots__ = ("_at", "_chunks", "_held")

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""
        self._at = 0

    def read(self, size: int = BLOCK_SIZE) -> bytes:
        """1 to `size` bytes, whatever is at hand; none at the end."""
        while not self._held:
            try:
                self._held = next(self._chunks)
            except StopIteration:
                return b""
        end = self._at + size
        if not self._at and end >= len(self._held):
            taken, self._held = self._held, b""
            return taken
        taken = self._held[self._at : end]
        self._at = end
        if end >= len(self._held):
            self._held, self._at = b"", 0
        return taken

    def take(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end."""
        parts = []
        while size and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def decompress(reader: Reader, method: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks that `chunks`, compressed by `method` (a name of `formats`), hold.

    Stops at the end of the first compressed stream; what follows (Linux appends the size) is not read.

    Raises:
        KernelError: corrupt or truncated data, or a library is missing.
    """
    source = Input(chunks)
    if method == "gzip":
        return _gzip(reader, source)
    if method == "bzip2":
        import bz2

        return _driven(reader, method, source, bz2.BZ2Decompressor, (OSError, ValueError))
    if method in ("xz", "lzma"):
        import lzma

        container = lzma.FORMAT_XZ if method == "xz" else lzma.FORMAT_ALONE

        def new() -> lzma.LZMADecompressor:
            return lzma.LZMADecompressor(container, memlimit=MEMORY_MAX)

        return _driven(reader, method, source, new, (lzma.LZMAError, ValueError))
    if method == "zstd":
        return _zstd(reader, source)
    if method == "lz4":
        return _lz4(reader, source)
    if method == "lz4 frame":
        frame = _import(reader, "lz4", "frame")
        return _driven(reader, method, source, frame.LZ4FrameDecompressor, (RuntimeError, ValueError))
    if method == "lzop":
        from xentool.domain.kernel.lzop import unlzop

        return unlzop(reader, source)
    raise reader.refuse(f"is compressed by {method}, which cannot be read")


def corrupt(reader: Reader, method: str, why: object) -> KernelError:
    """The error for compressed data that its own decompressor refuses."""
    return reader.refuse(f"its {method} data is corrupt ({why})", hint="copy or download the file again")


def cut_off(reader: Reader, method: str) -> KernelError:
    """The error for compressed data that ends too early."""
    return reader.refuse(
        f"is truncated: its {method} data ends too early", hint="copy or download the file again"
    )


def _driven(
    reader: Reader,
    method: str,
    source: Input,
    new: Callable[[], _Decompressor],
    errors: tuple[type[Exception], ...],
) -> Iterator[bytes]:
    """The interface that bz2, lzma and lz4.frame share."""
    stream = new()
    while not stream.eof:
        data = source.read() if stream.needs_input else b""
        if stream.needs_input and not data:
            raise cut_off(reader, method)
        try:
            block = stream.decompress(data, max_length=BLOCK_SIZE)
        except MemoryError as exc:
            raise corrupt(reader, method, "it asks for too much memory") from exc
        except errors as exc:
            raise corrupt(reader, method, exc) from exc
        if block:
            yield block


def _gzip(reader: Reader, source: Input) -> Iterator[bytes]:
    import zlib

    stream = zlib.decompressobj(wbits=31)
    data = b""
    while not stream.eof:
        data = data or source.read()
        try:
            block = stream.decompress(data, BLOCK_SIZE)
        except zlib.error as exc:
            raise corrupt(reader, "gzip", exc) from exc
        if not data and not block and not stream.eof:
            raise cut_off(reader, "gzip")
        data = stream.unconsumed_tail
        if block:
            yield block


def _zstd(reader: Reader, source: Input) -> Iterator[bytes]:
    zstandard = _import(reader, "zstandard")
    stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX).decompressobj()
    # This interface alone tells a finished stream from a truncated one, but it has no limit on
    # what it returns: feed it little, since 4 bytes can stand for 128 KiB.
    while not stream.eof:
        data = source.read(_ZSTD_FEED)
        if not data:
            raise cut_off(reader, "zstd")
        try:
            block = stream.decompress(data)
        except (zstandard.ZstdError, MemoryError) as exc:
            raise corrupt(reader, "zstd", exc) from exc
        if block:
            yield block


def _lz4(reader: Reader, source: Input) -> Iterator[bytes]:
    """The legacy frame, which Linux uses: blocks of 8 MiB, each after its compressed size."""
    block_format = _import(reader, "lz4", "block")
    bound = _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16  # LZ4_compressBound
    source.take(4)
    word = source.take(4)
    while word:
        size = int.from_bytes(word, "little")
        if len(word) == 4 and size == _LZ4_MAGIC:  # concatenated frames
            word = source.take(4)
            continue
        following = source.take(min(size, bound))
        if not following:  # the last four bytes: Linux's appended size
            return
        if size > bound:
            raise corrupt(reader, "lz4", f"a block of {size:,} bytes")
        if len(following) < size:
            raise cut_off(reader, "lz4")
        try:
            yield block_format.decompress(following, uncompressed_size=_LZ4_BLOCK)
        except (block_format.LZ4BlockError, ValueError, MemoryError) as exc:
            raise corrupt(reader, "lz4", exc) from exc
        word = source.take(4)


def _import(reader: Reader, package: str, module: str = "") -> Any:  # noqa: ANN401 - a module
    """A decompression library; a clear error where it is missing."""
    import importlib

    try:
        return importlib.import_module(f"{package}.{module}" if module else package)
    except ImportError as exc:
        raise reader.refuse(
            f"is compressed by {package}, and Python's {package} package is missing",
            hint=f"install python3-{package} (Debian), or: pip install {package}",
        ) from exc
