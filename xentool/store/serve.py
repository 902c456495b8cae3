"""The server's Unix socket.

`SocketServer` is one descriptor and one method, so that any loop can run it:

    sockets = SocketServer("/run/…/socket", server)
    poll.register(sockets.fileno(), POLLIN)      # readable: call
    sockets.handle_ready()

or it runs by itself, `run` in this thread until `stop` from anywhere.
"""

from __future__ import annotations

import errno
import os
import select
import socket

from xentool.errors import HostError
from xentool.store.spare import SpareDescriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final, Self

    from xentool.store.connection import Connection
    from xentool.store.server import Server

_CHUNK_BYTES: Final = 16384
"""Several of the largest frames; a larger buffer takes malloc a detour, for each request anew."""
_EVENTS_AT_ONCE: Final = 64
_BACKLOG_BYTES: Final = 1 << 20
"""A client that leaves more than this lying is not listened to until it has read some."""
_ACCEPTS_AT_ONCE: Final = 16
_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_NO_SIGNAL: Final = socket.MSG_NOSIGNAL


class _Peer:
    """A socket, its connection, and what could not be written yet."""

    __slots__ = ("connection", "descriptor", "events", "receive", "send", "socket", "unsent")

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self.socket = sock
        self.descriptor = sock.fileno()
        self.receive = sock.recv
        self.send = sock.send
        self.connection = connection
        self.unsent = b""
        self.events = _IN


class SocketServer:
    """Serves `server` on a Unix socket at `path`, for whom `mode` lets in. A context manager.

    Who can connect has dom0's rights. What is left of a daemon that is gone is
    replaced; a socket that somebody answers on is not.

    Raises:
        HostError: `path` cannot be listened on.
    """

    def __init__(self, path: str, server: Server, *, mode: int = 0o600) -> None:
        self.path = path
        self.server = server
        self._peers: dict[int, _Peer] = {}
        self._peer_of: dict[Connection, _Peer] = {}
        self._ready: list[Connection] = []
        self._stopped = False
        self._listener = _listen(path, mode)
        self._identity = _identity(path)
        self._epoll = select.epoll()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._spare = SpareDescriptor()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._epoll.register(self._wake_read, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """A descriptor that polls readable when `handle_ready` has something to do."""
        return self._epoll.fileno()

    def handle_ready(self, timeout_seconds: float = 0) -> None:
        """Do what is to be done now; waits up to `timeout_seconds` (-1: for ever) for something.

        Also sends what others in this process have caused: a host that feeds its
        guests' rings calls this after it.
        """
        self._flush()
        server = self.server
        for descriptor, events in self._epoll.poll(0 if server.waiting else timeout_seconds, _EVENTS_AT_ONCE):
            peer = self._peers.get(descriptor)
            if peer is not None:
                self._serve(peer, events)
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self._wake_read:
                os.read(self._wake_read, 64)
            if self._ready:
                self._flush()
        if server.waiting:
            server.take_turns()
            self._flush()

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopped:
            due = self.server.handle_time()
            self.handle_ready(-1 if due is None else max(due, 0.001))

    def stop(self) -> None:
        """End `run`. Safe from another thread and from a signal's handler."""
        self._stopped = True
        os.write(self._wake_write, b"\0")

    def close(self) -> None:
        """Hang up on everybody and take the socket away. May be called twice."""
        if self._epoll.closed:
            return
        for peer in list(self._peers.values()):
            self._hang_up(peer)
        self._epoll.close()
        self._listener.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._spare.close()
        # Another server may have taken the place meanwhile: its socket stays.
        if _identity(self.path) == self._identity:
            os.unlink(self.path)

    # -- one client ------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in (errno.EMFILE, errno.ENFILE):
                    self._spare.turn_away(self._listener)
                elif exc.errno not in (errno.ECONNABORTED, errno.ENOMEM, errno.ENOBUFS):
                    raise
                self.server.log(f"accept: {exc.strerror}")
                return
            sock.setblocking(False)
            connection = self.server.connect()
            peer = _Peer(sock, connection)
            self._peers[peer.descriptor] = peer
            self._peer_of[connection] = peer
            connection.on_output = self._ready.append
            self._epoll.register(peer.descriptor, _IN)

    def _serve(self, peer: _Peer, events: int) -> None:
        if events & _OUT:
            self._send(peer)
        if not events & _IN:
            if events & ~_OUT:  # EPOLLHUP, EPOLLERR
                self._hang_up(peer)
            return
        try:
            data = peer.receive(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up(peer)
            return
        connection = peer.connection
        connection.feed(data)
        if connection.failed:
            self.server.log(f"hang up: {connection.failed}")
            self._hang_up(peer)

    def _flush(self) -> None:
        """Send what waits. Sending may let others go on, so the list can grow meanwhile."""
        ready = self._ready
        for connection in ready:
            peer = self._peer_of.get(connection)
            if peer is not None:
                self._send(peer)
        ready.clear()

    def _send(self, peer: _Peer) -> None:
        connection = peer.connection
        data = peer.unsent or connection.take(_CHUNK_BYTES)
        while data:
            try:
                sent = peer.send(data, _NO_SIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._hang_up(peer)
                return
            if sent < len(data):
                peer.unsent = data[sent:]
                break
            peer.unsent = b""
            data = connection.take(_CHUNK_BYTES) if connection.queued_bytes else b""
        events = _IN
        if peer.unsent:
            events = _OUT | _IN if connection.queued_bytes < _BACKLOG_BYTES else _OUT
        if events != peer.events:
            peer.events = events
            self._epoll.modify(peer.descriptor, events)

    def _hang_up(self, peer: _Peer) -> None:
        if self._peers.pop(peer.descriptor, None) is None:
            return
        del self._peer_of[peer.connection]
        peer.connection.on_output = None
        peer.connection.close()
        self._epoll.unregister(peer.descriptor)
        peer.socket.close()


def _identity(path: str) -> tuple[int, int]:
    """Which file is at `path`; (0, 0) if none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _listen(path: str, mode: int) -> socket.socket:
    """A listening socket at `path`. Others see it there only once it listens, with its mode set."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    draft = f"{path}.{os.getpid()}"
    try:
        if _answers(path):
            raise HostError(
                "serve XenStore", path, "another daemon answers there", hint="stop it, or choose another path"
            )
        listener.bind(draft)
        os.chmod(draft, mode)
        listener.listen(128)
        os.rename(draft, path)
    except BaseException as exc:
        listener.close()
        if os.path.exists(draft):
            os.unlink(draft)
        if isinstance(exc, OSError):
            raise HostError("serve XenStore", path, exc.strerror or str(exc)) from exc
        raise
    return listener


def _answers(path: str) -> bool:
    """Whether somebody listens on the socket at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
