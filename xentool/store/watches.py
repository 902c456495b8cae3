"""Watches, by path: who is told of a change.

A change of ``/a/b/c`` concerns the watches on it and on each path above it, so
they are found by walking up, however many watches there are.

Nobody is told of what he may not see: the node, or its parent, must be readable
for the watcher (or have been, if its permissions just changed).

Source: tools/xenstore/xenstored_watch.c (4.17), tools/xenstored/watch.c (4.22,
for watches with a depth); XSA-115.
"""

from __future__ import annotations

from xentool.store.access import may_read, may_see_special
from xentool.store.paths import parent_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.connection import Cause, Connection
    from xentool.store.server import Server
    from xentool.store.tree import Node


class Watch:
    """A watch on `path` and on `depth` levels below it (-1: on all).

    Set on a relative path, its events' paths lose their first `stripped` bytes.
    """

    __slots__ = ("connection", "depth", "path", "serial", "stripped", "token")

    def __init__(
        self, connection: Connection, path: bytes, token: bytes, stripped: int, depth: int, serial: int
    ) -> None:
        self.connection = connection
        self.path = path
        self.token = token
        self.stripped = stripped
        self.depth = depth
        self.serial = serial

    def seen_as(self, name: bytes) -> bytes:
        """What the watcher calls `name`."""
        if not self.stripped:
            return name
        rest = name[self.stripped :]
        return rest[1:] if rest[:1] == b"/" else rest


class Watches:
    """All watches."""

    __slots__ = ("_by_path", "_limited", "_serial", "_server")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._by_path: dict[bytes, dict[int, Watch]] = {}
        self._serial = 0
        self._limited = 0  # how many watches have a depth

    def add(self, connection: Connection, path: bytes, token: bytes, stripped: int, depth: int = -1) -> Watch:
        """Set a watch. What the domain is charged for it is the caller's business."""
        self._serial += 1
        watch = Watch(connection, path, token, stripped, depth, self._serial)
        self._limited += depth >= 0
        self._by_path.setdefault(path, {})[watch.serial] = watch
        connection.watches[path, token] = watch
        if connection.domain is not None:
            connection.domain.watches += 1
            self._server.domains.note(connection.domain, "watches", connection.domain.watches)
        return watch

    def remove(self, watch: Watch) -> None:
        """End a watch, and give back what it was charged."""
        connection = watch.connection
        del connection.watches[watch.path, watch.token]
        same_path = self._by_path[watch.path]
        del same_path[watch.serial]
        if not same_path:
            del self._by_path[watch.path]
        self._limited -= watch.depth >= 0
        if connection.domain is not None:
            connection.domain.watches -= 1
            self._server.domains.charge(connection.domid, -len(watch.path) - len(watch.token), checked=False)

    def count(self) -> int:
        """How many watches there are."""
        return sum(map(len, self._by_path.values()))

    def fire(
        self,
        cause: Cause | None,
        name: bytes,
        node: Node | None,
        parent: Node | None = None,
        *,
        exact: bool = False,
        before: Node | None = None,
    ) -> None:
        """Tell who watches `name`, or (unless `exact`) anything above it, that it changed.

        `node` and `parent` are as the change saw them, and looked up where None;
        `before` is the node as it was, where its permissions changed: who loses it is told, too.
        """
        found = self._matches(name, exact=exact)
        if not found:
            return
        allowed: dict[int, bool] = {}
        for watch in found:
            connection = watch.connection
            seen = allowed.get(connection.serial)
            if seen is None:
                seen = allowed[connection.serial] = self._may_know(connection, name, node, parent, before)
            if seen:
                connection.send_event(watch.seen_as(name), watch.token, cause)

    def fire_special(self, name: bytes, domid: int = -1, *, everybody: bool = True) -> None:
        """Tell those who watch ``@introduceDomain`` or ``@releaseDomain``, and may.

        Who set a depth is told of the domain by its number, ``@releaseDomain/5``,
        and so is who watches just that. Not `everybody`: nobody else is.
        """
        if everybody:
            for watch in self._matches(name, exact=True):
                if watch.depth < 0 and self._may_be_told(watch.connection, name):
                    watch.connection.send_event(name, watch.token, None)
        if domid < 0 or self._server.plays.minor < 22:
            return
        named = b"%s/%d" % (name, domid)
        found = self._matches(named, exact=True)
        found += [watch for watch in self._matches(name, exact=True) if watch.depth > 0]
        for watch in sorted(found, key=lambda watch: (watch.connection.serial, watch.serial)):
            if self._may_be_told(watch.connection, name):
                watch.connection.send_event(named, watch.token, None)

    def _may_be_told(self, connection: Connection, name: bytes) -> bool:
        """Whether the special path `name` is for `connection`."""
        if self._server.plays.special_nodes:
            return self._may_know(connection, name, None, None, None)
        return may_see_special(connection, self._server.special[name])

    def _matches(self, name: bytes, *, exact: bool) -> list[Watch]:
        """The watches on `name` and above it; each connection's in the order in which they were set."""
        by_path = self._by_path
        if not by_path:
            return []
        found = list(by_path.get(name, {}).values())
        if name[:1] == b"@" and self._server.plays.minor >= 22:
            exact = True  # Before, a special path that is a node is below the root for watches, too.
        level = 0
        while not exact and name != b"/":
            name = parent_of(name)
            level += 1
            above = by_path.get(name)
            if above and self._limited:
                found += [watch for watch in above.values() if watch.depth < 0 or watch.depth >= level]
            elif above:
                found += above.values()
        if len(found) > 1:
            found.sort(key=lambda watch: (watch.connection.serial, watch.serial))
        return found

    def _may_know(
        self,
        connection: Connection,
        name: bytes,
        node: Node | None,
        parent: Node | None,
        before: Node | None,
    ) -> bool:
        if before is not None and may_read(connection, before):
            return True
        nodes = self._server.tree.nodes
        node = node or nodes.get(name)
        if node is None:
            return False
        if may_read(connection, node):
            return True
        parent = parent or nodes.get(parent_of(name))
        return parent is not None and may_read(connection, parent)
