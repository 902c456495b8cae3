"""The mock hypervisor's socket: one connection is one session, and ends with it."""

from __future__ import annotations

import os
import socket
from array import array

from xentool.hypervisor.mock import wire
from xentool.hypervisor.mock.arena import Arena
from xentool.hypervisor.mock.session import Session
from xentool.mockhost.listening import Listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.xen import MockXen
    from xentool.mockhost.bounded import Log
    from xentool.mockhost.loop import Loop

    Answer = tuple[int, int | None]  # the result, and a descriptor to send along


class SessionServer:
    """Accepts callers of the mock hypervisor on a Unix socket at `path`."""

    def __init__(
        self,
        loop: Loop,
        xen: MockXen,
        log: Log,
        path: str,
        *,
        changed: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.xen = xen
        self.log = log
        self.changed = changed
        self.stop = stop
        self.callers: set[Caller] = set()
        self._listener = Listener(loop, path, log, self._came)

    def _came(self, connection: socket.socket) -> None:
        self.callers.add(Caller(self, connection))
        self.changed()

    def close(self) -> None:
        self._listener.close()
        for caller in list(self.callers):
            caller.close()


class Caller:
    """One connection. Until its HELLO it has no session."""

    def __init__(self, server: SessionServer, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._session: Session | None = None
        server.loop.watch(connection.fileno(), self._ready)

    def _ready(self, _events: int) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._socket, wire.REQUEST.size + 1, 1, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        try:
            if len(data) != wire.REQUEST.size:
                self.close()
                return
            sequence, what, *numbers = wire.REQUEST.unpack(data)
            try:
                result, descriptor = self._carry_out(what, numbers, descriptors)
                self._answer(sequence, 0, result, descriptor)
            except OSError as error:
                self._answer(sequence, error.errno or 5, 0, None)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _answer(self, sequence: int, number: int, result: int, descriptor: int | None) -> None:
        packet = wire.ANSWER.pack(sequence, number, result)
        try:
            if descriptor is None:
                self._socket.send(packet)
            else:
                socket.send_fds(self._socket, [packet], [descriptor])
        except OSError:
            self.close()

    def _carry_out(self, what: int, numbers: list[int], descriptors: list[int]) -> Answer:
        """Raises OSError with what to answer."""
        import errno

        session = self._session
        if what == wire.HELLO:
            if session is not None or numbers[0] != wire.VERSION or not descriptors:
                raise OSError(errno.EPROTO, "not a hello of this version")
            try:
                self._session = Session(self._server.xen, Arena(descriptors.pop()))
            except ValueError:
                raise OSError(errno.EPROTO, "not an arena") from None
            return wire.VERSION, self._server.xen.memory.fd
        if what == wire.STOP:
            self._server.stop()
            return 0, None
        if session is None:
            raise OSError(errno.EPROTO, "no hello yet")
        if what == wire.HYPERCALL:
            unsigned = [number & (1 << 64) - 1 for number in numbers]
            return session.hypercall(unsigned[0], *unsigned[1:6]), None
        if what == wire.UNMAP:
            session.unmap(numbers[0])
            return 0, None
        if what in (wire.MAP_FRAMES, wire.MAP_RESOURCE, wire.MAP_GRANTS):
            return self._map(session, what, numbers), None
        return self._events(session, what, numbers)

    def _map(self, session: Session, what: int, numbers: list[int]) -> int:
        memory = session.arena.memory
        if what == wire.MAP_FRAMES:
            domid, address, count, writable = numbers[:4]
            frames = memory(address, 8 * count).cast("Q").tolist()
            return session.map_frames(domid, frames, bool(writable))
        if what == wire.MAP_RESOURCE:
            domid, kind, index, frame, count, address = numbers[:6]
            number, frames = session.map_resource(domid, kind, index, frame, count)
        else:
            domid, address, count, writable = numbers[:4]
            references = memory(address, 4 * count).cast("I").tolist()
            number, frames = session.map_grants(domid, references, bool(writable))
        memory(address, 8 * len(frames))[:] = array("Q", frames).tobytes()
        return number

    def _events(self, session: Session, what: int, numbers: list[int]) -> Answer:
        if what == wire.EVENTS_OPEN:
            number, handle = session.open_events()
            # Sending duplicates it; ours is closed once it is sent.
            self._server.loop.later(handle.close_read_end)
            return number, handle.read_fd
        if what == wire.EVENTS:
            operation = wire.EVENT_OPERATIONS[numbers[1]]
            return session.event_operation(numbers[0], operation, numbers[2], numbers[3]), None
        session.close_events(numbers[0])
        return 0, None

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._server.loop.forget(self._socket.fileno())
        self._socket.close()
        if self._session is not None:
            self._session.close()
            self._session.arena.close()
            self._session = None
        self._server.callers.discard(self)
        self._server.changed()
