"""What a client may do with a node, and the steps that requests are made of.

A *view* is where a request reads and writes: the tree, or a transaction. The
order in which it is read matters: what a transaction has looked at is what it
can conflict over, and the order of its first looks is that of its events.

Source: tools/xenstore/xenstored_core.c (4.17).
"""

from __future__ import annotations

from xentool.abi.xen import DOMID_ANY
from xentool.abi.xs_wire import XENSTORE_PAYLOAD_MAX, XENSTORE_REL_PATH_MAX
from xentool.store.paths import child_of, domain_prefix_length, is_node_name, leaf_of, parent_of
from xentool.store.permissions import OWNER, READ, REVOKED, WRITE, Permission
from xentool.store.refusal import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from xentool.store.connection import Connection
    from xentool.store.transactions import Transaction
    from xentool.store.tree import Node, Permissions, Tree

    View: TypeAlias = Tree | Transaction

ALL = READ | WRITE | OWNER


def rights(connection: Connection, permissions: Permissions, generation: int) -> int:
    """What `connection` may do with a node of `generation` that has `permissions`: READ, WRITE, OWNER."""
    if connection.privileged:
        return ALL
    owner = permissions[0]
    domid = connection.domid
    target = connection.target
    if owner.domid in (domid, target):
        return ALL
    if len(permissions) > 1:
        granted = connection.server.domains.granted
        for entry in permissions[1:]:
            if (
                entry.domid in (domid, target, DOMID_ANY)
                and not entry.bits & REVOKED
                and granted(entry.domid, generation)
            ):
                return entry.bits & (READ | WRITE)
    return owner.bits & (READ | WRITE)


def may_read(connection: Connection, node: Node) -> bool:
    return connection.privileged or bool(rights(connection, node.permissions, node.generation) & READ)


def may_see_special(connection: Connection, permissions: Permissions) -> bool:
    """Whether the permissions of a special path let `connection` be told of it."""
    return connection.privileged or bool(
        rights(connection, permissions, connection.server.tree.generation) & READ
    )


def absolute(connection: Connection, path: bytes) -> bytes:
    """`path` from the root on: relative ones begin at the client's own home.

    Raises:
        Refused: EINVAL, it is a special path ("@releaseDomain"), which is for watches and permissions only.
    """
    if path[:1] in (b"/", b""):
        return path
    if path[:1] == b"@":
        raise Refused("EINVAL")
    return connection.base + b"/" + path


def check_name(connection: Connection, path: bytes) -> None:
    """Refuse, with EINVAL, what cannot be a node's name, or is too long a one for this client."""
    server = connection.server
    domain = connection.domain
    if domain is None and not server.plays.limits_dom0:
        limit = XENSTORE_PAYLOAD_MAX
    else:
        limit = (domain.quota if domain is not None else server.quota).longest_path
    if not is_node_name(path, limit) and not (path[:1] == b"@" and is_node_name(b"/" + path, limit + 1)):
        raise Refused("EINVAL")
    if domain is not None:
        server.domains.note(domain, "path_max", len(path) - domain_prefix_length(path))


def find_node(connection: Connection, view: View, path: bytes, need: int) -> Node | None:
    """The node at `path`, if `connection` may do with it what it needs; None where there is no such node.

    Raises:
        Refused: EINVAL, no such name can be; EACCES, also where the client may not know what is there.
    """
    # What is there has a name that can be, but where dom0 is not limited it may be too long for a guest.
    if path not in connection.server.tree.nodes or len(path) > XENSTORE_REL_PATH_MAX:
        check_name(connection, path)
    node = view.read(path)
    if node is not None and (
        connection.privileged or rights(connection, node.permissions, node.generation) & need == need
    ):
        return node
    above = path
    parent = None
    while parent is None and above != b"/":
        above = parent_of(above)
        parent = view.read(above)
    if (
        node is not None
        or parent is None
        or not rights(connection, parent.permissions, parent.generation) & need
    ):
        raise Refused("EACCES")
    return None


def get_node(connection: Connection, view: View, path: bytes, need: int) -> Node:
    """As `find_node`, where the node has to be.

    Raises:
        Refused: EINVAL, EACCES; ENOENT, there is no such node.
    """
    node = find_node(connection, view, path, need)
    if node is None:
        raise Refused("ENOENT")
    return node


def create(connection: Connection, view: View, path: bytes, value: bytes) -> tuple[Node, Node]:
    """Make the node at `path`, which is not there, and those above it that are missing; it and its parent.

    Raises:
        Refused: ENOSPC, EIO: a quota is reached. Nothing was made then (or the transaction is lost).
    """
    server = connection.server
    missing = [path]
    above = parent_of(path)
    while (parent := view.read(above)) is None:
        if above == b"/":
            raise Refused("ENOENT")
        missing.append(above)
        above = parent_of(above)
    permissions = server.domains.live(parent.permissions, parent.generation)
    if not connection.privileged:
        permissions = (Permission(connection.domid, permissions[0].bits), *permissions[1:])
    view.note_creation()
    domain = connection.domain
    owner = permissions[0].domid
    made: list[tuple[bytes, Node]] = []
    try:
        children = b""
        for name in missing:
            if domain is not None and view.owned(domain) >= domain.quota.nodes > 0:
                raise Refused("ENOSPC")
            contents = value if name is path else b""
            try:
                node = view.put(connection, name, contents, permissions, children)
            except Refused:
                view.lose()
                raise
            made.append((name, node))
            view.count(owner, 1)
            children = leaf_of(name) + b"\0"
        changed = rewrite(connection, view, above, parent, children=parent.children + children)
    except Refused:
        for name, _ in made:
            view.drop(name)
            view.count(owner, -1)
            view.lose()
        raise
    return made[0][1], made[1][1] if len(made) > 1 else changed


def rewrite(
    connection: Connection | None,
    view: View,
    path: bytes,
    node: Node,
    *,
    value: bytes | None = None,
    children: bytes | None = None,
    checked: bool = True,
) -> Node:
    """Put `node` back with another value or other children.

    Raises:
        Refused: a quota is reached; a transaction is lost then.
    """
    try:
        return view.put(
            connection,
            path,
            node.value if value is None else value,
            view.domains.live(node.permissions, node.generation),
            node.children if children is None else children,
            checked=checked,
        )
    except Refused:
        view.lose()
        raise


def below(view: View, path: bytes) -> list[tuple[bytes, Node, Node | None]]:
    """What goes with the node at `path`, which is there: it and all below it, children first.

    Each as (path, node, its parent unless that stays). Nothing is changed yet.

    Raises:
        Refused: EIO, a transaction has looked at too many nodes; it is lost.
    """
    order: list[tuple[bytes, Node, Node | None]] = []
    root = view.read(path)
    if root is None:
        raise Refused("ENOENT")
    stack: list[tuple[bytes, Node | None, Node | None]] = [(path, None, None)]
    try:
        while stack:
            name, node, parent = stack.pop()
            if node is not None:
                order.append((name, node, parent))
                continue
            # Read in the order in which xenstored does: it is that of a transaction's events.
            node = view.read(name)
            if node is None:
                continue
            stack.append((name, node, parent))
            stack += [(child_of(name, leaf), None, node) for leaf in reversed(node.names())]
    except Refused:
        raise Refused("EIO") from None
    return order
