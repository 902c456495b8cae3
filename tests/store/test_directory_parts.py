"""Large directories, in parts: DIRECTORY_PART over a socket, in this process, over a kernel's device."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest

from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.serve import SocketServer
from xentool.store.server import Server
from xentool.store.transport import DeviceTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xentool.store.connection import Connection

NAMES = [f"{at:04}-{'x' * (at % 60)}" for at in range(1000)]


def filled() -> Server:
    server = Server()
    client = StoreClient(transport=LocalTransport(server.connect()))
    with client.batch() as batch:
        for name in NAMES:
            batch.mkdir(f"/big/{name}")
    return server


class Device:
    """/dev/xen/xenbus as its driver plays it.

    One message a write; replies a header and a body at a time, kept until they are read.
    """

    def __init__(self, server: Server) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection = server.connect()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        kept: deque[bytes] = deque()
        while True:
            readable, writable, _ = select.select([self._ours], [self._ours] if kept else [], [])
            if writable:
                self._ours.send(kept.popleft())
            if readable:
                frame = self._ours.recv(8192)
                if not frame:
                    return
                assert len(frame) == 16 + codec.HEADER.unpack_from(frame)[3], "one write is one message"
                self._connection.feed(frame)
                while header := self._connection.take(16):
                    kept.append(header)
                    if size := codec.HEADER.unpack(header)[3]:
                        kept.append(self._connection.take(size))

    def client(self) -> StoreClient:
        transport = DeviceTransport("/dev/null")
        os.close(transport._descriptor)
        transport._descriptor = self._theirs.detach()
        return StoreClient(transport=transport, timeout_seconds=10)

    def close(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._ours.close()


@pytest.fixture(params=["local", "socket", "device"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, StoreClient]]:
    server = filled()
    if request.param == "local":
        yield server, StoreClient(transport=LocalTransport(server.connect()))
    elif request.param == "device":
        device = Device(server)
        with device.client() as client:
            yield server, client
        device.close()
    else:
        with SocketServer(str(tmp_path / "socket"), server) as sockets:
            thread = threading.Thread(target=sockets.run)
            thread.start()
            with StoreClient(sockets.path) as client:
                yield server, client
            sockets.stop()
            thread.join(10)
            assert not thread.is_alive()


def at_each_part(server: Server, do: Callable[[int], None]) -> list[int]:
    """Call `do` with how many parts were asked for, as each one is; the offsets of all of them."""
    offsets: list[int] = []

    def observe(_connection: Connection, message: codec.Message) -> None:
        if message[0] == xs_wire.XS_DIRECTORY_PART:
            offsets.append(int(message[3].split(b"\0")[1]))
            do(len(offsets))

    server.observe(observe)
    return offsets


def writer(server: Server) -> Callable[[bytes], None]:
    connection = server.connect()

    def write(path: bytes) -> None:
        connection.feed(codec.encode(xs_wire.XS_WRITE, 1, 0, path + b"\0"))
        connection.take(100)

    return write


def test_all_children_come_in_their_order(store: tuple[Server, StoreClient]) -> None:
    server, client = store
    offsets = at_each_part(server, lambda _count: None)
    assert client.directory("/big") == NAMES
    assert len(offsets) > 8
    assert len(client.tree("/big")) == len(NAMES) + 1
    with client.transaction() as tx:
        tx.mkdir("/big/more")
        assert tx.directory("/big") == [*NAMES, "more"]
    assert client.directory("/big")[-1] == "more"


def test_one_that_changes_meanwhile_is_read_anew(store: tuple[Server, StoreClient]) -> None:
    server, client = store
    write = writer(server)
    offsets = at_each_part(server, lambda count: write(b"/big/late%d" % count) if count in (3, 6) else None)
    assert client.directory("/big") == [*NAMES, "late3", "late6"]
    assert offsets[:7].count(0) == 3
    # What changes in a child is no change of the list.
    offsets = at_each_part(server, lambda count: write(b"/big/late3/below%d" % count))
    assert len(client.directory("/big")) == len(NAMES) + 2
    assert offsets.count(0) == 1


def test_one_that_never_stops_changing_is_an_error(store: tuple[Server, StoreClient]) -> None:
    server, client = store
    write = writer(server)
    at_each_part(server, lambda count: write(b"/big/late%d" % count))
    with pytest.raises(StoreError, match="its children changed while they were listed, 32 times in a row"):
        client.directory("/big")
    server.observe(None)
    assert len(client.directory("/big")) > len(NAMES)
