"""What a daemon offers a domain, and what it lets it use: asked and set by dom0.

A module of its own, because only administration needs it: functions on a
`StoreClient`. Daemons before Xen 4.21 (features) and 4.22 (quotas) refuse with ENOSYS.

Source: docs/misc/xenstore.txt (GET_FEATURE, SET_FEATURE, GET_QUOTA, SET_QUOTA).
"""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec
from xentool.store.operations import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.client import StoreClient
    from xentool.units import DomId


def features(client: StoreClient, domid: DomId | None = None) -> int:
    """XENSTORE_SERVER_FEATURE_* that `domid` is offered; None: who asks."""
    return _number(client, xs_wire.XS_GET_FEATURE, [] if domid is None else [b"%d" % domid])


def set_features(client: StoreClient, domid: DomId, bits: int) -> None:
    """Offer `domid` no more than `bits`. Before it is introduced; EBUSY afterwards."""
    _ask(client, xs_wire.XS_SET_FEATURE, [b"%d" % domid, b"%d" % bits])


def quota_names(client: StoreClient) -> list[str]:
    """The quotas that the daemon knows, ``["nodes", "watches", …]``."""
    return _ask(client, xs_wire.XS_GET_QUOTA, []).rstrip(b"\0").decode("ascii", "replace").split()


def quota(client: StoreClient, name: str, domid: DomId | None = None) -> int:
    """A domain's quota; None: what new domains get. 0 is no limit."""
    return _number(client, xs_wire.XS_GET_QUOTA, [*_of(domid), name.encode()])


def set_quota(client: StoreClient, name: str, value: int, domid: DomId | None = None) -> None:
    """Set a domain's quota; None: what new domains get."""
    _ask(client, xs_wire.XS_SET_QUOTA, [*_of(domid), name.encode(), b"%d" % value])


def _of(domid: DomId | None) -> list[bytes]:
    return [] if domid is None else [b"%d" % domid]


def _ask(client: StoreClient, kind: int, words: list[bytes]) -> bytes:
    payload = codec.strings(*words) if words else b""
    reply = client.exchange(0, [(kind, payload)])[0]
    if reply[0] != kind:
        raise failure(kind, payload, reply[3])
    return reply[3]


def _number(client: StoreClient, kind: int, words: list[bytes]) -> int:
    text = _ask(client, kind, words).rstrip(b"\0").decode("ascii", "replace")
    if not text.isdecimal():
        raise StoreError(
            "ask", codec.operation_name(kind), "EIO", f"the daemon answers {text[:40]!r}, no number"
        )
    return int(text)
