"""A client in the server's own process: `StoreClient` without a socket.

    client = StoreClient(transport=LocalTransport(server.connect(5)))

Requests are carried out while they are sent, so replies are always there. Watch
events are there or not: nothing is waited for, because nobody else could make
them happen meanwhile. Set ``connection.on_output`` to be told of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.store.connection import Connection

_TAKE_BYTES = 65536


class LocalTransport:
    """A connection of a `Server` in this process, as a client's transport."""

    __slots__ = ("_connection", "name")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.name = f"the store in this process, as domain {connection.domid}"

    def send(self, frames: Sequence[bytes]) -> int:
        if self._connection.closed:
            raise BrokenPipeError(32, "the connection was ended")
        # One at a time: a guest's further requests wait while its replies do.
        self._connection.feed(frames[0])
        return len(frames[0])

    def receive(self, timeout_seconds: float | None) -> bytes | None:  # noqa: ARG002 - see above
        connection = self._connection
        if connection.server.waiting:
            connection.server.take_turns()
        return connection.take(_TAKE_BYTES) or (b"" if connection.closed else None)

    def wait_writable(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - it always is
        return True

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        """Dom0's connection ends; a guest's stays, it is its domain's."""
        if self._connection.privileged:
            self._connection.close()
