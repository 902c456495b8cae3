"""Transactions: what a client changes unseen, until it all counts at once.

A transaction keeps, for each node that it has looked at or written, what it saw
(its generation) and what it made of it. It costs what it touches: nodes are
never changed in place, so a copy is a reference.

It conflicts, and is refused with EAGAIN, exactly if a node that it read (also:
that it found not to be there) is no longer the one that it read. What others
did elsewhere does not matter.

Source: tools/xenstore/xenstored_transaction.c (4.17); XSA-206, XSA-421, XSA-484.
"""

from __future__ import annotations

from xentool.store.refusal import Refused
from xentool.store.tree import Node, check_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from xentool.store.connection import Connection
    from xentool.store.domains import Domain
    from xentool.store.tree import Permissions

ABSENT: Final = -1
"""The generation of a node that is not there."""


class Touched:
    """A node that a transaction read or wrote."""

    __slots__ = ("before", "changed", "charged", "exact", "fires", "generation", "node")

    def __init__(self, node: Node | None) -> None:
        self.node = node
        self.generation = node.generation if node is not None else ABSENT
        self.before = node
        self.changed = False
        self.fires = False
        self.exact = False
        self.charged = 0


class Transaction:
    """A view of the tree with changes of its own. Its operations are the tree's."""

    __slots__ = (
        "_connection",
        "_counts",
        "_counts_late",
        "_label_bytes",
        "_touched",
        "_tree",
        "created",
        "domains",
        "failed",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.server.rate.open_transactions += 1
        self._tree = connection.server.tree
        self.domains = connection.server.domains
        self._touched: dict[bytes, Touched] = {}
        self._counts: dict[int, int] = {}
        # Before 4.18 the quota is for what is in the tree, until this is committed.
        self._counts_late = connection.server.plays.minor < 18
        self.created = False
        self.failed = False
        # xenstored keeps a transaction's nodes as "GENERATION/path", and charges for the name.
        self._label_bytes = len(str(self._tree.next_generation())) + 1

    def read(self, path: bytes) -> Node | None:
        """The node as this transaction sees it.

        Raises:
            Refused: ENOSPC, it has looked at as many nodes as it may; it is lost.
        """
        touched = self._touched.get(path)
        if touched is None:
            touched = self._touch(path)
            if touched.node is not None:
                self._charge(path, touched, touched.node, checked=False)
        return touched.node

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
        """As `Tree.put`; nobody else sees it yet."""
        node = Node(value, permissions, children, self._tree.next_generation(), self._tree.header_bytes)
        touched = self._touched.get(path) or self._touch(path)
        touched.changed = True
        if checked and connection is not None and connection.domain is not None:
            check_size(self.domains, connection.domain, node)
        if not self._charge(path, touched, node, checked=checked):
            raise Refused("EIO")
        touched.node = node
        return node

    def drop(self, path: bytes) -> None:
        """As `Tree.drop`; nobody else sees it yet."""
        self._tree.next_generation()
        touched = self._touched.get(path) or self._touch(path)
        touched.changed = True
        touched.node = None
        self._uncharge(touched)

    def count(self, domid: int, change: int) -> None:
        self._counts[domid] = self._counts.get(domid, 0) + change

    def owned(self, domain: Domain) -> int:
        if self._counts_late:
            return domain.nodes
        # None of its nodes may be left, where others removed what this removes, too.
        return max(domain.nodes + self._counts.get(domain.domid, 0), 0)

    def note_creation(self) -> None:
        self.created = True

    def lose(self) -> None:
        self.failed = True

    def will_fire(self, path: bytes, *, exact: bool) -> None:
        """Remember to tell of `path` when this is committed; if once not `exact`, then not."""
        touched = self._touched[path]
        touched.exact = exact and (touched.exact or not touched.fires)
        touched.fires = True

    def _touch(self, path: bytes) -> Touched:
        domain = self._connection.domain
        if domain is not None:
            count = len(self._touched) + 1
            if domain.quota.refuses("transaction_nodes", count):
                self.failed = True
                raise Refused("ENOSPC")
            self.domains.note(domain, "transaction_nodes", count)
        touched = self._touched[path] = Touched(self._tree.nodes.get(path))
        return touched

    def _charge(self, path: bytes, touched: Touched, node: Node, *, checked: bool) -> bool:
        size = node.size_bytes + len(path) + self._label_bytes
        if not self.domains.charge(self._connection.domid, size - touched.charged, checked=checked):
            return False
        touched.charged = size
        return True

    def _uncharge(self, touched: Touched) -> None:
        if touched.charged:
            self.domains.charge(self._connection.domid, -touched.charged, checked=False)
            touched.charged = 0

    def close(self) -> None:
        """Give back what it was charged. Nothing of it counts, unless it was committed."""
        self._connection.server.rate.open_transactions -= 1
        for touched in self._touched.values():
            self._uncharge(touched)

    def commit(self) -> None:
        """Make it all count, and tell who watches.

        Raises:
            Refused: EAGAIN, it conflicts; ENOSPC, ENOMEM: a quota. Nothing of it counts then.
        """
        if self.failed:
            raise Refused("ENOMEM")
        self._check_counts()
        nodes = self._tree.nodes
        for path, touched in self._touched.items():
            now = nodes.get(path)
            if touched.generation != (ABSENT if now is None else now.generation):
                raise Refused("EAGAIN")
        watches = self._connection.server.watches
        for path, touched in self._touched.items():
            if not touched.changed:
                continue
            self._carry_over(path, touched)
            if touched.fires:
                watches.fire(self._connection.cause, path, None, exact=touched.exact, before=touched.before)
        for domid, change in self._counts.items():
            domain = self.domains.find(domid)
            if domain is not None:
                domain.nodes += change
                self.domains.note(domain, "nodes", domain.nodes)

    def _carry_over(self, path: bytes, touched: Touched) -> None:
        """Make a node in the tree what it is here. Must not fail: nothing undoes the others (XSA-421)."""
        node = touched.node
        if node is not None:
            permissions = self.domains.live(node.permissions, node.generation)
            generation = self._tree.next_generation()
            node = Node(node.value, permissions, node.children, generation, self._tree.header_bytes)
            self._tree.store(path, node, checked=False)
        elif touched.generation != ABSENT:
            self._tree.drop(path)

    def _check_counts(self) -> None:
        checked = self.created and not self._connection.privileged
        # A domain that went, or has fewer nodes than none since others removed the same: always a conflict.
        # Its word is that of a quota in these releases, for they take it for a large number.
        minds_fewer = 18 <= self._connection.server.plays.minor < 22
        word = "ENOSPC" if checked and minds_fewer else "ENOMEM"
        for domid, change in self._counts.items():
            domain = self.domains.find_or_believe(domid)
            if domain is None:
                raise Refused(word)
            if not domid:
                continue
            nodes = domain.nodes + change
            if nodes < 0 and minds_fewer:
                raise Refused(word)
            if checked and nodes >= domain.quota.nodes > 0:
                raise Refused("ENOSPC")
