"""The cache of decompressed kernels: decompress a kernel once per host.

A directory that only its owner can enter. In it:

    <digest>         the ELF file, then a trailer (`_TRAILER`) that says whether it is whole
    <digest>.part    the same while it is written; its writer holds a lock (flock) on it
    <identity>       a symbolic link to <digest>

The *digest* is of the compressed file's content. The *identity* is that file's device, inode,
size, mtime and ctime, and makes a warm hit cheap: two opens and no hashing. Nobody can set a
ctime back, so a changed file has another identity; but two changes within one tick of the
clock have the same ctime, and therefore a file is linked only if it had been left alone for
`SETTLED_SECONDS` when it was read.

What is found is not believed. Directory and entry must be ours and closed to others. An entry
is whole if its size and its mtime are what the trailer says (any later write moves the mtime);
its CRC is checked once per boot, because it was not synced to disk when it was made and may
have holes after a power failure. What fails is made anew. And all of it is parsed with the
same bounds as any other kernel.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import time

from xentool.units import GIB, MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.domain.kernel.unpack import Unpacked

ENTRIES_MAX = 8
SIZE_MAX = GIB
LINKS_MAX = 64
SETTLED_SECONDS = 2

# magic, ELF size, mtime in seconds, CRC-32 of the ELF file, 0, id of the boot that last checked it
_TRAILER = struct.Struct("<8sQQII36s")
_MAGIC = b"XTKERN\x00\x01"
_DIGEST_LENGTH = 64
_PART = ".part"


def default_directory() -> str:
    """Where root's cache is, or a user's own."""
    if os.geteuid() == 0:
        return "/var/cache/xentool/kernels"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "xentool", "kernels")


def identity_of(status: os.stat_result) -> str:
    """The name under which a file's last-seen content is linked."""
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return "-".join(f"{number:x}" for number in numbers)


def has_settled(status: os.stat_result) -> bool:
    """Whether any later change of the file will show in its ctime. To be asked before reading it."""
    return time.time() - status.st_ctime >= SETTLED_SECONDS


class Entry:
    """A decompressed kernel: an open descriptor (the taker's from now on) and the ELF file's size."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size


class KernelCache:
    """The cache in one directory.

    Everything here raises OSError where the directory fails, and callers go on without a cache.
    """

    __slots__ = ("_dir",)

    def __init__(self, directory: str) -> None:
        """Open the directory, or make it.

        Raises:
            OSError: it cannot be made or opened, or others could have written into it.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._dir = os.open(directory, flags)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(directory) or ".", mode=0o700, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
            self._dir = os.open(directory, flags)
        status = os.fstat(self._dir)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            self.close()
            raise PermissionError(f"{directory} is open to others (it must be ours, with mode 0700)")

    def close(self) -> None:
        """Close the directory; may be called twice."""
        if self._dir >= 0:
            os.close(self._dir)
            self._dir = -1

    def find(self, name: str) -> Entry | None:
        """The entry of that digest or identity, if there is one and it is whole."""
        try:
            fd = os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._dir)
        except FileNotFoundError:
            return None
        try:
            size = _whole_size(fd)
            if size is not None:
                _touch(fd)
                return Entry(fd, size)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def link(self, status: os.stat_result, digest: str) -> None:
        """Remember that the file with `status` (which `has_settled`) has the content `digest`."""
        links = [name for name in os.listdir(self._dir) if self._is_link(name)]
        if len(links) >= LINKS_MAX:
            links.sort(key=self._changed)
            for name in links[: len(links) - LINKS_MAX + 1]:
                self._unlink(name)
        name = identity_of(status)
        self._unlink(name)
        with contextlib.suppress(FileExistsError):  # somebody else was as quick, with the same
            os.symlink(digest, name, dir_fd=self._dir)

    def fill(self, digest: str, unpack: Callable[[int], Unpacked]) -> tuple[str, Entry]:
        """The entry for `digest`, made by ``unpack(fd)`` unless somebody else just did; and its digest.

        The digest is another if the file has changed since it was computed. Two who fill the same
        entry wait for each other; a writer that was killed leaves its .part to the next.

        Raises:
            KernelError: from `unpack`.
            OSError: no space, read-only, …
        """
        import fcntl

        part = digest + _PART
        while True:
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._dir)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if self._is_named(fd, part):
                    entry = self.find(digest)
                    if entry is None:
                        return self._write(fd, part, unpack)
                    self._unlink(part)
                    os.close(fd)
                    return digest, entry
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # the writer before us has renamed or removed it

    def _write(self, fd: int, part: str, unpack: Callable[[int], Unpacked]) -> tuple[str, Entry]:
        import fcntl

        try:
            os.ftruncate(fd, 0)
            unpacked = unpack(fd)
            # Whole seconds survive every file system's rounding.
            written = int(time.time())
            trailer = _TRAILER.pack(_MAGIC, unpacked.size, written, unpacked.crc32, 0, _boot_id())
            if os.pwrite(fd, trailer, unpacked.size) != len(trailer):
                raise OSError("the trailer was cut short")
            os.utime(fd, (time.time(), written))
            os.rename(part, unpacked.digest, src_dir_fd=self._dir, dst_dir_fd=self._dir)
        except BaseException:
            self._unlink(part)
            raise
        fcntl.flock(fd, fcntl.LOCK_UN)
        with contextlib.suppress(OSError):
            self._evict(keep=unpacked.digest)
        return unpacked.digest, Entry(fd, unpacked.size)

    def _evict(self, keep: str) -> None:
        """Remove what was used longest ago, until the bounds hold; links to nothing; and dead .part files."""
        entries: list[tuple[float, int, str]] = []
        names = os.listdir(self._dir)
        for name in names:
            if name.endswith(_PART):
                self._remove_if_dead(name)
            elif len(name) == _DIGEST_LENGTH and name != keep:
                try:
                    status = os.stat(name, dir_fd=self._dir, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                entries.append((status.st_atime, status.st_size, name))
        entries.sort(reverse=True)
        total = os.stat(keep, dir_fd=self._dir).st_size
        for place, (_, size, name) in enumerate(entries, start=2):
            total += size
            if place > ENTRIES_MAX or total > SIZE_MAX:
                self._unlink(name)
        for name in names:
            if self._is_link(name) and not self._leads_somewhere(name):
                self._unlink(name)

    def _remove_if_dead(self, part: str) -> None:
        import fcntl

        try:
            fd = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._dir)
        except OSError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_named(fd, part):
                self._unlink(part)
        except BlockingIOError:
            pass  # it is being written
        finally:
            os.close(fd)

    def _is_named(self, fd: int, name: str) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=self._dir, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _is_link(self, name: str) -> bool:
        try:
            return stat.S_ISLNK(os.stat(name, dir_fd=self._dir, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def _leads_somewhere(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._dir)
        except OSError:
            return False
        return True

    def _changed(self, name: str) -> float:
        try:
            return os.stat(name, dir_fd=self._dir, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return 0

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._dir)


def _whole_size(fd: int) -> int | None:
    """The ELF file's size, if the entry is ours and whole; else None."""
    status = os.fstat(fd)
    at = status.st_size - _TRAILER.size
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or at < 0:
        return None
    trailer = os.pread(fd, _TRAILER.size, at)
    if len(trailer) != _TRAILER.size:
        return None
    magic, size, written, crc, _, boot_id = _TRAILER.unpack(trailer)
    if magic != _MAGIC or size != at or status.st_mtime_ns != written * 1_000_000_000:
        return None
    if boot_id != _boot_id():
        if _crc_of(fd, size) != crc:
            return None
        os.pwrite(fd, _TRAILER.pack(_MAGIC, size, written, crc, 0, _boot_id()), at)
        os.utime(fd, (time.time(), written))
    return int(size)


def _touch(fd: int) -> None:
    """Note the use, for eviction. Not left to the file system: most are mounted relatime or noatime."""
    status = os.fstat(fd)
    os.utime(fd, ns=(time.time_ns(), status.st_mtime_ns))


def _crc_of(fd: int, size: int) -> int:
    import zlib

    crc = 0
    for offset in range(0, size, MIB):
        crc = zlib.crc32(os.pread(fd, min(MIB, size - offset), offset), crc)
    return crc


def _boot_id() -> bytes:
    """The kernel's name for this boot; empty where there is none, and then nothing counts as checked."""
    try:
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 36)
    finally:
        os.close(fd)
