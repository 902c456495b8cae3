"""The locks that toolstacks on one host take: libxl's files by flock, xl's by fcntl.

Source: libxl removes its lock files when it lets go, so after locking one must
look whether the file is still the one that the path names.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def libxl_lock(path: str) -> Iterator[None]:
    """Hold one of libxl's lock files; it is removed at the end, before it is let go."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            held = os.fstat(descriptor)
            try:
                named = os.stat(path)
            except FileNotFoundError:
                named = None
            if named is not None and (named.st_ino, named.st_dev) == (held.st_ino, held.st_dev):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
        os.unlink(path)
        os.close(descriptor)


@contextmanager
def xl_lock(path: str) -> Iterator[None]:
    """Hold the lock that xl takes around creation, while names and memory are claimed.

    xl keeps it for the whole create. We let go as soon as another toolstack can
    see what is taken: creates of many domains run side by side.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o200)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
