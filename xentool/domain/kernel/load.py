"""From a path to a `KernelImage`."""

from __future__ import annotations

import contextlib
import os

from xentool.domain.kernel.formats import ELF64, HEAD_SIZE, describe_unknown, format_of
from xentool.domain.kernel.image import KernelImage
from xentool.domain.kernel.reader import Reader, open_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.kernel.cache import Entry, KernelCache


def load_kernel(path: str, *, cache_dir: str | None = None) -> KernelImage:
    """Open, decompress if need be, and parse the kernel at `path`.

    Takes ELF files, bzImages, and either compressed. What has to be decompressed is kept in a
    cache: in `cache_dir`, by default /var/cache/xentool/kernels for root and the user's own cache
    directory for others; ``""`` is no cache. A cache that fails is done without.

    The image holds an open file: use it as a context manager, or `close` it.

    Raises:
        KernelError: there is no such file, it is not a kernel, or not one that a PV domU can boot.
    """
    path = os.fspath(path)
    fd, status = open_input(path, "load kernel")
    reader = Reader(fd, status.st_size, path)
    try:
        head = reader.at(0, min(HEAD_SIZE, reader.size), "first bytes")
        kind = format_of(head)
        if not kind:
            raise reader.refuse("is not a kernel", hint=describe_unknown(head))
        origin = "the file itself"
        if kind != ELF64:
            entry, origin = _decompressed(reader, status, cache_dir)
            reader.close()
            reader = Reader(entry.fd, entry.size, path)
        return KernelImage(reader, kind, origin)
    except BaseException:
        reader.close()
        raise


def _decompressed(reader: Reader, status: os.stat_result, cache_dir: str | None) -> tuple[Entry, str]:
    """The ELF file inside `reader`'s file, from the cache or not; and a word on where it came from."""
    if cache_dir == "":
        return _without_cache(reader), "decompressed"
    from xentool.domain.kernel.cache import KernelCache, default_directory, identity_of

    try:
        cache = KernelCache(cache_dir or default_directory())
    except OSError as exc:
        return _without_cache(reader), f"decompressed, not cached: {exc}"
    try:
        entry = cache.find(identity_of(status))
        if entry is not None:
            return entry, "the cache"
        return _through_cache(cache, reader, status)
    except OSError as exc:
        return _without_cache(reader), f"decompressed, not cached: {exc}"
    finally:
        cache.close()


def _through_cache(cache: KernelCache, reader: Reader, status: os.stat_result) -> tuple[Entry, str]:
    from xentool.domain.kernel.cache import has_settled, identity_of
    from xentool.domain.kernel.unpack import digest_of, unpack

    settled = has_settled(status)
    digest = digest_of(reader)
    entry = cache.find(digest)
    origin = "the cache"
    if entry is None:
        digest, entry = cache.fill(digest, lambda out_fd: unpack(reader, out_fd))
        origin = "decompressed into the cache"
    # Only if it is still the file whose content was read.
    if settled and identity_of(os.fstat(reader.fd)) == identity_of(status):
        with contextlib.suppress(OSError):  # the next time is no faster than this one, no more
            cache.link(status, digest)
    return entry, origin


def _without_cache(reader: Reader) -> Entry:
    """Decompress into a file without a name; into memory where no directory takes one.

    Raises:
        KernelError: from the decompression, or there is no room anywhere.
    """
    from xentool.domain.kernel.cache import Entry
    from xentool.domain.kernel.unpack import unpack

    last: OSError | None = None
    for directory in (os.environ.get("TMPDIR"), "/var/tmp", "/tmp", None):  # noqa: S108 - no names there
        if directory == "":
            continue
        try:
            if directory is None:
                fd = os.memfd_create("xentool-kernel", os.MFD_CLOEXEC)
            else:
                fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            last = exc
            continue
        try:
            return Entry(fd, unpack(reader, fd).size)
        except OSError as exc:
            os.close(fd)
            last = exc
        except BaseException:
            os.close(fd)
            raise
    reason = os.strerror(last.errno or 0) if last else "no place for it"
    raise reader.refuse(
        f"cannot be decompressed: {reason}", hint="make room in /var/cache or /var/tmp"
    ) from last
