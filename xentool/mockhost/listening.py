"""A Unix socket of packets that callers of the mock host connect to."""

from __future__ import annotations

import errno
import socket

from xentool.store.spare import SpareDescriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.mockhost.bounded import Log
    from xentool.mockhost.loop import Loop


class Listener:
    """Listens at `path`, and calls ``came(connection)`` for each who comes, who closes it."""

    def __init__(self, loop: Loop, path: str, log: Log, came: Callable[[socket.socket], None]) -> None:
        self._loop = loop
        self._path = path
        self._log = log
        self._came = came
        self._spare = SpareDescriptor()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._socket.bind(path)
        self._socket.listen(64)
        loop.watch(self._socket.fileno(), self._accept)

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._spare.turn_away(self._socket)
                self._log.line(f"{self._path}: {error.strerror}: a caller was turned away")
            return  # else the caller is gone again
        connection.setblocking(False)
        self._came(connection)

    def close(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._spare.close()
