"""Many reads over several connections: the same answers as over one, and the same errors."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.contract.store.asking import Dom0Only
from xentool.errors import StoreError, StoreGoneError
from xentool.store import wide
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.serve import SocketServer
from xentool.store.server import Server
from xentool.store.transport import open_transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xentool.store.transport import Transport

PATHS = [f"/many/{number}" for number in range(203)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[StoreClient]:
    path = str(tmp_path / "socket")
    with SocketServer(path, Server(Dom0Only())) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            with StoreClient(path) as client:
                with client.batch() as batch:
                    for number, node in enumerate(PATHS):
                        if number % 5:
                            batch.write(node, b"%d" % number)
                yield client
        finally:
            server.stop()
            thread.join()


def test_the_answers_are_those_of_one_connection(client: StoreClient) -> None:
    expected = [b"%d" % number if number % 5 else None for number in range(len(PATHS))]
    assert wide.read_widely(client, PATHS) == expected == client.read_many(PATHS)
    for count in range(wide.LANES + 2):  # also with lanes that have nothing to ask
        assert wide.read_widely(client, PATHS[:count]) == expected[:count]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Transport]:
    """The connections that reading opened."""
    connections: list[Transport] = []

    def open_one(path: str, timeout_seconds: float) -> Transport:
        connections.append(open_transport(path, timeout_seconds))
        return connections[-1]

    monkeypatch.setattr("xentool.store.wide.open_transport", open_one)
    return connections


def test_it_is_several_connections_and_none_stays_open(client: StoreClient, opened: list[Transport]) -> None:
    assert wide.read_widely(client, PATHS)[1] == b"1"
    assert len(opened) == wide.LANES
    for transport in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            transport.receive(0)


def test_what_goes_wrong_is_said_by_the_one_connection(client: StoreClient) -> None:
    with pytest.raises(StoreError, match="//"):
        wide.read_widely(client, [*PATHS, "/a//b"])
    client.close()
    with pytest.raises(StoreGoneError):
        wide.read_widely(client, [*PATHS, *["/x"] * 100_000])


def test_where_no_more_connections_can_be_had_one_is_enough(
    client: StoreClient, opened: list[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_two(path: str, timeout_seconds: float) -> Transport:
        if len(opened) == 2:
            raise OSError(24, "Too many open files")
        opened.append(open_transport(path, timeout_seconds))
        return opened[-1]

    monkeypatch.setattr("xentool.store.wide.open_transport", open_two)
    assert wide.read_widely(client, PATHS) == client.read_many(PATHS)
    assert len(opened) == 2


def test_a_store_without_a_socket_is_read_over_its_one_connection() -> None:
    with StoreClient(transport=LocalTransport(Server(Dom0Only()).connect())) as client:
        client.write("/many/3", "three")
        assert wide.read_widely(client, PATHS[:5]) == [None, None, None, b"three", None]
