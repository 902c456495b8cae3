"""A part of the store with values, permissions and children, as it is at one moment.

`read_tree` reads it once, a level at a time, many requests in one write. What
changes meanwhile may be torn; in a transaction it is not, but transactions over
thousands of nodes cost the C daemon time that grows with their square, and on a
busy host they never commit. `settled_tree` therefore watches the tree while it
reads, and reads again only what changed, until nothing does: what it then holds
is the store at the moment of its last reply.
"""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec
from xentool.store.operations import failure
from xentool.store.paths import check_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from xentool.store.client import StoreClient
    from xentool.store.operations import Operations

_NODES_AT_ONCE: Final = 1024
PASSES: Final = 64
"""How often `settled_tree` reads what changed before it takes the tree as it is."""


class StoreNode:
    """A node: `value` and `permissions` ("n0", "r3", …) are None where this domain may not read them."""

    __slots__ = ("children", "permissions", "value")

    def __init__(
        self,
        value: bytes | None,
        permissions: tuple[str, ...] | None = None,
        children: tuple[str, ...] = (),
    ) -> None:
        self.value = value
        self.permissions = permissions
        self.children = children

    def __repr__(self) -> str:
        return f"StoreNode({self.value!r}, {self.permissions!r}, {self.children!r})"


class Snapshot:
    """The nodes at and below `path`, parents before children, in the daemon's order.

    `consistent`: it is all of one moment. `unreadable`: how many nodes this domain may not read.
    """

    __slots__ = ("consistent", "nodes", "path", "unreadable")

    def __init__(self, path: str, nodes: dict[str, StoreNode], *, consistent: bool) -> None:
        self.path = path
        self.nodes = nodes
        self.consistent = consistent
        self.unreadable = sum(1 for node in nodes.values() if node.value is None)

    def relative(self) -> dict[str, StoreNode]:
        """The nodes by their paths below `path`, which itself is ``""``."""
        skip = len(self.path.rstrip("/")) + 1
        return {name[skip:] if name != self.path else "": node for name, node in self.nodes.items()}


def read_tree(store: Operations, path: str, *, permissions: bool = True) -> Snapshot:
    """The tree at `path`, read once; of one moment if `store` is a transaction that commits.

    Raises:
        StoreError: ENOENT, there is no such node; EACCES, it may not be read.
    """
    reader = _Reader(store, path, permissions=permissions)
    reader.read([path])
    return reader.snapshot(consistent=bool(store.tx_id))


def settled_tree(client: StoreClient, path: str, *, passes: int = PASSES) -> Snapshot:
    """The tree at `path`, of one moment unless it changed in each of `passes` readings.

    Raises:
        StoreError: ENOENT, there is no such node; EACCES, it may not be read.
    """
    reader = _Reader(client, path, permissions=True)
    with client.watch(path) as watch:
        watch.next(client.timeout)  # the one that comes at once
        reader.read([path])
        for _ in range(passes):
            changed: set[str] = set()
            while (event := watch.next(0)) is not None:
                changed.update(reader.affected(event.path))
            if not changed:
                return reader.snapshot(consistent=True)
            reader.read(sorted(changed))
        return reader.snapshot(consistent=False)


def read_nodes(store: Operations, path: str) -> dict[str, StoreNode]:
    """The children of `path` by their names, without what is below them.

    Raises:
        StoreError: ENOENT, there is no such node; EACCES, it may not be read.
    """
    reader = _Reader(store, path, permissions=True)
    return reader.children(store.directory(path))


class _Reader:
    def __init__(self, store: Operations, path: str, *, permissions: bool) -> None:
        self._store = store
        self._root = path
        self._nodes: dict[str, StoreNode] = {}
        self._kinds = [xs_wire.XS_READ, xs_wire.XS_DIRECTORY]
        if permissions:
            self._kinds.append(xs_wire.XS_GET_PERMS)

    def affected(self, path: str) -> list[str]:
        """The nodes to read again where `path` changed: it, and those above, whose children may be others."""
        below = self._root.rstrip("/") + "/"
        found = [self._root]
        while path.startswith(below) and path != self._root:
            found.append(path)
            path = path.rpartition("/")[0]
        return found

    def children(self, names: list[str]) -> dict[str, StoreNode]:
        """The root's children that are there, by name."""
        paths = [_child(self._root, name) for name in names]
        for at in range(0, len(paths), _NODES_AT_ONCE):
            self._read_some(paths[at : at + _NODES_AT_ONCE])
        return {
            name: self._nodes[path] for name, path in zip(names, paths, strict=True) if path in self._nodes
        }

    def read(self, paths: Iterable[str]) -> None:
        """Read these nodes, and below them those that are not known yet."""
        level = list(paths)
        while level:
            following: list[str] = []
            for at in range(0, len(level), _NODES_AT_ONCE):
                following += self._read_some(level[at : at + _NODES_AT_ONCE])
            level = following

    def _read_some(self, paths: list[str]) -> list[str]:
        kinds = self._kinds
        requests = [(kind, check_path("read", path) + b"\0") for path in paths for kind in kinds]
        replies = self._store.client.exchange(self._store.tx_id, requests)
        unknown: list[str] = []
        for at, path in enumerate(paths):
            first = at * len(kinds)
            parts: list[bytes | None] = []
            for request, reply in zip(
                requests[first : first + len(kinds)], replies[first : first + len(kinds)], strict=True
            ):
                if reply[0] == request[0]:
                    parts.append(reply[3])
                elif reply[3] == b"ENOENT\0":
                    break
                elif reply[3] == b"E2BIG\0" and request[0] == xs_wire.XS_DIRECTORY:
                    if (listing := self._large(path)) is None:
                        break
                    parts.append(listing)
                elif reply[3] == b"EACCES\0" and path != self._root:
                    parts.append(None)
                else:
                    raise failure(*request, reply[3])
            if len(parts) != len(kinds):
                self._nodes.pop(path, None)
                continue
            value, listing, *rest = parts
            names = listing[:-1].decode("ascii", "backslashreplace").split("\0") if listing else ()
            permissions = None
            if rest and rest[0] is not None:
                permissions = tuple(word.decode("ascii", "replace") for word in codec.split_strings(rest[0]))
            self._nodes[path] = StoreNode(value, permissions, tuple(names))
            unknown += [below for name in names if (below := _child(path, name)) not in self._nodes]
        return unknown

    def _large(self, path: str) -> bytes | None:
        """A list of children that takes several messages; None where the node went away meanwhile."""
        try:
            return codec.encode_children([name.encode("ascii") for name in self._store.directory(path)])
        except StoreError as error:
            if error.errno_name == "ENOENT":
                return None
            raise

    def snapshot(self, *, consistent: bool) -> Snapshot:
        """What hangs together from the root on; what was read and vanished is left out."""
        if self._root not in self._nodes:
            raise StoreError("read tree", self._root, "ENOENT")
        ordered: dict[str, StoreNode] = {}
        stack = [self._root]
        while stack:
            path = stack.pop()
            node = self._nodes.get(path)
            if node is not None:
                ordered[path] = node
                stack += [_child(path, name) for name in reversed(node.children)]
        return Snapshot(self._root, ordered, consistent=consistent)


def _child(path: str, name: str) -> str:
    return f"/{name}" if path == "/" else f"{path}/{name}"
