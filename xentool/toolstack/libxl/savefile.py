"""The file that holds a saved domain, as xl writes it: a header, the domain's config, libxl's stream.

    32 bytes  magic
     4        0x01020304, in the byte order of all that follows
     4        mandatory flags: a reader that does not know one refuses the file
     4        optional flags
     4        length of the optional data
              optional data: 4 bytes length of the config, the config (JSON, ended by NUL)
              libxl's migration stream, which begins with a marker of its own

Source: tools/xl/xl.h (save_file_header), xl_saverestore.c, xl_vmcontrol.c; docs/specs/
libxl-migration-stream.pandoc (the marker).
"""

from __future__ import annotations

import errno
import os
import struct

from xentool.errors import ConfigError, HostError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

MAGIC = b"Xen saved domain, xl format\n \0 \r"
BYTE_ORDER = 0x01020304
JSON, STREAM_V2 = 1, 2
"""XL_MANDATORY_FLAG_*"""
KNOWN = JSON | STREAM_V2
HEADER = struct.Struct("=32s4I")
LENGTH = struct.Struct("=I")
MAX_CONFIG = 16 << 20
"""A config is some kilobytes; what says more is no save file, or not whole."""
STREAM = b"LibxlFmt"
"""How a stream of version 2 begins (RESTORE_STREAM_IDENT)."""


class SaveFile:
    """What comes before the stream: the domain's config as it was kept (JSON, or an older xl's text), which
    of both it is, and the version of the stream, for libxl."""

    __slots__ = ("config", "is_json", "stream_version")

    def __init__(self, config: bytes, *, is_json: bool, stream_version: int) -> None:
        self.config = config
        self.is_json = is_json
        self.stream_version = stream_version


def header_of(config: bytes) -> bytes:
    """What goes before the stream, for a domain with that config (JSON)."""
    kept = config.rstrip(b"\0") + b"\0"
    data = LENGTH.pack(len(kept)) + kept
    return HEADER.pack(MAGIC, BYTE_ORDER, JSON | STREAM_V2, 0, len(data)) + data


def read_header(descriptor: int, path: str) -> SaveFile:
    """Read what comes before the stream; the descriptor is at the stream's first byte then.

    Raises:
        ConfigError: that is no saved domain, one from a later xl, or not the whole of one.
        HostError: the disk cannot read it.
    """
    try:
        return _read_header(descriptor, path)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _read_header(descriptor: int, path: str) -> SaveFile:
    head = _read(descriptor, HEADER.size)
    if not head:
        raise _refusal(path, "the file is empty", "was there room when it was written?")
    if not head.startswith(MAGIC[: len(head)]):
        raise _refusal(path, "that is no saved domain", "`xl save` and `xentool save` write such files")
    if len(head) < HEADER.size:
        raise _truncated(path)
    _magic, order, mandatory, _optional, length = HEADER.unpack(head)
    if order != BYTE_ORDER:
        raise _refusal(
            path, "it was saved on a machine of another byte order", "restore it on such a machine"
        )
    if unknown := mandatory & ~KNOWN:
        raise _refusal(
            path, f"it is of a later format (flags {unknown:#x})", "restore it with the Xen that saved it"
        )
    if length > MAX_CONFIG:
        raise _refusal(
            path, f"its header is damaged: a config of {length:,} bytes", "take another copy of it"
        )
    data = _read(descriptor, length)
    if len(data) < length:
        raise _truncated(path)
    config = b""
    if length:
        if length < LENGTH.size:
            raise _truncated(path)
        (size,) = LENGTH.unpack_from(data)
        if size > length - LENGTH.size:
            raise _truncated(path)
        config = data[LENGTH.size : LENGTH.size + size].rstrip(b"\0")
    version = 2 if mandatory & STREAM_V2 else 1
    _check_stream(descriptor, path, version)
    return SaveFile(config, is_json=bool(mandatory & JSON), stream_version=version)


def _check_stream(descriptor: int, path: str, version: int) -> None:
    """Look at how the stream begins, where the file can be read twice."""
    try:
        start = os.pread(descriptor, len(STREAM), os.lseek(descriptor, 0, os.SEEK_CUR))
    except OSError:
        return  # a pipe
    if not start:
        raise _truncated(path)
    if version == 2 and start != STREAM:
        if len(start) < len(STREAM) and STREAM.startswith(start):
            raise _truncated(path)
        raise _refusal(path, "what follows its header is no saved guest", "take another copy of it")


def open_saved(path: str) -> int:
    """A descriptor on a save file, to be read.

    Raises:
        NotFoundError: there is none.
        HostError: it cannot be opened, or is a folder.
    """
    try:
        if os.path.isdir(path):  # which opens, and then cannot be read
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise NotFoundError("restore a domain from", path, "there is no such file") from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc


class NewFile:
    """A save file that is being written, as a context: it has its name only once it is whole.

    What is no regular file (a pipe, a volume, /dev/null) is written to as it is. Unless `sync`, nobody waits
    until the disk has it.

    Raises:
        HostError: it cannot be written.
    """

    def __init__(self, path: str, *, sync: bool = True) -> None:
        self.path = path
        self._sync = sync
        self.descriptor = -1
        self._new = ""
        self._target = ""

    @property
    def part(self) -> str:
        """The name of what is written so far; "" once it has its own, or if it has no other."""
        return self._new

    def __enter__(self) -> Self:
        try:
            if not self.path:  # of which realpath would make the folder that we are in
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if os.path.exists(self.path) and not os.path.isfile(self.path):
                self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
                self._refuse_terminal()
            else:
                # Once, and under a name that nobody else makes: who may write to its folder, or to one above,
                # can change meanwhile what a link says.
                self._target = os.path.realpath(self.path)
                self._new = f"{self._target}.{os.urandom(4).hex()}.part"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self.descriptor = os.open(self._new, flags, 0o600)  # a guest's memory is for root alone
        except OSError as exc:
            raise self._failed(exc) from exc
        return self

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as exc:
            raise self._failed(exc) from exc

    def _refuse_terminal(self) -> None:
        if os.isatty(self.descriptor):
            os.close(self.descriptor)
            self.descriptor = -1
            raise OSError(errno.EINVAL, "that is a terminal")

    def settle(self) -> None:
        """All is written: see that it is on the disk. That may take its time."""
        if not self._sync:
            return
        try:
            os.fsync(self.descriptor)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.EROFS, errno.ENOTSUP):  # a pipe has no disk
                raise self._failed(exc) from exc

    def keep(self) -> None:
        """Give what is settled its name, which the disk knows of as well before the guest may go."""
        if not self._new:
            return
        try:
            os.rename(self._new, self._target)
            self._new = ""
            if not self._sync:
                return
            folder = os.open(os.path.dirname(self._target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            if not self._new:
                if exc.errno in (errno.EINVAL, errno.ENOTSUP):  # a file system that keeps no such promise
                    return
                os.unlink(self._target)
            raise self._failed(exc) from exc

    def __exit__(self, *_: object) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self._new:
            try:
                os.unlink(self._new)
            except FileNotFoundError:
                pass
            self._new = ""

    def _failed(self, exc: OSError) -> HostError:
        return HostError(
            "save a domain to",
            self.path,
            exc.strerror or str(exc),
            hint="name a file elsewhere, where there is room and you may write",
        )


def _read(descriptor: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(descriptor, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _unreadable(path: str, exc: OSError) -> HostError:
    return HostError("restore a domain from", path, exc.strerror or str(exc))


def _truncated(path: str) -> ConfigError:
    return _refusal(path, "the file ends too early", "it was cut short as it was written or copied")


def _refusal(path: str, reason: str, hint: str) -> ConfigError:
    return ConfigError("restore a domain from", path, reason, hint=hint)
