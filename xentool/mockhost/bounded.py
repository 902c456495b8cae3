"""Files that a guest, or a fault that repeats, can make grow: bounded."""

from __future__ import annotations

import os


class BoundedFile:
    """An append-only file that is begun anew when it is full; the last full one is kept as ``PATH.1``.

    So it holds at least the last `limit_bytes`, and never more than twice that.
    """

    def __init__(self, path: str, limit_bytes: int) -> None:
        self._path = path
        self._limit = limit_bytes
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._path, flags, 0o600)

    def write(self, data: bytes) -> None:
        if self._fd < 0:
            return
        if self._size + len(data) > self._limit:
            os.close(self._fd)
            os.replace(self._path, self._path + ".1")
            self._fd = self._open()
            self._size = 0
        data = data[-self._limit :]
        os.write(self._fd, data)
        self._size += len(data)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Log(BoundedFile):
    """Lines for people, each with its time."""

    def line(self, text: str) -> None:
        from datetime import UTC, datetime

        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.write(f"{now} {text}\n".encode())
