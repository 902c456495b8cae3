"""Byte rings in a page that two domains share: the console's and XenStore's.

The other side can write anything at any time, so each index is read once, and
checked before it is used.

Source: public/io/console.h, public/io/xs_wire.h.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

_WRAP = 1 << 32


class BrokenRingError(Exception):
    """The other side has put nonsense into the ring's indices."""


class ByteRing:
    """One direction of a ring page: `size` bytes (a power of two) at `data`, and where its indices are."""

    __slots__ = ("_cons", "_data", "_page", "_prod", "_size")

    def __init__(self, page: memoryview, data: int, size: int, cons: int, prod: int) -> None:
        self._page = page
        self._data = data
        self._size = size
        self._cons = cons
        self._prod = prod

    def _index(self, offset: int) -> int:
        return int.from_bytes(self._page[offset : offset + 4], "little")

    def _filled(self) -> tuple[int, int, int]:
        cons, prod = self._index(self._cons), self._index(self._prod)
        filled = (prod - cons) % _WRAP
        if filled > self._size:
            raise BrokenRingError
        return cons, prod, filled

    def read(self) -> bytes:
        """Take out all there is. Raises `BrokenRingError`."""
        cons, prod, filled = self._filled()
        if not filled:
            return b""
        start = cons % self._size
        first = min(filled, self._size - start)
        at = self._data + start
        data = self._page[at : at + first].tobytes()
        if first < filled:
            data += self._page[self._data : self._data + filled - first].tobytes()
        self._page[self._cons : self._cons + 4] = prod.to_bytes(4, "little")
        return data

    def space(self) -> int:
        """How many bytes `write` would take. Raises `BrokenRingError`."""
        return self._size - self._filled()[2]

    def write(self, data: bytes) -> int:
        """Put in as much of `data` as there is room for; how much. Raises `BrokenRingError`."""
        _, prod, filled = self._filled()
        data = data[: self._size - filled]
        start = prod % self._size
        first = min(len(data), self._size - start)
        at = self._data + start
        self._page[at : at + first] = data[:first]
        self._page[self._data : self._data + len(data) - first] = data[first:]
        self._page[self._prod : self._prod + 4] = ((prod + len(data)) % _WRAP).to_bytes(4, "little")
        return len(data)


def store_ring(page: memoryview, direction: Literal["requests", "replies"]) -> ByteRing:
    """A direction of a XenStore ring page."""
    from xentool.abi import xs_wire as abi

    if direction == "requests":
        return ByteRing(
            page,
            abi.RING_REQ_OFFSET,
            abi.XENSTORE_RING_SIZE,
            abi.RING_REQ_CONS_OFFSET,
            abi.RING_REQ_PROD_OFFSET,
        )
    return ByteRing(
        page, abi.RING_RSP_OFFSET, abi.XENSTORE_RING_SIZE, abi.RING_RSP_CONS_OFFSET, abi.RING_RSP_PROD_OFFSET
    )


def console_ring(page: memoryview, direction: Literal["in", "out"]) -> ByteRing:
    """A direction of a console ring page; ``"in"`` is what the guest reads."""
    from xentool.abi.console import xencons_interface

    at = xencons_interface.offset
    if direction == "in":
        return ByteRing(page, at("in_"), at("out") - at("in_"), at("in_cons"), at("in_prod"))
    return ByteRing(page, at("out"), at("in_cons") - at("out"), at("out_cons"), at("out_prod"))
