"""GET_FEATURE, SET_FEATURE, GET_QUOTA, SET_QUOTA: what a domain is offered, and what it may use.

Source: docs/misc/xenstore.txt; tools/xenstored/domain.c (4.21, 4.22).
"""

from __future__ import annotations

from xentool.store.refusal import Refused, leading_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.access import View
    from xentool.store.connection import Connection
    from xentool.store.domains import Domain

_HIGHEST_DOMID = 65535
_MOST = 0xFFFFFFFF
"""A quota's number is an unsigned int, and its highest stands for "there is no such quota"."""


def _strings(payload: bytes) -> list[bytes]:
    return payload.split(b"\0")[:-1]


def _domain(connection: Connection, text: bytes) -> Domain:
    """The domain that `text` names.

    Raises:
        Refused: EINVAL, it is no domid (4.21 takes whatever number it begins with); ENOENT.
    """
    server = connection.server
    domid, rest = leading_number(text)
    if server.plays.minor >= 22 and (rest or not text or not 0 <= domid <= _HIGHEST_DOMID):
        raise Refused("EINVAL")
    domain = server.domains.find_or_believe(domid & _MOST)
    if domain is None:
        raise Refused("ENOENT")
    return domain


def do_get_feature(connection: Connection, _view: View, payload: bytes) -> bytes:
    words = _strings(payload)
    server = connection.server
    if not connection.privileged and (words or server.plays.minor < 22):
        raise Refused("EACCES")
    if len(words) > 1:
        raise Refused("EINVAL")
    if words:
        features = _domain(connection, words[0]).features
    else:
        features = connection.domain.features if connection.domain is not None else server.plays.features
    return b"%d\0" % features


def do_set_feature(connection: Connection, _view: View, payload: bytes) -> bytes:
    words = _strings(payload)
    if len(words) != 2:
        raise Refused("EINVAL")
    domain = _domain(connection, words[0])
    features = leading_number(words[1])[0] & _MOST
    if domain.introduced:
        raise Refused("EBUSY")
    if features & ~connection.server.plays.features:
        raise Refused("EINVAL")
    domain.features = features
    return b"OK\0"


def do_get_quota(connection: Connection, _view: View, payload: bytes) -> bytes:
    words = _strings(payload)
    quota = connection.server.quota
    if not words:
        return " ".join(quota.names()).encode() + b"\0"
    if len(words) > 2:
        raise Refused("EINVAL")
    if len(words) == 2:
        quota = _domain(connection, words[0]).quota
    attribute = quota.attribute(words[-1].decode("ascii", "replace"))
    if attribute is None:
        raise Refused("EINVAL")
    return b"%d\0" % getattr(quota, attribute)


def do_set_quota(connection: Connection, _view: View, payload: bytes) -> bytes:
    words = _strings(payload)
    if len(words) not in (2, 3):
        raise Refused("EINVAL")
    server = connection.server
    quota = server.quota if len(words) == 2 else _domain(connection, words[0]).quota
    attribute = quota.attribute(words[-2].decode("ascii", "replace"))
    value = leading_number(words[-1])[0] & _MOST
    if attribute is None or value == _MOST:
        raise Refused("EINVAL")
    setattr(quota, attribute, value)
    server.wake_all()
    return b"OK\0"
