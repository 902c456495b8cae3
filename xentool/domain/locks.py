"""The locks that toolstacks on one host take: libxl's files by flock, xl's by fcntl.

Source: libxl removes its lock files when it lets go, so after locking one must
look whether the file is still the one that the path names.
"""

from __future__ import annotations

import fcntl
import os


class libxl_lock:  # noqa: N801 - a function to its users; contextlib takes longer to import than to plug a disk
    """Hold one of libxl's lock files as a context; it is removed at the end, before it is let go.

    Raises:
        OSError: it cannot be made or locked.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        path = self._path
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
        self._descriptor = descriptor

    def __exit__(self, *_: object) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:  # somebody tidied up
            pass
        finally:
            os.close(self._descriptor)


class xl_lock:  # noqa: N801 - as above
    """Hold, as a context, the lock that xl takes around creation, while names and memory are claimed.

    xl keeps it for the whole create. We let go as soon as another toolstack can
    see what is taken: creates of many domains run side by side.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o200)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
