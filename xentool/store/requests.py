"""The operations of the protocol, one function each.

A handler gets the connection that asks, the view that it asks about (the tree,
or one of its transactions) and the payload; what it returns is the reply's
payload. Events that it causes are queued before the reply, except WATCH's first.

Source: docs/misc/xenstore.txt; tools/xenstore/ (4.17).
"""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.store import access, features, watch_requests
from xentool.store.access import absolute
from xentool.store.codec import PAYLOAD_MAX
from xentool.store.control import control
from xentool.store.domains import as_text
from xentool.store.paths import leaf_of, parent_of
from xentool.store.permissions import OWNER, READ, REVOKED, WRITE, Permission
from xentool.store.refusal import Refused, leading_number, to_domid
from xentool.store.transactions import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.access import View
    from xentool.store.connection import Connection
    from xentool.store.domains import Domain
    from xentool.store.release import Release
    from xentool.store.server import Server
    from xentool.store.tree import Node, Permissions

    Handler = Callable[[Connection, View, bytes], bytes | None]

_OK = b"OK\0"
_BITS: Final = {ord("n"): 0, ord("r"): READ, ord("w"): WRITE, ord("b"): READ | WRITE}


def _one_string(payload: bytes) -> bytes:
    """The payload's one string; nothing may follow it."""
    end = payload.find(b"\0")
    if end < 0 or end != len(payload) - 1:
        raise Refused("EINVAL")
    return payload[:end]


def _terminated(payload: bytes) -> list[bytes]:
    """The NUL-terminated strings; an unterminated rest does not count."""
    return payload.split(b"\0")[:-1]


def _node_for(connection: Connection, view: View, payload: bytes, need: int) -> Node:
    path = _one_string(payload)
    if path[:1] != b"/":
        path = absolute(connection, path)
    return access.get_node(connection, view, path, need)


def _changed(
    connection: Connection,
    view: View,
    path: bytes,
    node: Node,
    parent: Node | None = None,
    before: Node | None = None,
) -> None:
    """Tell who watches, now or when the transaction is committed."""
    if isinstance(view, Transaction):
        view.will_fire(path, exact=False)
    else:
        connection.server.watches.fire(connection.cause, path, node, parent, before=before)


def do_read(connection: Connection, view: View, payload: bytes) -> bytes:
    return _node_for(connection, view, payload, READ).value


def do_directory(connection: Connection, view: View, payload: bytes) -> bytes:
    return _node_for(connection, view, payload, READ).children


def do_directory_part(connection: Connection, view: View, payload: bytes) -> bytes:
    parts = _terminated(payload)
    if len(parts) != 2:
        raise Refused("EINVAL")
    node = access.get_node(connection, view, absolute(connection, parts[0]), READ)
    generation = b"%d\0" % node.generation
    offset = leading_number(parts[1])[0]
    children = node.children
    if offset < 0 or offset >= len(children):
        return generation + b"\0"
    # One byte stays free for the empty name that marks the end.
    room = PAYLOAD_MAX - len(generation) - 1
    if len(children) - offset <= room:
        return generation + children[offset:] + b"\0"
    return generation + children[offset : children.rfind(b"\0", offset, offset + room) + 1]


def do_get_perms(connection: Connection, view: View, payload: bytes) -> bytes:
    if payload[:1] == b"@" and connection.server.plays.special_nodes:
        return as_text(access.get_node(connection, view, _one_string(payload), READ).permissions)
    return as_text(_node_for(connection, view, payload, READ).permissions)


def do_write(connection: Connection, view: View, payload: bytes) -> bytes:
    end = payload.find(b"\0")
    if end < 0:
        raise Refused("EINVAL")
    path = absolute(connection, payload[:end])
    value = payload[end + 1 :]
    parent = None
    node = access.find_node(connection, view, path, WRITE)
    if node is None:
        node, parent = access.create(connection, view, path, value)
    else:
        node = access.rewrite(connection, view, path, node, value=value)
    _changed(connection, view, path, node, parent)
    return _OK


def do_mkdir(connection: Connection, view: View, payload: bytes) -> bytes:
    path = absolute(connection, _one_string(payload))
    if access.find_node(connection, view, path, WRITE) is None:
        node, parent = access.create(connection, view, path, b"")
        _changed(connection, view, path, node, parent)
    return _OK


def do_rm(connection: Connection, view: View, payload: bytes) -> bytes:
    path = absolute(connection, _one_string(payload))
    if access.find_node(connection, view, path, WRITE) is None:
        if view.read(parent_of(path)) is None:
            raise Refused("ENOENT")
        return _OK
    if path == b"/":
        raise Refused("EINVAL")
    remove_tree(connection, connection.server, view, path)
    return _OK


def remove_tree(connection: Connection | None, server: Server, view: View, path: bytes) -> None:
    """Remove the node at `path` and all below it, and tell who watches any of them."""
    above = parent_of(path)
    parent = view.read(above)
    if parent is None:
        raise Refused("EINVAL")
    for name, node, its_parent in access.below(view, path):
        view.drop(name)
        if isinstance(view, Transaction):
            view.will_fire(name, exact=name != path)
        else:
            cause = connection.cause if connection is not None else None
            server.watches.fire(cause, name, node, its_parent, exact=name != path)
        view.count(node.owner, -1)
    access.rewrite(connection, view, above, parent, children=parent.without(leaf_of(path)), checked=False)


def _parse_permissions(texts: list[bytes]) -> Permissions:
    permissions = []
    for text in texts:
        bits = _BITS.get(text[0]) if text else None
        domid, rest = leading_number(text[1:], 0)
        if bits is None or rest or len(text) < 2:
            raise Refused("EINVAL")
        permissions.append(Permission(domid & 0xFFFFFFFF, bits))
    return tuple(permissions)


def _check_owner(connection: Connection, node: Node, permissions: Permissions) -> None:
    """Only dom0 gives a node to somebody else: it counts against its owner's quota (XSA-352)."""
    if not connection.privileged and permissions[0].domid != node.owner:
        raise Refused("EPERM")


def _count_for(server: Server, view: View, old: int, new: int) -> None:
    """Count a node of domain `old` for domain `new`."""
    if server.plays.minor >= 18:
        if old == new:
            return  # Before, a transaction minds the quota of an owner who stays, too.
        if server.domains.find(old) is None:
            raise Refused("ENOMEM")  # It went since this transaction saw the node.
    view.count(new, 1)  # first, for it may be refused: of DOMID_ANY, which can own nothing
    view.count(old, -1)


def do_set_perms(connection: Connection, view: View, payload: bytes) -> bytes:
    server = connection.server
    path, *texts = _terminated(payload) or [b""]
    if not texts:
        raise Refused("EINVAL")
    domain = connection.domain
    if domain is not None:
        if domain.quota.refuses("permissions", len(texts)):
            raise Refused("ENOSPC")
        server.domains.note(domain, "permissions", len(texts))
    offered = domain.features if domain is not None else server.plays.features
    permissions = server.domains.admit(
        _parse_permissions(texts), anyone=bool(offered & xs_wire.XENSTORE_SERVER_FEATURE_DOMID_ANY)
    )
    if permissions[0].bits & REVOKED:
        raise Refused("ENOENT")
    if path[:1] == b"@" and not server.plays.special_nodes:
        now = server.special.get(path)
        if now is None:
            raise Refused("EINVAL")
        if access.rights(connection, now, server.tree.generation) & (WRITE | OWNER) != WRITE | OWNER:
            raise Refused("EACCES")
        server.special[path] = permissions
        return _OK
    if path[:1] != b"@":
        path = absolute(connection, path)
    node = access.get_node(connection, view, path, WRITE | OWNER)
    _check_owner(connection, node, permissions)
    owner = permissions[0].domid
    _count_for(server, view, node.owner, owner)
    try:
        changed = view.put(connection, path, node.value, permissions, node.children)
    except Refused:
        _count_for(server, view, owner, node.owner)
        view.lose()
        raise
    _changed(connection, view, path, changed, before=node)
    return _OK


def do_transaction_start(connection: Connection, view: View, _payload: bytes) -> bytes:
    if isinstance(view, Transaction):
        raise Refused("EBUSY")
    transactions = connection.transactions
    domain = connection.domain
    if domain is not None:
        if domain.quota.refuses("transactions", len(transactions) + 1):
            raise Refused("ENOSPC")
        connection.server.domains.note(domain, "transactions", len(transactions) + 1)
    tx_id = connection.next_transaction
    while tx_id == 0 or tx_id in transactions:
        tx_id = (tx_id + 1) & 0xFFFFFFFF
    connection.next_transaction = (tx_id + 1) & 0xFFFFFFFF
    transactions[tx_id] = Transaction(connection)
    return b"%d\0" % tx_id


def do_transaction_end(connection: Connection, view: View, payload: bytes) -> bytes:
    word = _one_string(payload)
    if word not in (b"T", b"F"):
        raise Refused("EINVAL")
    if not isinstance(view, Transaction):
        raise Refused("ENOENT")
    tx_id = next(number for number, transaction in connection.transactions.items() if transaction is view)
    del connection.transactions[tx_id]
    try:
        if word == b"T":
            view.commit()
    finally:
        view.close()
    return _OK


def do_introduce(connection: Connection, _view: View, payload: bytes) -> bytes:
    parts = _terminated(payload)
    if len(parts) < 3:
        raise Refused("EINVAL")
    port = leading_number(parts[2])[0] & 0xFFFFFFFF
    if not port:
        raise Refused("EINVAL")
    connection.server.introduce(to_domid(parts[0]), leading_number(parts[1])[0], port)
    return _OK


def _introduced(connection: Connection, domid: int) -> Domain:
    domain = connection.server.domains.find(domid)
    if domain is None or not domain.introduced:
        raise Refused("ENOENT")
    if domain.connection is None:
        raise Refused("EINVAL")
    return domain


def _guest(connection: Connection, payload: bytes) -> Domain:
    domid = to_domid(_one_string(payload))
    if not domid:
        raise Refused("EINVAL")
    return _introduced(connection, domid)


def do_release(connection: Connection, _view: View, payload: bytes) -> bytes:
    connection.server.release(_guest(connection, payload).domid)
    return _OK


def do_resume(connection: Connection, _view: View, payload: bytes) -> bytes:
    _guest(connection, payload).shut_down = False
    return _OK


def do_set_target(connection: Connection, _view: View, payload: bytes) -> bytes:
    parts = _terminated(payload)
    if len(parts) < 2:
        raise Refused("EINVAL")
    domain = _introduced(connection, to_domid(parts[0]))
    target = _introduced(connection, to_domid(parts[1]))
    if domain.connection is not None:
        domain.connection.target = target.domid
    return _OK


def do_get_domain_path(_connection: Connection, _view: View, payload: bytes) -> bytes:
    return b"/local/domain/%d\0" % to_domid(_one_string(payload))


def do_is_domain_introduced(connection: Connection, _view: View, payload: bytes) -> bytes:
    domid = to_domid(_one_string(payload))
    domain = connection.server.domains.find(domid)
    introduced = domid == 0x7FF0 or (domain is not None and domain.introduced)
    return b"T\0" if introduced else b"F\0"


def do_control(connection: Connection, _view: View, payload: bytes) -> bytes:
    words = _terminated(payload)
    if not words:
        raise Refused("EINVAL")
    return control(connection.server, words)


def _unknown(_connection: Connection, _view: View, _payload: bytes) -> bytes:
    raise Refused("ENOSYS")


PRIVILEGED: Final = 1
NO_TRANSACTION: Final = 2
"""What is asked of who asks; and that the request's transaction does not matter."""

UNKNOWN: Final = (_unknown, NO_TRANSACTION)

HANDLERS: Final[dict[int, tuple[Handler, int]]] = {
    xs_wire.XS_CONTROL: (do_control, PRIVILEGED),
    xs_wire.XS_DIRECTORY: (do_directory, 0),
    xs_wire.XS_READ: (do_read, 0),
    xs_wire.XS_GET_PERMS: (do_get_perms, 0),
    xs_wire.XS_WATCH: (watch_requests.do_watch, NO_TRANSACTION),
    xs_wire.XS_UNWATCH: (watch_requests.do_unwatch, NO_TRANSACTION),
    xs_wire.XS_TRANSACTION_START: (do_transaction_start, 0),
    xs_wire.XS_TRANSACTION_END: (do_transaction_end, 0),
    xs_wire.XS_INTRODUCE: (do_introduce, PRIVILEGED),
    xs_wire.XS_RELEASE: (do_release, PRIVILEGED),
    xs_wire.XS_GET_DOMAIN_PATH: (do_get_domain_path, 0),
    xs_wire.XS_WRITE: (do_write, 0),
    xs_wire.XS_MKDIR: (do_mkdir, 0),
    xs_wire.XS_RM: (do_rm, 0),
    xs_wire.XS_SET_PERMS: (do_set_perms, 0),
    xs_wire.XS_IS_DOMAIN_INTRODUCED: (do_is_domain_introduced, PRIVILEGED),
    xs_wire.XS_RESUME: (do_resume, PRIVILEGED),
    xs_wire.XS_SET_TARGET: (do_set_target, PRIVILEGED),
    xs_wire.XS_RESET_WATCHES: (watch_requests.do_reset_watches, 0),
    xs_wire.XS_DIRECTORY_PART: (do_directory_part, 0),
}

_SINCE_21: Final[dict[int, tuple[Handler, int]]] = {
    xs_wire.XS_GET_FEATURE: (features.do_get_feature, NO_TRANSACTION),
    xs_wire.XS_SET_FEATURE: (features.do_set_feature, PRIVILEGED | NO_TRANSACTION),
}
_SINCE_22: Final[dict[int, tuple[Handler, int]]] = {
    xs_wire.XS_GET_QUOTA: (features.do_get_quota, PRIVILEGED | NO_TRANSACTION),
    xs_wire.XS_SET_QUOTA: (features.do_set_quota, PRIVILEGED | NO_TRANSACTION),
}


def handlers_of(release: Release) -> dict[int, tuple[Handler, int]]:
    """What a daemon of `release` can be asked."""
    handlers = dict(HANDLERS)
    if release.has_feature_requests:
        handlers.update(_SINCE_21)
    if release.has_quota_requests:
        handlers.update(_SINCE_22)
    return handlers
