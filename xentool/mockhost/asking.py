"""A process's connection to the mock host's Domain-0: what is asked, and the answer."""

from __future__ import annotations

import _thread
import os

from xentool.errors import MockHostError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

_ASK_SECONDS = 30.0


class Connection:
    """The socket, and what is asked through it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._lock = _thread.allocate_lock()
        self._socket: socket.socket | None = None
        self._pid = 0
        self._number = 0
        self._lost = ""

    def __del__(self) -> None:
        self._drop()

    def ask(self, what: str, timeout_seconds: float = _ASK_SECONDS, **values: object) -> Any:  # noqa: ANN401 - JSON
        """Ask the mock host's Domain-0.

        Raises:
            TimedOutError: there was no answer in time.
            MockHostError: the mock host went away.
            XentoolError: what it answered.
        """
        with self._lock:
            try:
                if self._lost:
                    raise ConnectionResetError(self._lost)
                answer = self._exchange(what, timeout_seconds, values)
            except TimeoutError:
                raise TimedOutError("ask the mock host", self.directory, "it did not answer") from None
            except OSError as error:
                # Never to the next mock host: what this process holds was the last one's.
                self._lost = error.strerror or str(error)
                self._drop()
                raise MockHostError(
                    "ask the mock host",
                    self.directory,
                    f"it went away: {self._lost}",
                    hint="mockhost.log in that directory may say why",
                ) from error
        if "error" in answer:
            from xentool import errors

            name, *words, hint = answer["error"]
            raise getattr(errors, name)(*words, hint=hint)
        return answer["result"]

    def _exchange(self, what: str, timeout_seconds: float, values: dict[str, object]) -> dict[str, Any]:
        import json
        from time import monotonic

        from xentool.mockhost.dom0server import PACKET_BYTES

        end = monotonic() + timeout_seconds
        connection = self._connected()
        self._number += 1
        connection.settimeout(_ASK_SECONDS)
        connection.send(json.dumps({"n": self._number, "do": what, "with": values}).encode())
        while True:
            connection.settimeout(max(0.001, end - monotonic()))
            data = connection.recv(PACKET_BYTES)
            if not data:
                raise ConnectionResetError("the connection was closed")
            answer: dict[str, Any] = json.loads(data)
            # An earlier question may be answered after nobody waits for it any more.
            if answer["n"] == self._number:
                return answer

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._pid == os.getpid():
            return self._socket
        import socket

        from xentool.mockhost.dom0server import socket_path
        from xentool.mockhost.life import ensure_running

        self._drop()
        path = socket_path(ensure_running(self.directory))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.getpid()
        self._socket.connect(path)
        return self._socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        with self._lock:
            if self._socket is not None and self._pid == os.getpid():
                self._take_leave(self._socket)
            self._drop()

    @staticmethod
    def _take_leave(connection: socket.socket) -> None:
        """Wait until the mock host has heard that we go, and has let go of what we held."""
        import socket

        try:
            connection.settimeout(_ASK_SECONDS)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1):
                pass
        except OSError:
            pass  # it went first
