"""The log that the console daemon keeps of a domain's PV console: all of it, and what is added to it.

A log is what its guest printed, so nothing in it is believed; shown on a terminal, it may not command
the terminal.

Source: tools/console/daemon/io.c (create_console_log); inotify(7).
"""

from __future__ import annotations

import os
import struct

from xentool.errors import HostError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_BYTES = 1 << 16
_IN_MODIFY, _IN_CREATE, _IN_MOVED_TO = 0x2, 0x100, 0x80
_EVENT = struct.Struct("iIII")


def log_path(folder: str, name: str) -> str:
    """The log of the domain called `name` in the daemon's folder.

    Raises:
        NotFoundError: there is none.
    """
    plain = "".join(char if char.isalnum() or char in "-_.+" else "_" for char in name)[:200]
    for candidate in (name, plain):
        path = f"{folder}/guest-{candidate}.log"
        if "/" not in candidate and os.path.isfile(path):
            return path
    raise NotFoundError(
        "show the console log of domain",
        name,
        f"there is none in {folder}",
        hint="xenconsoled logs guests if it is started with --log=guest: set XENCONSOLED_TRACE=guest in "
        "/etc/default/xencommons (Debian: XENCONSOLED_ARGS=--log=guest in /etc/default/xen), restart it",
    )


def show_log(path: str, write: Callable[[bytes], None], *, follow: bool = False, safe: bool = False) -> None:
    """Hand the log to `write`, in parts; with `follow` also what comes, until an exception ends it.

    `safe` takes out what a terminal would obey. A log that is begun anew (rotated) is followed
    from its beginning.

    Raises:
        HostError: it cannot be read.
    """

    import codecs

    decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def hand_on(descriptor: int) -> None:
        while data := os.read(descriptor, _CHUNK_BYTES):
            write(_harmless(decode(data)).encode() if safe else data)

    watch = _watch(os.path.dirname(path)) if follow else -1
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        hand_on(descriptor)
        while follow:
            _await(watch, os.path.basename(path))
            hand_on(descriptor)
            held = os.fstat(descriptor)
            try:
                named = os.stat(path)
            except FileNotFoundError:
                continue  # being rotated
            if (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino):
                os.close(descriptor)
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            elif named.st_size < os.lseek(descriptor, 0, os.SEEK_CUR):
                os.lseek(descriptor, 0, os.SEEK_SET)
            hand_on(descriptor)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise HostError("read", path, exc.strerror or str(exc), hint="are you root?") from exc
    finally:
        for opened in (descriptor, watch):
            if opened >= 0:
                os.close(opened)


def _harmless(text: str) -> str:
    """`text` without what a terminal would obey: question marks for ESC and its like; no carriage returns."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text.replace("\r", ""))


def _watch(folder: str) -> int:
    """A descriptor that tells of changes to the files in `folder`."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor >= 0:
        mask = _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO
        if libc.inotify_add_watch(descriptor, os.fsencode(folder), mask) >= 0:
            return descriptor
        os.close(descriptor)
    number = ctypes.get_errno()
    raise HostError(
        "follow the files in", folder, os.strerror(number), hint="leave out --follow to see what there is"
    )


def _await(watch: int, name: str) -> None:
    """Wait until the file called `name` changed, or so much did that events were lost."""
    while True:
        events = os.read(watch, _CHUNK_BYTES)
        at = 0
        while at < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            changed = events[at - length : at].rstrip(b"\0")
            if changed == os.fsencode(name) or mask & 0x4000:  # IN_Q_OVERFLOW
                return
