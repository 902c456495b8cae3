"""Nodes of the store as text: xenstore-ls' tree, lines for one node, differences."""

from __future__ import annotations

from xentool.store.text import escaped, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from xentool.store.compare import Difference
    from xentool.store.snapshot import Snapshot, StoreNode

PLAIN_WIDTH: Final = 80
"""xenstore-ls' width where it writes to no terminal."""
_PERMISSIONS_COLUMN: Final = 60
_TAG_LENGTH: Final = len(' = "..."')
_UNBOUNDED: Final = 1 << 30


def node_fields(node: StoreNode) -> dict[str, object]:
    """A node in JSON. What may not be read is null."""
    from xentool.store.text import value_fields

    fields: dict[str, object] = {"value": None} if node.value is None else value_fields(node.value)
    fields["permissions"] = None if node.permissions is None else list(node.permissions)
    return fields


def value_text(node: StoreNode) -> str:
    return "(not readable)" if node.value is None else f'"{escaped(node.value)}"'


def node_line(name: str, node: StoreNode) -> str:
    """``name = "value"  (n0,r3)``."""
    return f"{shown(name)} = {value_text(node)}{_permissions(node)}"


def _permissions(node: StoreNode) -> str:
    return "" if node.permissions is None else f"  ({','.join(node.permissions)})"


def tree_text(
    snapshot: Snapshot, *, permissions: bool, flat: bool, width: int = PLAIN_WIDTH, whole: bool = False
) -> Iterator[str]:
    """The lines below the snapshot's root, as xenstore-ls prints them in a terminal of `width` + 2 columns.

    Source: tools/xenstore/xenstore_client.c (do_ls).
    """
    # A terminal that does not know its size has no columns: nothing is cut then, and nothing is aligned.
    limit = _UNBOUNDED if flat or whole or width < 0 else width
    column = 0 if flat or width < 0 else min(_PERMISSIONS_COLUMN, limit)
    root_depth = 0 if snapshot.path == "/" else snapshot.path.count("/") + (snapshot.path[:1] != "/")
    for path, node in snapshot.nodes.items():
        if path == snapshot.path:
            continue
        if flat:
            head, used = shown(path), 0
        else:
            depth = path.count("/") + (path[:1] != "/") - root_depth - 1
            head = " " * depth + _cut(shown(path.rpartition("/")[2]), limit - _TAG_LENGTH - depth)
            used = len(head)
        yield head + _tail(node, used, limit, column, permissions=permissions) + "\n"


def _tail(node: StoreNode, used: int, limit: int, column: int, *, permissions: bool) -> str:
    if node.value is None:
        return ":" + (_permissions(node) if permissions else "")
    value = escaped(node.value)
    if limit < used + len(node.value) + _TAG_LENGTH:
        text = f' = "{_cut(value, limit - _TAG_LENGTH - used)}\\..."'
    else:
        text = f' = "{value}"'
        if permissions:
            used += len(text) + 1
            text += " " + "".join("." if at & 1 else " " for at in range(used, column))
    return text + _permissions(node) if permissions else text


def _cut(text: str, length: int) -> str:
    """printf's ``%.*s``: a negative precision is none."""
    return text if length < 0 else text[:length]


def difference_lines(differences: Iterable[Difference]) -> Iterator[str]:
    """``- path = "old"`` and ``+ path = "new"``; lines on permissions alone leave the value out."""
    for difference in differences:
        name = shown(difference.path) or "."
        for mark, node in (("-", difference.before), ("+", difference.after)):
            if node is None:
                continue
            if difference.kind != "changed":
                yield f"{mark} {node_line(name, node)}\n"
                continue
            value = f" = {value_text(node)}" if difference.value else ""
            yield f"{mark} {name}{value}{_permissions(node) if difference.permissions else ''}\n"


def difference_fields(difference: Difference) -> dict[str, object]:
    """A difference in JSON."""
    return {
        "path": difference.path,
        "kind": difference.kind,
        "value_differs": difference.value,
        "permissions_differ": difference.permissions,
        "before": None if difference.before is None else node_fields(difference.before),
        "after": None if difference.after is None else node_fields(difference.after),
    }
