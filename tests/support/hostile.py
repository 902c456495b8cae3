"""Hostile guests, and a mock host's store for them to attack.

A guest writes into its ring whatever it likes: requests that go for every quota,
valid frames with bytes changed, random bytes. It reads its replies when it feels
like it. When the store has had enough of it, it is introduced anew, as after a
reboot. A hostile client of the socket sends frames that make no sense; it has
dom0's rights, so it only asks.
"""

from __future__ import annotations

import os
import random
import socket
import struct
from array import array
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.support.mockguest import HandMade
from xentool.abi import xs_wire
from xentool.hypervisor.calls import Hypercalls
from xentool.hypervisor.mock.hypervisor import MockHypervisor
from xentool.mockhost.bounded import Log
from xentool.mockhost.loop import Loop
from xentool.mockhost.store import HostStore
from xentool.store import codec
from xentool.units import MIB, DomId, Mfn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from xentool.store.client import StoreClient
    from xentool.units import Port

_RING = xs_wire.XENSTORE_RING_SIZE
_PATIENCE_TURNS = 200
_INDEX = struct.Struct("=I")


class Frames:
    """What a hostile guest sends: one frame after the other, each a little worse than the rules allow."""

    def __init__(self, rng: random.Random, domid: int) -> None:
        self._rng = rng
        self._home = b"/local/domain/%d" % domid
        self._mood: Callable[[], tuple[int, bytes]] = self._nodes
        self.malformed_bytes = 0

    @staticmethod
    def for_every_quota() -> bytes:
        """Valid requests that together reach all limits of a domain."""
        # A hundred to each, for a node's children count to its size.
        paths = [b"d%d/n%d\0" % divmod(at, 100) for at in range(1100)]
        requests = [(xs_wire.XS_MKDIR, 0, path) for path in paths]
        requests += [(xs_wire.XS_WATCH, 0, path + b"t" * 2000 + b"\0") for path in paths[:140]]
        requests += [(xs_wire.XS_WRITE, 0, path + b"x" * 1990) for path in paths]
        requests += [(xs_wire.XS_TRANSACTION_START, 0, b"\0")] * 15
        requests += [(xs_wire.XS_READ, 1 + at % 5, paths[at % 900]) for at in range(2000)]
        return b"".join([codec.encode(kind, 1, tx_id, payload) for kind, tx_id, payload in requests])

    def next(self) -> bytes:
        rng = self._rng
        roll = rng.random()
        if roll < 0.35:
            return self._greedy()
        if roll < 0.65:
            frame = self._mutated(self._greedy())
        elif roll < 0.9997:
            length = rng.choice((0, 1, rng.randrange(64), rng.randrange(400), rng.randrange(4097)))
            kind = rng.choice((rng.randrange(xs_wire.XS_RESET_WATCHES), rng.randrange(22, 40)))
            frame = codec.HEADER.pack(
                kind, rng.getrandbits(32), rng.choice((0, 0, 1, rng.getrandbits(32))), length
            )
            frame += rng.randbytes(length)
        else:
            frame = rng.randbytes(rng.randrange(1, 600))
        self.malformed_bytes += len(frame)
        return frame

    def _path(self) -> bytes:
        rng = self._rng
        kind = rng.randrange(6)
        if kind == 0:
            return b"/".join([b"d"] * rng.randrange(1, 900))
        if kind == 1:
            return self._home + b"/n%d" % rng.randrange(1200)
        if kind == 2:
            return rng.choice((b"/", b"@releaseDomain", b"/local", b"/local/domain", b"/tool", self._home))
        return b"n%d/m%d" % (rng.randrange(40), rng.randrange(60))

    def _greedy(self) -> bytes:
        """A valid request, of the kind of which there can be too many."""
        rng = self._rng
        if not rng.randrange(2000):
            self._mood = rng.choice((self._anything, self._nodes, self._watches, *[self._memory] * 4))
        kind, payload = self._mood() if rng.random() < 0.9 else self._anything()
        return codec.encode(kind, 1, rng.choice((0, 0, rng.randrange(1, 60))), payload[: codec.PAYLOAD_MAX])

    def _nodes(self) -> tuple[int, bytes]:
        return xs_wire.XS_MKDIR, b"n%d\0" % self._rng.randrange(1200)

    def _watches(self) -> tuple[int, bytes]:
        return xs_wire.XS_WATCH, b"n%d\0t%d\0" % (self._rng.randrange(1200), self._rng.randrange(300))

    def _memory(self) -> tuple[int, bytes]:
        """Nodes as large as they may be, watches' tokens, and copies in transactions."""
        rng = self._rng
        number = rng.randrange(1200)
        return rng.choice(
            (
                *[(xs_wire.XS_WRITE, b"n%d\0" % number + b"x" * 1990)] * 4,
                (xs_wire.XS_WATCH, b"n%d\0" % number + b"t" * 2000 + b"\0"),
                (xs_wire.XS_TRANSACTION_START, b"\0"),
            )
        )

    def _anything(self) -> tuple[int, bytes]:
        rng = self._rng
        path = self._path()
        return rng.choice(
            (
                (xs_wire.XS_WRITE, path + b"\0" + b"x" * rng.choice((0, 10, 1000, 2040, 3000))),
                (xs_wire.XS_MKDIR, path + b"\0"),
                (xs_wire.XS_RM, rng.choice((b"n%d" % rng.randrange(1200), b"d", b"/", b"/local")) + b"\0"),
                (xs_wire.XS_WATCH, path + b"\0" + b"t" * rng.choice((1, 5, 900)) + b"\0"),
                (xs_wire.XS_UNWATCH, path + b"\0t\0"),
                (xs_wire.XS_SET_PERMS, path + b"\0" + b"b5\0" * rng.randrange(1, 9)),
                (xs_wire.XS_TRANSACTION_START, b"\0"),
                (xs_wire.XS_TRANSACTION_END, rng.choice((b"T\0", b"F\0"))),
                (xs_wire.XS_DIRECTORY, path + b"\0"),
                (xs_wire.XS_DIRECTORY_PART, path + b"\x00%d\0" % rng.randrange(-5, 9000)),
                (xs_wire.XS_READ, path + b"\0"),
                (xs_wire.XS_GET_PERMS, path + b"\0"),
                (xs_wire.XS_RESET_WATCHES if not rng.randrange(100) else xs_wire.XS_READ, b"\0"),
            )
        )

    def _mutated(self, frame: bytes) -> bytes:
        rng = self._rng
        changed = bytearray(frame)
        for _ in range(rng.randrange(1, 5)):
            # The length is left alone mostly: it ends the conversation.
            at = (
                rng.randrange(len(changed))
                if not rng.randrange(1000)
                else rng.randrange(16, len(changed) + 8)
            )
            if at >= len(changed):
                at = rng.randrange(12)
            changed[at] = rng.choice((0, 0xFF, rng.getrandbits(8)))
        return bytes(changed)


class HostileGuest:
    """A domain on the mock, and the page through which it attacks the store."""

    def __init__(self, calls: Hypercalls, seed: int, mappings: ExitStack) -> None:
        self._made = HandMade(calls)
        self.domid = DomId(self._made.domid)
        self.frame = Mfn(self._made.frames[0])
        self.port: Port = calls.alloc_unbound(self.domid, DomId(0))
        self._page = mappings.enter_context(calls.gate.map_frames(self.domid, array("Q", [self.frame]))).view
        self._rng = random.Random(seed)
        self.frames = Frames(self._rng, self.domid)
        self._rest = b""
        self._unheard = 0
        self.sent_bytes = 0
        self.lives = 0

    def _get(self, offset: int) -> int:
        value: int = _INDEX.unpack_from(self._page, offset)[0]
        return value

    @property
    def is_ignored(self) -> bool:
        """Whether the store listens to it no more: for its nonsense, or because its memory is used up."""
        return bool(self._get(xs_wire.RING_ERROR_OFFSET)) or self._unheard > _PATIENCE_TURNS

    def take_it_all(self) -> None:
        """Go for every quota first, by the rules."""
        self._rest = Frames.for_every_quota()

    @property
    def left_bytes(self) -> int:
        """What it wants to send before it thinks of something else."""
        return len(self._rest)

    def write(self) -> None:
        """Fill the ring; now and then read what came, or lie about what was."""
        rng = self._rng
        produced = self._get(xs_wire.RING_REQ_PROD_OFFSET)
        room = _RING - (produced - self._get(xs_wire.RING_REQ_CONS_OFFSET)) % (1 << 32)
        self._unheard = 0 if room else self._unheard + 1
        while len(self._rest) < room:
            self._rest += self.frames.next()
        data, self._rest = self._rest[:room], self._rest[room:]
        start = produced % _RING
        first = min(len(data), _RING - start)
        self._page[start : start + first] = data[:first]
        self._page[: len(data) - first] = data[first:]
        _INDEX.pack_into(self._page, xs_wire.RING_REQ_PROD_OFFSET, (produced + len(data)) & 0xFFFFFFFF)
        self.sent_bytes += len(data)
        if rng.random() < 0.9:
            _INDEX.pack_into(
                self._page, xs_wire.RING_RSP_CONS_OFFSET, self._get(xs_wire.RING_RSP_PROD_OFFSET)
            )
        elif rng.random() < 0.01 and self.left_bytes < 5000:
            _INDEX.pack_into(self._page, xs_wire.RING_RSP_CONS_OFFSET, rng.getrandbits(32))

    def begin_anew(self, dom0: StoreClient) -> None:
        """Dom0 introduces it, at first and after the store has stopped listening."""
        self.frames.malformed_bytes -= min(len(self._rest), 5000)  # what was never sent
        self._rest = b""
        self._unheard = 0
        self.lives += 1
        dom0.introduce(self.domid, self.frame, self.port)
        home = f"/local/domain/{self.domid}"
        if not dom0.exists(home):
            dom0.mkdir(home)
            dom0.set_perms(home, [f"n{self.domid}"])

    def destroy(self) -> None:
        self._made.destroy()


class Siege:
    """A mock host's store on a socket in `folder`, and who attacks it. `release` is Xen's.

    Nobody is slowed down for disturbing transactions: that would be mercy.
    """

    def __init__(self, folder: Path, release: str = "4.17", seed: int = 1) -> None:
        self._stack = stack = ExitStack()
        self._hypervisor = stack.enter_context(
            MockHypervisor(release=release, memory_bytes=256 * MIB, domain_0_bytes=64 * MIB)
        )
        self.path = str(folder / "socket")
        self._loop = Loop()
        stack.callback(self._loop.close)
        log = Log(str(folder / "log"), 1 << 20)
        xen, session = self._hypervisor.session.xen, self._hypervisor.session
        self.store = HostStore(self._loop, xen, session, log, self.path, lambda: None)
        stack.callback(self.store.close)
        self.server = self.store.server
        self._xen = xen
        self.dom0, _ = self.store.client()
        calls = Hypercalls(self._hypervisor)
        self.guests = [HostileGuest(calls, seed + at, stack) for at in range(2)]
        for guest in self.guests:
            guest.begin_anew(self.dom0)
        self._rng = random.Random(seed)
        self._raw: socket.socket | None = None
        self.raw_bytes = 0
        self.turns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._raw is not None:
            self._raw.close()
        for guest in self.guests:
            self.dom0.release(guest.domid)
            guest.destroy()
        self._stack.close()

    @property
    def malformed_bytes(self) -> int:
        """How much of what was sent made no sense."""
        return self.raw_bytes + sum(guest.frames.malformed_bytes for guest in self.guests)

    def turn(self) -> None:
        """Each attacker does something, and the store's loop goes round once."""
        self.turns += 1
        for guest in self.guests:
            if guest.is_ignored:
                guest.begin_anew(self.dom0)
            guest.write()
            self._xen.events.send(guest.domid, guest.port)
        if not self._rng.randrange(20):
            self._attack_socket()
        self.serve()

    def serve(self) -> None:
        """The store's loop goes round once."""
        self.server.handle_time()
        self.store.sockets.handle_ready()

    def _attack_socket(self) -> None:
        rng = self._rng
        if self._raw is None:
            self._raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._raw.connect(self.path)
            self._raw.setblocking(False)
        length = rng.choice((rng.randrange(300), rng.randrange(300), 5000, rng.getrandbits(32)))
        kind = rng.choice(
            (xs_wire.XS_READ, xs_wire.XS_DIRECTORY, xs_wire.XS_GET_PERMS, rng.randrange(40, 1 << 32))
        )
        frame = codec.HEADER.pack(kind, 0, rng.choice((0, rng.getrandbits(32))), length)
        frame += rng.randbytes(min(length, 5000))
        try:
            self.raw_bytes += self._raw.send(frame, socket.MSG_NOSIGNAL)
            while self._raw.recv(65536, socket.MSG_DONTWAIT):
                pass
            self._hang_up()
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None


def resident_bytes() -> int:
    """How much memory this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
