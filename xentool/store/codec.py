"""XenStore's wire without I/O: frames, their payloads, errors by name.

A frame is a header (struct xsd_sockmsg: type, request id, transaction id,
length; native byte order) and at most 4,096 bytes of payload. Both the client
and the server speak through this module, and so do their tests.

A message here is the tuple ``(type, req_id, tx_id, payload)``: it is built for
every request and reply, and a tuple costs a third of an object.

Source: public/io/xs_wire.h, docs/misc/xenstore.txt.
"""

from __future__ import annotations

from _struct import Struct  # what struct has it from; that module would cost its import

from xentool.abi import xs_wire
from xentool.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    Message = tuple[int, int, int, bytes]

HEADER: Final = Struct("=IIII")
HEADER_SIZE: Final = xs_wire.XSD_SOCKMSG_SIZE
PAYLOAD_MAX: Final = xs_wire.XENSTORE_PAYLOAD_MAX

_pack = HEADER.pack
_unpack_from = HEADER.unpack_from

OPERATION_NAMES: Final[dict[int, str]] = {
    value: name[3:]
    for name, value in vars(xs_wire).items()
    if name.startswith("XS_") and name != "XS_INVALID"
}
"""What each message type is called: ``{2: "READ", …}``."""


def operation_name(kind: int) -> str:
    """``"READ"`` for 2; ``"type 99"`` for what the protocol does not know."""
    return OPERATION_NAMES.get(kind) or f"type {kind}"


def encode(kind: int, req_id: int, tx_id: int, payload: bytes) -> bytes:
    """One frame.

    Raises:
        StoreError: E2BIG, the payload is longer than the protocol allows.
    """
    length = len(payload)
    if length > PAYLOAD_MAX:
        subject = payload[: payload.find(b"\0")][:80].decode("ascii", "backslashreplace")
        raise StoreError(
            f"send {operation_name(kind)}",
            subject,
            "E2BIG",
            f"the request has {length:,} bytes, XenStore takes at most {PAYLOAD_MAX:,}",
            hint="split the value over several nodes",
        )
    return _pack(kind, req_id, tx_id, length) + payload


def strings(*parts: bytes) -> bytes:
    """A payload of NUL-terminated strings."""
    return b"\0".join(parts) + b"\0"


def split_strings(payload: bytes) -> list[bytes]:
    """The NUL-terminated strings of a payload; an unterminated rest counts as one more."""
    if not payload:
        return []
    if payload.endswith(b"\0"):
        payload = payload[:-1]
    return payload.split(b"\0")


def error_name(payload: bytes) -> str:
    """The word of an XS_ERROR: ``"ENOENT"``. Whatever else a daemon says comes out printable."""
    return payload.rstrip(b"\0").decode("ascii", "backslashreplace") or "EIO"


def encode_children(names: Iterable[bytes]) -> bytes:
    """The payload of a DIRECTORY reply."""
    return b"".join([name + b"\0" for name in names])


class Decoder:
    """Cuts a stream of bytes into messages, however it was torn on the way.

    A frame that announces more than `limit` bytes ends the stream: there is no
    telling where the next one begins. `broken` then says so, and nothing more
    comes out.
    """

    __slots__ = ("_limit", "_rest", "broken")

    def __init__(self, limit: int = PAYLOAD_MAX) -> None:
        self._limit = limit
        self._rest = b""
        self.broken = ""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with `data`, in order."""
        if self.broken:
            return []
        if self._rest:
            data = self._rest + data
        messages: list[Message] = []
        at = 0
        end = len(data)
        while end - at >= HEADER_SIZE:
            kind, req_id, tx_id, length = _unpack_from(data, at)
            if length > self._limit:
                self.broken = f"a frame announces {length:,} bytes, the most is {self._limit:,}"
                self._rest = b""
                return messages
            body = at + HEADER_SIZE
            following = body + length
            if following > end:
                break
            messages.append((kind, req_id, tx_id, data[body:following]))
            at = following
        self._rest = data[at:] if at < end else b""
        return messages

    @property
    def partial_bytes(self) -> int:
        """How many bytes of an unfinished message are held: 0 between messages."""
        return len(self._rest)
