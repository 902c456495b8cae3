"""What a server keeps in hand for when there are no descriptors left."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket


class SpareDescriptor:
    """A descriptor that can be given up for a moment; none if there was none left already."""

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        self._descriptor = _open()

    def turn_away(self, listener: socket.socket) -> None:
        """Hang up on who has come to `listener`, after its ``accept`` said EMFILE or ENFILE.

        Left in the queue he would wait without knowing for what, and the listener would stay ready.
        """
        self.close()
        try:
            listener.accept()[0].close()
        except OSError:
            pass  # another thread was faster with the descriptor, or he has gone by himself
        self._descriptor = _open()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
