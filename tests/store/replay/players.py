"""Who plays a replay's steps: C xenstored outside Xen, any daemon behind a socket, and our server."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tests.store.replay.steps import Step
from xentool.abi import xs_wire as xs
from xentool.store.codec import HEADER, Decoder
from xentool.store.connection import Connection
from xentool.store.domains import StoreHost
from xentool.store.server import Server

if TYPE_CHECKING:
    from xentool.store.codec import Message

SECONDS = 90.0
"""After so long without an answer a daemon counts as stuck."""

SOCKETS = ("s0", "s1", "s2")
EXISTS, SHUT_DOWN, DYING = 1, 2, 4
STATES = {"create": EXISTS, "shut_down": EXISTS | SHUT_DOWN, "dying": EXISTS | DYING, "destroy": 0}
_LOWEST_PORT = 100
"""What a domain may offer for its event channel; lower ones cannot be bound (also tests/support/xenshim)."""


class Outcome(NamedTuple):
    """What a step led to: each request's answer, as (kind, transaction, payload); events by connection."""

    replies: tuple[tuple[int, int, bytes], ...]
    events: dict[str, list[bytes]]


class Wire(Protocol):
    """A connection: bytes go, messages come. `seen` counts the bytes that came."""

    seen: int

    def send(self, data: bytes) -> None: ...
    def receive(self) -> list[Message]:
        """What has come, after waiting for something."""
        ...

    def look(self) -> list[Message]:
        """What has come."""
        ...

    def close(self) -> None: ...


class Player:
    """Plays steps on one store. Subclasses say how to connect, and what the hypervisor does."""

    def __init__(self) -> None:
        self.wires: dict[str, Wire] = {}
        self._transactions: dict[tuple[str, int], int] = {}
        self._request_id = 0

    def connect(self) -> Wire:
        raise NotImplementedError

    def connect_guest(self, domid: int) -> Wire:
        raise NotImplementedError

    def happen(self, what: str, domid: int) -> None:
        raise NotImplementedError

    def is_alive(self, domid: int) -> bool:
        raise NotImplementedError

    def settle(self) -> None:
        """Return when all that the last requests caused is there to be read."""

    def open(self) -> None:
        for name in SOCKETS:
            self.wires[name] = self.connect()

    def play(self, step: Step) -> Outcome:
        if step.what == "reconnect":
            self.wires.pop(step.who).close()
            self.settle()
            self.wires[step.who] = self.connect()
            self._forget(step.who)
        elif step.what:
            self.happen(step.what, step.domid)
        replies, events = self._ask(step)
        more = True
        while more:
            # A daemon may send one message to each connection in a round: until a round brings none.
            self.settle()
            more = self._collect(events)
        for request, reply in zip(step.requests, replies, strict=True):
            if reply[0] == xs.XS_INTRODUCE:
                domid = int(request.payload.split(b"\0")[0])
                if f"d{domid}" not in self.wires:
                    self.wires[f"d{domid}"] = self.connect_guest(domid)
                self._forget(f"d{domid}")
            elif reply[0] == xs.XS_RELEASE:
                self._gone(int(request.payload[:-1]))
        if step.what and step.what != "reconnect":
            for name in [name for name in self.wires if name[0] == "d"]:
                if not self.is_alive(int(name[1:])):
                    self._gone(int(name[1:]))
        return Outcome(tuple(replies), events)

    def close(self) -> None:
        for wire in self.wires.values():
            wire.close()

    def _collect(self, events: dict[str, list[bytes]]) -> bool:
        """Add what has come to `events`; whether anything has."""
        before = sum(wire.seen for wire in self.wires.values())
        for name, wire in self.wires.items():
            for message in wire.look():
                if message[0] != xs.XS_WATCH_EVENT:
                    raise AssertionError(f"{name} is told {message} out of the blue")
                events.setdefault(name, []).append(message[3])
        return before != sum(wire.seen for wire in self.wires.values())

    def _gone(self, domid: int) -> None:
        wire = self.wires.pop(f"d{domid}", None)
        if wire is not None:
            wire.close()
        self._forget(f"d{domid}")

    def _forget(self, who: str) -> None:
        for key in [key for key in self._transactions if key[0] == who]:
            del self._transactions[key]

    def _ask(self, step: Step) -> tuple[list[tuple[int, int, bytes]], dict[str, list[bytes]]]:
        if not step.requests:
            return [], {}
        frames = []
        for kind, payload, slot, inside in step.requests:
            if kind == xs.XS_TRANSACTION_START:
                slot = inside  # noqa: PLW2901
            tx_id = self._transactions.get((step.who, slot), 0xFFFF0000 + slot) if slot else 0
            self._request_id += 1
            frames.append(HEADER.pack(kind, self._request_id, tx_id, len(payload)) + payload)
        wire = self.wires[step.who]
        wire.send(b"".join(frames))
        replies: list[tuple[int, int, bytes]] = []
        events: dict[str, list[bytes]] = {}
        first = self._request_id - len(frames) + 1
        while len(replies) < len(frames):
            for kind, request_id, tx_id, payload in wire.receive():
                if kind == xs.XS_WATCH_EVENT:
                    events.setdefault(step.who, []).append(payload)
                    continue
                if request_id != first + len(replies):
                    raise AssertionError(f"{step} is answered with id {request_id}")
                replies.append((kind, tx_id, payload))
                request = step.requests[len(replies) - 1]
                if kind == xs.XS_TRANSACTION_START:
                    self._transactions[step.who, request.slot] = int(payload[:-1])
        return replies, events


class OurHost(StoreHost):
    """The hypervisor's side, for our server."""

    def __init__(self) -> None:
        self.states = {0: EXISTS}

    def exists(self, domid: int) -> bool:
        return bool(self.states.get(domid))

    def is_shut_down(self, domid: int) -> bool:
        return bool(self.states.get(domid, 0) & SHUT_DOWN)

    def is_dying(self, domid: int) -> bool:
        return bool(self.states.get(domid, 0) & DYING)

    def introduce(self, domid: int, gfn: int, port: int, connection: Connection) -> None:
        if port < _LOWEST_PORT:
            raise OSError(22, "no such port")


class OurWire:
    """A connection of our server, in this process. `others` makes all connections take what is for them, as
    clients behind sockets do: what a guest's requests cause counts against it until then."""

    def __init__(self, connection: Connection, others: Callable[[], None]) -> None:
        self.connection = connection
        self._others = others
        self._decoder = Decoder()
        self._pending: list[Message] = []
        self.seen = 0

    def send(self, data: bytes) -> None:
        self.connection.feed(data)

    def take(self) -> None:
        data = self.connection.take(1 << 20)
        if data:
            self.seen += len(data)
            self._pending += self._decoder.feed(data)

    def look(self) -> list[Message]:
        server = self.connection.server
        self.take()
        while server.waiting:
            server.take_turns()
            self.take()
        messages, self._pending = self._pending, []
        return messages

    def receive(self) -> list[Message]:
        messages = self.look()
        if not messages:
            self._others()
            messages = self.look()
        if not messages:
            raise AssertionError("our server does not answer")
        return messages

    def close(self) -> None:
        if self.connection.privileged:
            self.connection.close()


class OurPlayer(Player):
    """Our server. Guests' frames come whole, not through a ring: tests/store/test_ring.py is for that."""

    def __init__(self, xen: str) -> None:
        super().__init__()
        self.host = OurHost()
        self.server = Server(self.host, clock=lambda: 0.0, release=xen)
        # As xenshim, whose clock runs too fast for it.
        self.server.rate.limited = False
        self.open()

    def connect(self) -> Wire:
        return OurWire(self.server.connect(), self._take_all)

    def connect_guest(self, domid: int) -> Wire:
        domain = self.server.domains.find(domid)
        assert domain is not None
        assert domain.connection is not None
        return OurWire(domain.connection, self._take_all)

    def _take_all(self) -> None:
        for wire in self.wires.values():
            assert isinstance(wire, OurWire)
            wire.take()

    def is_alive(self, domid: int) -> bool:
        return self.host.exists(domid) and not self.host.is_dying(domid)

    def happen(self, what: str, domid: int) -> None:
        self.host.states[domid] = STATES[what]
        if what != "create":
            self.server.check_domains()


class SocketWire:
    """A client of a daemon's socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        # Not a timeout of Python's: that would make each look wait, too.
        seconds = struct.pack("ll", int(SECONDS), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        self._decoder = Decoder()
        self.seen = 0

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as exc:
            raise AssertionError("the daemon is gone") from exc

    def receive(self) -> list[Message]:
        try:
            data = self._socket.recv(65536)
            self.seen += len(data)
        except BlockingIOError:
            raise AssertionError("the daemon does not answer") from None
        except OSError as exc:
            raise AssertionError("the daemon is gone") from exc
        if not data:
            raise AssertionError("the daemon hung up")
        return self._decoder.feed(data)

    def look(self) -> list[Message]:
        found: list[Message] = []
        while True:
            try:
                data = self._socket.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            except OSError as exc:
                raise AssertionError("the daemon is gone") from exc
            found += self._decoder.feed(data)
            self.seen += len(data)
            if not data:
                raise AssertionError("the daemon hung up")

    def close(self) -> None:
        self._socket.close()


class SocketPlayer(Player):
    """A daemon that runs already. It has domains of its own: only sockets play."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._barrier = SocketWire(path)
        self._wait = HEADER.pack(xs.XS_GET_DOMAIN_PATH, 0, 0, 2) + b"0\0"
        self.open()

    def connect(self) -> Wire:
        return SocketWire(self._path)

    def settle(self) -> None:
        # What other connections are told was queued before the last answer, and each round of the daemon's
        # loop writes what was queued before it: a request that is asked and answered since came after.
        self._barrier.send(self._wait)
        while not self._barrier.receive():
            pass

    def close(self) -> None:
        super().close()
        self._barrier.close()
