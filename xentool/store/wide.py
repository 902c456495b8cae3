"""Reading many nodes at once over several connections.

xenstored takes one message of each connection in turn, and between two turns it
looks at all its connections: with hundreds of domains and their toolstacks'
processes that, not the reading, is what a request costs. So a long list of paths
goes faster in several lanes. Nothing else is gained or lost: outside a
transaction each read stands for itself.
"""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.errors import XentoolError
from xentool.store import codec
from xentool.store.client import REPLY_MAX_BYTES
from xentool.store.paths import check_path
from xentool.store.transport import open_transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.store.client import StoreClient
    from xentool.store.transport import Transport

LANES = 8
"""So many connections; with 200 domains in the lab, more of them cost more than they win."""


def read_widely(client: StoreClient, paths: Sequence[str]) -> list[bytes | None]:
    """The values of nodes, None for each that is not there. What goes wrong, `client.read_many` raises."""
    if client.path is None:
        return client.read_many(paths)
    lanes: list[Transport] = []
    try:
        for lane in range(LANES):
            lanes.append(open_transport(client.path, client.timeout))
            _ask(lanes[lane], paths[lane::LANES])
        values: list[bytes | None] = [None] * len(paths)
        for lane, transport in enumerate(lanes):
            values[lane::LANES] = _answers(transport, len(paths[lane::LANES]), client.timeout)
    except (_NotWideError, XentoolError, OSError):
        return client.read_many(paths)  # it is not worth explaining twice what went wrong
    finally:
        for transport in lanes:
            transport.close()
    return values


class _NotWideError(Exception):
    """There is more to it than lanes can do."""


def _ask(transport: Transport, paths: Sequence[str]) -> None:
    frames = [
        codec.encode(xs_wire.XS_READ, at, 0, check_path("read", path) + b"\0")
        for at, path in enumerate(paths)
    ]
    if transport.send(frames) != sum(map(len, frames)):
        raise _NotWideError  # thousands of paths: the one connection sends while it receives


def _answers(transport: Transport, count: int, timeout_seconds: float) -> list[bytes | None]:
    decoder = codec.Decoder(REPLY_MAX_BYTES)
    values: list[bytes | None] = []
    while len(values) < count:
        data = transport.receive(timeout_seconds)
        if not data:
            raise _NotWideError
        for kind, req_id, _, payload in decoder.feed(data):
            gone = kind == xs_wire.XS_ERROR and payload == b"ENOENT\0"
            if req_id != len(values) or not (gone or kind == xs_wire.XS_READ):
                raise _NotWideError
            values.append(None if gone else payload)
        if decoder.broken:
            raise _NotWideError
    return values
