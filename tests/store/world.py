"""A store and a host around it, where the test says what becomes of domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec
from xentool.store.client import StoreClient
from xentool.store.consistency import check_tree
from xentool.store.domains import StoreHost
from xentool.store.local import LocalTransport
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.store.connection import Connection
    from xentool.store.domains import Domain


class Host(StoreHost):
    """A host with domains 0 to 9."""

    def __init__(self) -> None:
        self.there = set(range(10))
        self.down: set[int] = set()
        self.introduced: list[tuple[int, int, int]] = []
        self.released: list[int] = []

    def exists(self, domid: int) -> bool:
        return domid in self.there

    def is_shut_down(self, domid: int) -> bool:
        return domid in self.down

    def introduce(self, domid: int, gfn: int, port: int, connection: Connection) -> None:
        if domid not in self.there:
            raise OSError(3, "no such domain")
        self.introduced.append((domid, gfn, port))

    def release(self, domid: int) -> None:
        self.released.append(domid)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class World:
    """A server, dom0's client, and guests in this process."""

    def __init__(self, release: str = "4.17") -> None:
        self.host = Host()
        self.clock = Clock()
        self.server = Server(self.host, self.clock, release=release)
        self.lines: list[str] = []
        self.server.log = self.lines.append
        self.dom0 = self.client(0)

    def client(self, domid: int) -> StoreClient:
        """A client of `domid`, which is introduced if it was not."""
        return StoreClient(transport=LocalTransport(self.server.connect(domid)))

    def guest(self, domid: int = 5) -> StoreClient:
        """One at home in /local/domain/N."""
        guest = self.client(domid)
        self.dom0.mkdir(f"/local/domain/{domid}")
        self.dom0.set_perms(f"/local/domain/{domid}", [f"n{domid}"])
        return guest

    def introduced(self, domid: int) -> Connection:
        """One at home, introduced as a toolstack does it: with all limits."""
        self.guest(domid)
        self.dom0.introduce(domid, 1, 1)  # type: ignore[arg-type]
        return self.server.connect(domid)

    def domain(self, domid: int = 5) -> Domain:
        domain = self.server.domains.find(domid)
        assert domain is not None
        return domain

    def release(self, domid: int) -> None:
        """The domain is destroyed, and xenstored told of it."""
        self.dom0.release(domid)  # type: ignore[arg-type]

    def check(self) -> None:
        """What holds whatever happened."""
        assert check_tree(self.server) == []
        for domain in self.server.domains.all():
            assert domain.memory >= 0
            assert domain.outstanding >= 0
            assert domain.watches >= 0


def refusal(call: Callable[[], object]) -> str:
    """The word with which the daemon refuses `call`; fails if it does not."""
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.errno_name


def ask(client: StoreClient, kind: int, payload: bytes, tx_id: int = 0) -> tuple[int, bytes]:
    """A request as it is, past the client's own checks: the reply's type and payload."""
    reply = client.exchange(tx_id, [(kind, payload)])[0]
    return reply[0], reply[3]


def send(connection: Connection, kind: int, payload: bytes, tx_id: int = 0) -> None:
    """Bytes of one request, as a guest's ring brings them."""
    connection.feed(codec.encode(kind, 1, tx_id, payload))


def replies(connection: Connection, most: int = 1 << 20) -> list[codec.Message]:
    """What the guest takes, without events; then all have a turn."""
    taken = codec.Decoder(1 << 20).feed(connection.take(most))
    connection.server.take_turns()
    return [message for message in taken if message[0] != xs_wire.XS_WATCH_EVENT]
