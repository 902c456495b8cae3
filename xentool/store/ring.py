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
_PUTS_PER_TURN: Final = 4


class GuestRing:
    """The daemon's end of a ring. `page` is the guest's page, at least 4,096 bytes, writable.

    Call `handle` when the guest notified, when the connection has output, and on
    its turn (`Connection.on_turn`); it says whether the guest is to be notified.
    """

    __slots__ = ("_connection", "_moving", "_page", "failed")

    def __init__(self, page: memoryview, connection: Connection) -> None:
        self._page = page
        self._connection = connection
        self._moving = False
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
        domain = self._connection.domain
        self._set(xs_wire.RING_SERVER_FEATURES_OFFSET, domain.features if domain is not None else 0)
        self._set(xs_wire.RING_CONNECTION_OFFSET, xs_wire.XENSTORE_CONNECTED)

    def handle(self) -> bool:
        """Take what requests there are, put what replies there is room for; whether anything moved.

        Once: a guest that keeps on writing meanwhile waits for its next turn.
        """
        if self._moving:  # a reply brings us here again, from within
            return False
        self._moving = True
        try:
            moved = not self.failed and self._take_requests()
            for _ in range(_PUTS_PER_TURN):
                if self.failed or not self._put_replies():
                    break
                moved = True
        finally:
            self._moving = False
        connection = self._connection
        if not self.failed and (
            (connection.may_ask() and self._used(xs_wire.RING_REQ_CONS_OFFSET, xs_wire.RING_REQ_PROD_OFFSET))
            or (
                connection.queued_bytes
                and self._used(xs_wire.RING_RSP_CONS_OFFSET, xs_wire.RING_RSP_PROD_OFFSET) < _SIZE
            )
        ):
            connection.server.waiting[connection.serial] = connection
        return moved

    def _used(self, consumed_offset: int, produced_offset: int) -> int:
        return (self._get(produced_offset) - self._get(consumed_offset)) & 0xFFFFFFFF

    def _take_requests(self) -> bool:
        connection = self._connection
        if connection.failed:
            self._fail(xs_wire.XENSTORE_ERROR_PROTO)
        if not connection.may_ask():
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
        if connection.failed:
            self._fail(xs_wire.XENSTORE_ERROR_PROTO)
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
        connection = self._connection
        connection.ignore("the guest's ring breaks the protocol")
        domain = connection.domain
        # Since 4.21 a domain may have been told that there is no such field.
        features = domain.features if domain is not None else 0
        if (
            not connection.server.plays.has_feature_requests
            or features & xs_wire.XENSTORE_SERVER_FEATURE_ERROR
        ):
            self._set(xs_wire.RING_ERROR_OFFSET, error)

    def _get(self, offset: int) -> int:
        value: int = _INDEX.unpack_from(self._page, offset)[0]
        return value

    def _set(self, offset: int, value: int) -> None:
        # Not pack_into: that writes zeros first, and the guest may look at any time.
        self._page[offset : offset + _INDEX.size] = _INDEX.pack(value)
