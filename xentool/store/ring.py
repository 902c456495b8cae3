"""A guest's ring: the shared page through which a kernel speaks to the store.

The page is the guest's to scribble on. Its indexes are read once, checked, and
only then used; bytes are copied out before anything looks at them.

Source: public/io/xs_wire.h (struct xenstore_domain_interface),
docs/misc/xenstore-ring.txt.
"""

from __future__ import annotations

from struct import Struct

from xentool.abi import xs_wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from xentool.store.connection import Connection

_SIZE: Final = xs_wire.XENSTORE_RING_SIZE
_INDEX: Final = Struct("=I")


class GuestRing:
    """The daemon's end of a ring. `page` is the guest's page, at least 4,096 bytes, writable.

    Call `handle` when the guest notified, and when the connection has output; it
    says whether the guest is to be notified.
    """

    __slots__ = ("_connection", "_page", "failed")

    def __init__(self, page: memoryview, connection: Connection) -> None:
        self._page = page
        self._connection = connection
        self.failed = False

    def start(self) -> None:
        """Empty the ring and say what this daemon can do, as INTRODUCE does."""
        for offset in (
            xs_wire.RING_REQ_CONS_OFFSET,
            xs_wire.RING_REQ_PROD_OFFSET,
            xs_wire.RING_RSP_CONS_OFFSET,
            xs_wire.RING_RSP_PROD_OFFSET,
            xs_wire.RING_ERROR_OFFSET,
        ):
            self._set(offset, 0)
        self._set(xs_wire.RING_SERVER_FEATURES_OFFSET, xs_wire.XENSTORE_SERVER_FEATURE_ERROR)
        self._set(xs_wire.RING_CONNECTION_OFFSET, xs_wire.XENSTORE_CONNECTED)

    def handle(self) -> bool:
        """Move bytes both ways until nothing moves any more; whether any did."""
        moved = False
        while not self.failed and (self._take_requests() | self._put_replies()):
            moved = True
        return moved

    def _take_requests(self) -> bool:
        connection = self._connection
        if not connection.may_ask():
            if connection.failed:
                self._fail(xs_wire.XENSTORE_ERROR_PROTO)
            return False
        consumed = self._get(xs_wire.RING_REQ_CONS_OFFSET)
        produced = self._get(xs_wire.RING_REQ_PROD_OFFSET)
        waiting = (produced - consumed) & 0xFFFFFFFF
        if waiting > _SIZE:
            self._fail(xs_wire.XENSTORE_ERROR_RINGIDX)
            return False
        if not waiting:
            return False
        start = consumed % _SIZE
        first = min(waiting, _SIZE - start)
        data = bytes(self._page[start : start + first]) + bytes(self._page[: waiting - first])
        self._set(xs_wire.RING_REQ_CONS_OFFSET, (consumed + waiting) & 0xFFFFFFFF)
        connection.feed(data)
        return True

    def _put_replies(self) -> bool:
        consumed = self._get(xs_wire.RING_RSP_CONS_OFFSET)
        produced = self._get(xs_wire.RING_RSP_PROD_OFFSET)
        used = (produced - consumed) & 0xFFFFFFFF
        if used > _SIZE:
            self._fail(xs_wire.XENSTORE_ERROR_RINGIDX)
            return False
        data = self._connection.take(_SIZE - used) if used < _SIZE else b""
        if not data:
            return False
        start = produced % _SIZE
        first = min(len(data), _SIZE - start)
        at = xs_wire.RING_RSP_OFFSET
        self._page[at + start : at + start + first] = data[:first]
        self._page[at : at + len(data) - first] = data[first:]
        self._set(xs_wire.RING_RSP_PROD_OFFSET, (produced + len(data)) & 0xFFFFFFFF)
        return True

    def _fail(self, error: int) -> None:
        """The guest broke the rules: it is ignored until it is introduced again."""
        self.failed = True
        self._connection.ignore("the guest's ring breaks the protocol")
        self._set(xs_wire.RING_ERROR_OFFSET, error)

    def _get(self, offset: int) -> int:
        value: int = _INDEX.unpack_from(self._page, offset)[0]
        return value

    def _set(self, offset: int, value: int) -> None:
        _INDEX.pack_into(self._page, offset, value)
