"""Nodes as data: a path, a value, permissions; and writing many of them in one go.

Permissions are XenStore's own words: ``n0,r7`` is "owned by domain 0, nobody
else may touch it, but domain 7 may read"; ``n7`` gives domain 7 the node.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from xentool.store.client import StoreClient
    from xentool.store.operations import Transaction


class Node:
    """A node to write: its path, its value, its permissions (None: those of its parent)."""

    __slots__ = ("path", "permissions", "value")

    def __init__(self, path: str, value: str = "", permissions: tuple[str, ...] | None = None) -> None:
        self.path = path
        self.value = value
        self.permissions = permissions

    def __repr__(self) -> str:
        return f"Node({self.path!r}, {self.value!r}, {self.permissions!r})"


def in_tree_order(nodes: Iterable[Node]) -> list[Node]:
    """Parents before children: for printing."""
    return sorted(nodes, key=lambda node: node.path.split("/"))


def write_nodes(store: Transaction, nodes: Iterable[Node]) -> None:
    """Write `nodes`, which are not there yet, in their order, in one go."""
    given: dict[str, tuple[str, ...] | None] = {}
    with store.batch() as batch:
        for node in nodes:
            # A new node has its parent's permissions: to say them again is a request more for each node.
            inherited = given.get(node.path[: node.path.rfind("/")])
            given[node.path] = node.permissions or inherited
            batch.write(node.path, node.value, None if node.permissions == inherited else node.permissions)


def commit_nodes(store: StoreClient, nodes: Iterable[Node]) -> None:
    """Write `nodes` in one transaction."""
    store.run_transaction(lambda transaction: write_nodes(transaction, nodes))
