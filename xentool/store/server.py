"""The XenStore server, without I/O: what xenstored does with the bytes that reach it.

    server = Server(host)
    connection = server.connect()             # as a socket: with dom0's rights
    connection.feed(request bytes)
    reply_bytes = connection.take(65536)

`SocketServer` (`xentool.store.serve`) puts a Unix socket around it,
`LocalTransport` (`xentool.store.local`) a `StoreClient` in the same process. Its
host is told of INTRODUCE and RELEASE, and says which domains there are. It is
for one thread.

The semantics are C xenstored's, its limits and its words for errors included, of
the release of Xen that it is told to play (`xentool.store.release`).

Source: docs/misc/xenstore.txt; tools/xenstore/ (4.17), tools/xenstored/ (4.18 to 4.22).
"""

from __future__ import annotations

import errno
import time

from xentool.abi.xen import DOMID_FIRST_RESERVED
from xentool.store import requests
from xentool.store.connection import Connection
from xentool.store.domains import Domain, Domains, StoreHost, without_domain
from xentool.store.paths import child_of
from xentool.store.permissions import Permission
from xentool.store.quota import Quota
from xentool.store.ratelimit import WriteRate
from xentool.store.refusal import Refused
from xentool.store.release import DEFAULT, Release
from xentool.store.tracelog import TraceLog
from xentool.store.tree import Tree
from xentool.store.watches import Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.store.codec import Message
    from xentool.store.tree import Permissions

_DOM0_ONLY: Permissions = (Permission(0),)


class Server:
    """A store with its clients, as of `release` of Xen.

    `host` knows the domains, `clock` the time (seconds); `log` is called with what
    an administrator should know.
    """

    def __init__(
        self,
        host: StoreHost | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        release: str = DEFAULT,
    ) -> None:
        self.host = host or StoreHost()
        self.clock = clock
        self.log: Callable[[str], None] = lambda _line: None
        self.plays = Release(release)
        self.handlers = requests.handlers_of(self.plays)
        self.quota = Quota(self.plays)
        self.rate = WriteRate(clock, self._tell)
        self.domains = Domains(self.host, self.quota, self._tick, clock, self._tell, self.wake)
        self.tree = Tree(self.domains, self.quota)
        self.watches = Watches(self)
        self.connections: dict[int, Connection] = {}
        self.special: dict[bytes, Permissions] = {
            b"@introduceDomain": _DOM0_ONLY,
            b"@releaseDomain": _DOM0_ONLY,
        }
        """Special paths, for releases where they are no nodes."""
        self.trace = TraceLog(self)
        self.waiting: dict[int, Connection] = {}
        """Guests with more to be done than one turn allows, by serial: see `take_turns`."""
        self._expiring: dict[int, Connection] = {}
        self._next_expiry = 0.0
        self._serial = 0
        dom0 = self.domains.add(0)
        dom0.introduced = True
        dom0.nodes = 3 + len(self.plays.special_nodes)
        for path, children in ((b"/", b"tool\0"), (b"/tool", b"xenstored\0"), (b"/tool/xenstored", b"")):
            self.tree.put(None, path, b"", _DOM0_ONLY, children)
        for path in self.plays.special_nodes:
            self.tree.put(None, path, b"", _DOM0_ONLY, b"")

    def _tell(self, line: str) -> None:
        self.log(line)

    def wake(self, domain: Domain) -> None:
        """A domain that was held up may go on, in its turn."""
        if domain.connection is not None:
            self.waiting[domain.connection.serial] = domain.connection

    def wake_all(self) -> None:
        """Limits were changed: whoever they held up may go on."""
        for domain in self.domains.all():
            self.wake(domain)

    def _tick(self) -> int:
        return self.tree.next_generation()

    # -- clients ---------------------------------------------------------------

    def connect(self, domid: int = 0) -> Connection:
        """A connection in this process: dom0's is new each time, a guest's is its domain's one.

        A guest that was not introduced is, without the host: it has no ring.
        """
        if not domid:
            return self._new_connection(None)
        domain = self.domains.find(domid)
        if domain is not None and domain.connection is not None:
            return domain.connection
        domain = self.domains.add(domid)
        return self._introduce(domain, self._new_connection(domain))

    def _new_connection(self, domain: Domain | None) -> Connection:
        self._serial += 1
        connection = self.connections[self._serial] = Connection(self, domain, self._serial)
        return connection

    def handle_message(self, connection: Connection, message: Message) -> None:
        """Carry out one request. Its answer, and events, are queued on connections."""
        kind, _, tx_id, payload = message
        try:
            handler, flags = self.handlers.get(kind, requests.UNKNOWN)
            if flags and flags & requests.PRIVILEGED and not connection.privileged:
                raise Refused("EACCES")
            if tx_id and not flags & requests.NO_TRANSACTION:
                transaction = connection.transactions.get(tx_id)
                if transaction is None:
                    raise Refused("ENOENT")
                reply = handler(connection, transaction, payload)
            else:
                reply = handler(connection, self.tree, payload)
        except Refused as refusal:
            connection.refuse(refusal.word)
            return
        if reply is not None:
            connection.reply(reply)

    def observe(self, observer: Callable[[Connection, Message], None] | None) -> None:
        """Tell `observer` of each request before it is carried out; None: nobody any more."""
        if observer is None:
            vars(self).pop("handle_message", None)
            return

        def handle(connection: Connection, message: Message) -> None:
            observer(connection, message)
            Server.handle_message(self, connection, message)

        # Only while somebody observes does it cost anything.
        vars(self)["handle_message"] = handle

    # -- domains -----------------------------------------------------------------

    def introduce(self, domid: int, gfn: int, port: int) -> Connection:
        """What INTRODUCE does; the domain's connection.

        Raises:
            Refused: the host cannot connect it.
        """
        if not 0 < domid < DOMID_FIRST_RESERVED:
            raise Refused("EINVAL")
        domain = self.domains.add(domid)
        connection = domain.connection or self._new_connection(domain)
        try:
            self.host.introduce(domid, gfn, port, connection)
        except OSError as exc:
            if not domain.introduced:
                connection.close()
            raise Refused(errno.errorcode.get(exc.errno or 0, "EINVAL")) from exc
        self.rate.add(domain)
        if not domain.introduced:
            self._introduce(domain, connection)
        connection.reset()
        connection.failed = ""
        return connection

    def _introduce(self, domain: Domain, connection: Connection) -> Connection:
        domain.connection = connection
        domain.introduced = True
        domain.shut_down = False
        self.watches.fire_special(b"@introduceDomain", domain.domid)
        return connection

    def release(self, domid: int) -> None:
        """The domain is gone, or as good as: its connection ends, its nodes and its rights go with it."""
        domain = self.domains.find(domid)
        if domain is None or not domid:
            return
        if domain.connection is not None:
            domain.connection.close()
            domain.connection = None
        if domain.nodes > 0:
            self._remove_nodes_of(domid)
        for name, permissions in self.special.items():
            self.special[name] = without_domain(permissions, domid)
        for connection in self.connections.values():
            if connection.target == domid:
                connection.target = -1
        self.domains.forget(domid)
        self.rate.forget(domain)
        if domain.introduced:
            self.watches.fire_special(b"@releaseDomain", domid)
            self.host.release(domid)

    def _remove_nodes_of(self, domid: int) -> None:
        """Nobody shall find, or be able to write, what a domain has left behind when its domid comes back."""
        domain = self.domains.find(domid)
        nodes = self.tree.nodes
        kept = (b"/", *self.plays.special_nodes)
        stack = [*kept]
        while stack and domain is not None and domain.nodes > 0:
            path = stack.pop()
            node = nodes[path]
            if node.owner == domid and path not in kept:
                requests.remove_tree(None, self, self.tree, path)
                continue
            if node.owner == domid:
                # These stay, whoever was made their owner.
                self.tree.put(
                    None,
                    path,
                    node.value,
                    without_domain(node.permissions, domid),
                    node.children,
                    checked=False,
                )
                self.tree.count(domid, -1)
                self.tree.count(0, 1)
            stack += [child_of(path, leaf) for leaf in reversed(node.names())]

    def check_domains(self) -> None:
        """Look after domains that crashed, shut down or went. Called when one did (VIRQ_DOM_EXC)."""
        notify = False
        # The youngest first, as xenstored: it decides how often @releaseDomain is told where several went.
        for domain in reversed(self.domains.all()):
            domid = domain.domid
            if not domid:
                continue
            there = self.host.exists(domid)
            if domain.introduced and there and self.host.is_shut_down(domid) and not domain.shut_down:
                domain.shut_down = True
                notify = True
                self.watches.fire_special(b"@releaseDomain", domid, everybody=False)
            if not there or (domain.introduced and self.host.is_dying(domid)):
                # Releasing tells of it by itself.
                notify = notify and not domain.introduced
                self.release(domid)
        if notify:
            self.watches.fire_special(b"@releaseDomain")

    # -- time ----------------------------------------------------------------------

    def take_turns(self) -> None:
        """Let each guest go on that had more to be done than one turn allows: by one turn each.

        Whatever loop runs the server calls this between looking after its clients,
        as long as somebody is `waiting`; so what guests send holds nobody up.
        """
        waiting, self.waiting = self.waiting, {}
        for connection in waiting.values():
            connection.take_turn()

    def handle_time(self) -> float | None:
        """What is due by now: events that expire, guests that may ask again.

        Returns the seconds until it is to be called again, None where nothing is due.
        """
        following = self.expire_events()
        for domain in list(self.rate.held_up.values()):
            if self.rate.may_ask(domain):
                self.wake(domain)
            else:
                left = self.rate.seconds_left(domain)
                following = left if following is None else min(following, left)
        return 0.0 if self.waiting else following

    def expire_events(self) -> float | None:
        """Drop watch events that guests have left lying for too long.

        Returns the seconds until the next ones are due, None where there are none.
        """
        if not self._expiring:
            return None
        now = self.clock()
        if now >= self._next_expiry:
            due = [(connection.expire_events(now), connection) for connection in self._expiring.values()]
            self._expiring = {connection.serial: connection for at, connection in due if at}
            if not self._expiring:
                return None
            self._next_expiry = min(at for at, _ in due if at)
        return self._next_expiry - now

    def expect_expiry(self, connection: Connection, deadline: float) -> None:
        """An event for a guest was queued, to be dropped at `deadline`."""
        if not self._expiring or deadline < self._next_expiry:
            self._next_expiry = deadline
        self._expiring[connection.serial] = connection
