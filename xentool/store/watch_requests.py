"""WATCH, UNWATCH, RESET_WATCHES.

Source: docs/misc/xenstore.txt; tools/xenstore/xenstored_watch.c (4.17),
tools/xenstored/watch.c (4.22).
"""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.store.access import absolute, check_name
from xentool.store.refusal import Refused, leading_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.access import View
    from xentool.store.connection import Connection

_OK = b"OK\0"


def _watch_path(connection: Connection, path: bytes) -> bytes:
    if path[:1] == b"@" and connection.server.plays.special_nodes:
        check_name(connection, path)
        return path
    if path[:1] == b"@":
        if len(path) > xs_wire.XENSTORE_REL_PATH_MAX:
            raise Refused("EINVAL")
        return path
    path = absolute(connection, path)
    check_name(connection, path)
    return path


def _has_depth(connection: Connection) -> bool:
    """Whether this client was told that watches may have a depth."""
    domain = connection.domain
    features = domain.features if domain is not None else connection.server.plays.features
    return bool(features & xs_wire.XENSTORE_SERVER_FEATURE_WATCHDEPTH)


def do_watch(connection: Connection, _view: View, payload: bytes) -> None:
    parts = payload.split(b"\0")[:-1]
    depth = -1
    if len(parts) == 3 and _has_depth(connection):
        depth = leading_number(parts.pop())[0]
        if depth < 0:
            raise Refused("EINVAL")
    if len(parts) != 2:
        raise Refused("EINVAL")
    given, token = parts
    path = _watch_path(connection, given)
    if (path, token) in connection.watches:
        raise Refused("EEXIST")
    server = connection.server
    domain = connection.domain
    if domain is not None:
        if domain.quota.refuses("watches", domain.watches + 1):
            raise Refused("E2BIG" if server.plays.minor < 22 else "ENOSPC")
        if not server.domains.charge(domain.domid, len(path) + len(token), checked=True):
            raise Refused("ENOMEM")
    stripped = 0 if given[:1] in (b"/", b"@") else len(connection.base)
    watch = server.watches.add(connection, path, token, stripped, depth)
    connection.reply(_OK)
    # The first event comes at once, whatever is there or may be seen: who sets a
    # watch looks after that.
    connection.send_event(watch.seen_as(path), token, None)


def do_unwatch(connection: Connection, _view: View, payload: bytes) -> bytes:
    parts = payload.split(b"\0")[:-1]
    if len(parts) != 2:
        raise Refused("EINVAL")
    path = parts[0] if parts[0][:1] == b"@" else absolute(connection, parts[0])
    if connection.server.plays.minor >= 18:
        check_name(connection, path)
    watch = connection.watches.get((path, parts[1]))
    if watch is None:
        raise Refused("ENOENT")
    connection.server.watches.remove(watch)
    return _OK


def do_reset_watches(connection: Connection, _view: View, _payload: bytes) -> bytes:
    connection.end_watches()
    connection.end_transactions()
    return _OK
