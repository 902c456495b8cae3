"""The tree: its nodes, by path.

A node is never changed: a write puts another in its place, and shares with it
what stayed. So whoever holds a node (a transaction, a listing under way) holds
a snapshot of it for nothing, and a transaction costs what it touches.

The tree is one flat ``{path: Node}``, because a lookup is what nearly every
request is. A node's children are the very bytes that DIRECTORY answers with:
adding one is a copy of a few hundred bytes, listing them is none, and their
length is what quotas count.

Source: docs/misc/xenstore.txt; tools/xenstore/xenstored_core.c for what a node
is charged.
"""

from __future__ import annotations

from xentool.store.refusal import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from xentool.store.connection import Connection
    from xentool.store.domains import Domain, Domains
    from xentool.store.permissions import Permission
    from xentool.store.quota import Quota

    Permissions = tuple[Permission, ...]

_PERMISSION_BYTES: Final = 8
"""sizeof(struct xs_permissions): what xenstored charges for one."""


class Node:
    """A node as it was at `generation`. `children`: their names, each with a NUL, oldest first.

    `size_bytes` is what the quotas for a node's size and for memory count: `header_bytes`, which
    depends on the release, and what is in it.
    """

    __slots__ = ("children", "generation", "permissions", "size_bytes", "value")

    def __init__(
        self, value: bytes, permissions: Permissions, children: bytes, generation: int, header_bytes: int
    ) -> None:
        self.value = value
        self.permissions = permissions
        self.children = children
        self.generation = generation
        self.size_bytes = header_bytes + _PERMISSION_BYTES * len(permissions) + len(value) + len(children)

    @property
    def owner(self) -> int:
        return self.permissions[0].domid

    def names(self) -> list[bytes]:
        return self.children[:-1].split(b"\0") if self.children else []

    def without(self, leaf: bytes) -> bytes:
        """`children` without `leaf`."""
        marked = b"\0" + self.children
        at = marked.find(b"\0" + leaf + b"\0")
        return self.children if at < 0 else self.children[:at] + self.children[at + len(leaf) + 1 :]


def check_size(domains: Domains, domain: Domain, node: Node) -> None:
    """Refuse, with ENOSPC, a node that is too large for `domain` to write."""
    size = node.size_bytes
    quota = domain.quota
    if size >= quota.node_size and quota.refuses("node_size", size):
        raise Refused("ENOSPC")
    domains.note(domain, "node_size", size)


class Tree:
    """All nodes, and what their owners are charged for them.

    `read`, `put`, `drop`, `count`, `owned`, `note_creation` and `lose` are what requests are
    made of; a transaction has them too, and keeps its changes to itself.
    """

    __slots__ = ("domains", "generation", "header_bytes", "nodes", "quota")

    def __init__(self, domains: Domains, quota: Quota) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.generation = 0
        self.domains = domains
        self.quota = quota
        self.header_bytes = quota.release.node_header_bytes

    def read(self, path: bytes) -> Node | None:
        return self.nodes.get(path)

    def put(
        self,
        connection: Connection | None,
        path: bytes,
        value: bytes,
        permissions: Permissions,
        children: bytes,
        *,
        checked: bool = True,
    ) -> Node:
        """Put a node at `path`. Its parent's list of children is the caller's business.

        Raises:
            Refused: ENOSPC, the node is too large for `connection`; EIO, its owner's memory is used up
                (xenstored's word for it). Not if not `checked`: what undoes or removes must go through.
        """
        self.generation += 1
        node = Node(value, permissions, children, self.generation, self.header_bytes)
        if checked and connection is not None:
            if connection.domain is not None:
                check_size(self.domains, connection.domain, node)
            elif not self.quota.release.limits_dom0:
                checked = False
        self.store(path, node, checked=checked)
        return node

    def store(self, path: bytes, node: Node, *, checked: bool) -> None:
        """Put a node that is made already, charging its owner and crediting the former one."""
        charge = self.domains.charge
        owner = node.permissions[0].domid
        size = node.size_bytes
        old = self.nodes.get(path)
        if old is None:
            size += len(path)
        elif old.permissions[0].domid == owner:
            size -= old.size_bytes
        else:
            size += len(path)
            charge(old.permissions[0].domid, -old.size_bytes - len(path), checked=False)
        if not charge(owner, size, checked=checked):
            if old is not None and old.permissions[0].domid != owner:
                charge(old.permissions[0].domid, old.size_bytes + len(path), checked=False)
            raise Refused("EIO")
        self.nodes[path] = node

    def drop(self, path: bytes) -> None:
        """Take the node at `path` away. Its children and its parent's list are the caller's business."""
        self.generation += 1
        node = self.nodes.pop(path)
        self.domains.charge(node.permissions[0].domid, -node.size_bytes - len(path), checked=False)

    def count(self, domid: int, change: int) -> None:
        """A domain owns more, or fewer, nodes.

        Raises:
            Refused: ENOMEM, there is no such domain.
        """
        domain = self.domains.find_or_believe(domid) if change > 0 else self.domains.find(domid)
        if domain is not None:
            domain.nodes += change
            if change > 0:
                self.domains.note(domain, "nodes", domain.nodes)
        elif change > 0:
            raise Refused("ENOMEM")

    def owned(self, domain: Domain) -> int:
        """How many nodes a domain owns, for its quota."""
        return domain.nodes

    def note_creation(self) -> None:
        """A node was made: a transaction then minds its client's number of nodes."""

    def lose(self) -> None:
        """A request was carried out in part, and undone: a transaction cannot undo, and never commits."""

    def next_generation(self) -> int:
        self.generation += 1
        return self.generation
