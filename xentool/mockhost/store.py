"""The mock host's XenStore: the server, its socket, the domains' rings, and Domain-0's own nodes."""

from __future__ import annotations

from xentool.mockhost.backend import RingBackend
from xentool.store.client import StoreClient
from xentool.store.domains import StoreHost
from xentool.store.local import LocalTransport
from xentool.store.ring import GuestRing
from xentool.store.serve import SocketServer
from xentool.store.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.session import Session
    from xentool.hypervisor.mock.xen import MockXen
    from xentool.mockhost.bounded import Log
    from xentool.mockhost.loop import Loop
    from xentool.store.connection import Connection
    from xentool.store.watching import WatchEvent

_GRANT_REFERENCE = 1  # GNTTAB_RESERVED_XENSTORE


class DomainRing:
    """A domain's connection to the store, through the page that it shares with Domain-0.

    `more` is called when something is left to be done in a later turn.
    """

    def __init__(
        self,
        session: Session,
        domid: int,
        gfn: int,
        port: int,
        connection: Connection,
        more: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._more = more
        self._backend = backend = RingBackend(session, domid, _GRANT_REFERENCE, gfn, port, self._pump)
        self._ring = GuestRing(backend.page, connection)
        self._ring.start()
        connection.on_output = connection.on_turn = lambda _connection: self._pump()

    def _pump(self) -> None:
        """Take requests, give replies, as far as the ring and the domain's limits allow."""
        connection = self._connection
        if connection.on_output is None:
            return
        if self._ring.handle():
            self._backend.notify()
        if connection.server.waiting:
            self._more()

    def close(self) -> None:
        self._connection.on_output = self._connection.on_turn = None
        self._backend.close()


class MockStoreHost(StoreHost):
    """What the store asks of the mock hypervisor."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.more: Callable[[], None] = lambda: None
        self.rings: dict[int, DomainRing] = {}

    def exists(self, domid: int) -> bool:
        domain = self._session.xen.domains.find(domid)
        return domain is not None and not domain.dying

    def is_shut_down(self, domid: int) -> bool:
        domain = self._session.xen.domains.find(domid)
        return domain is not None and domain.shutting_down

    def is_dying(self, domid: int) -> bool:
        domain = self._session.xen.domains.find(domid)
        return domain is not None and domain.dying

    def introduce(self, domid: int, gfn: int, port: int, connection: Connection) -> None:
        self.release(domid)
        self.rings[domid] = DomainRing(self._session, domid, gfn, port, connection, self.more)

    def release(self, domid: int) -> None:
        ring = self.rings.pop(domid, None)
        if ring is not None:
            ring.close()


class HostStore:
    """The server in this process, on a socket at `path`."""

    def __init__(
        self, loop: Loop, xen: MockXen, session: Session, log: Log, path: str, changed: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._changed = changed
        self._own_clients = 0
        self.host = MockStoreHost(session)
        self.host.more = lambda: loop.set_deadline("store", 0, self._serve)
        self.server = Server(self.host, release=xen.release)
        self.server.log = log.line
        # The simulated guests are this process: whoever held one up would wait for himself.
        self.server.rate.limited = False
        self.sockets = SocketServer(path, self.server)
        self._write_own_nodes(xen)
        loop.watch(self.sockets.fileno(), lambda _events: self._serve())

    def client(self, domid: int = 0) -> tuple[StoreClient, Connection]:
        """A client in this process, and its connection, whose `on_output` tells of watch events."""
        connection = self.server.connect(domid)
        if not domid:
            self._own_clients += 1
        return StoreClient(transport=LocalTransport(connection)), connection

    def watching_client(self, handle: Callable[[WatchEvent], None]) -> StoreClient:
        """A client of Domain-0 in this process, whose watch events go to `handle`, soon."""
        client, connection = self.client()
        woken = False

        def handle_events() -> None:
            nonlocal woken
            woken = False
            while (event := client.next_event(0)) is not None:
                handle(event)
            self.flush()

        def wake(_connection: Connection) -> None:
            nonlocal woken
            if not woken:
                woken = True
                self._loop.later(handle_events)

        connection.on_output = wake
        return client

    def domains_changed(self) -> None:
        """A domain shut down or went away: what xenstored does on VIRQ_DOM_EXC."""
        self.server.check_domains()
        self.flush()

    def flush(self) -> None:
        """Send what others in this process have caused, once they are done."""
        self._loop.later(self._serve)

    def _serve(self) -> None:
        self.sockets.handle_ready()
        # Guests that leave their events lying lose them in time, and who has much to do goes on in turn.
        self._loop.set_deadline("store", self.server.handle_time(), self._serve)
        self._changed()

    @property
    def client_count(self) -> int:
        """How many sockets are connected."""
        sockets = sum(1 for connection in self.server.connections.values() if connection.domain is None)
        return sockets - self._own_clients

    def _write_own_nodes(self, xen: MockXen) -> None:
        """What xen-init-dom0 and Domain-0's kernel leave in a real store."""
        target = xen.domains.get(0).total_pages * 4
        client, _ = self.client()
        with client.batch() as batch:
            batch.write("/local/domain/0/domid", "0")
            batch.write("/local/domain/0/name", "Domain-0")
            batch.write("/local/domain/0/memory/target", str(target))
            batch.write("/local/domain/0/memory/static-max", str(target))
        client.close()
        self._own_clients -= 1

    def close(self) -> None:
        for domid in list(self.host.rings):
            self.host.release(domid)
        self._loop.forget(self.sockets.fileno())
        self.sockets.close()
