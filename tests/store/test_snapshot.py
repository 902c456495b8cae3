"""Trees of one moment, while others change them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.server import Server
from xentool.store.snapshot import read_nodes, read_tree, settled_tree


class Interposed(LocalTransport):
    """A transport that lets others change the store between two of its client's requests."""

    steps: list[Callable[[], object]]

    def send(self, frames: Sequence[bytes]) -> int:
        ends = codec.HEADER.unpack_from(frames[0])[0] == xs_wire.XS_UNWATCH
        if self.steps and not ends:  # what happens after the last look is of another moment
            self.steps.pop(0)()
        return super().send(frames)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> StoreClient:
    return StoreClient(transport=LocalTransport(server.connect()))


def fill(client: StoreClient) -> None:
    with client.batch() as batch:
        for path in ("/t/a", "/t/a/x", "/t/a/y", "/t/b", "/t/c"):
            batch.write(path, path, ["n0", "r5"])
        batch.set_perms("/t", ["r0"])


def test_nodes_come_with_values_permissions_and_children(client: StoreClient) -> None:
    fill(client)
    snapshot = settled_tree(client, "/t")
    assert snapshot.consistent
    assert list(snapshot.nodes) == ["/t", "/t/a", "/t/a/x", "/t/a/y", "/t/b", "/t/c"]
    assert snapshot.nodes["/t"].permissions == ("r0",)
    assert snapshot.nodes["/t/a"].permissions == ("n0", "r5")
    assert snapshot.nodes["/t/a"].children == ("x", "y")
    assert list(snapshot.relative()) == ["", "a", "a/x", "a/y", "b", "c"]
    assert {path: node.value for path, node in snapshot.nodes.items()} == client.tree("/t")
    assert list(read_nodes(client, "/t")) == ["a", "b", "c"]


def test_the_root_is_a_tree_too(client: StoreClient) -> None:
    fill(client)
    assert list(settled_tree(client, "/").relative())[:4] == ["", "tool", "tool/xenstored", "t"]


def test_no_watch_stays_behind(server: Server, client: StoreClient) -> None:
    fill(client)
    settled_tree(client, "/t")
    assert not server.watches._by_path
    assert not client.has_events()


def test_no_such_tree(client: StoreClient) -> None:
    for read in (read_tree, settled_tree):
        with pytest.raises(StoreError) as caught:
            read(client, "/none")
        assert caught.value.errno_name == "ENOENT"


def test_what_changes_while_it_is_read_is_read_again(server: Server, client: StoreClient) -> None:
    fill(client)

    def replace() -> None:
        client.rm("/t/a")
        client.write("/t/a/z", "again")

    changes: list[Callable[[], object]] = [
        lambda: client.write("/t/a/x", "new"),
        lambda: client.rm("/t/b"),
        lambda: client.write("/t/d/e/f", "deep"),
        lambda: client.set_perms("/t/c", ["n0", "b7"]),
        replace,
        lambda: None,
        lambda: client.write("/t/d/e/f", "deeper"),
    ]
    transport = Interposed(server.connect())
    transport.steps = []
    reader = StoreClient(transport=transport)
    # The reader asks 3 times for each node: what happens does so before it has come to a node, or after.
    for delay, gap in itertools.product(range(0, 24, 3), range(0, 24, 3)):
        client.rm("/t")
        fill(client)
        transport.steps = [*[lambda: None] * delay, *changes[:-1], *[lambda: None] * gap, changes[-1]]
        snapshot = settled_tree(reader, "/t")
        transport.steps = []
        assert snapshot.consistent
        assert {path: node.value for path, node in snapshot.nodes.items()} == reader.tree("/t")
        for path, node in snapshot.nodes.items():
            assert node.permissions == tuple(str(entry) for entry in reader.get_perms(path))


def test_a_store_that_never_rests_is_read_all_the_same(server: Server, client: StoreClient) -> None:
    fill(client)
    transport = Interposed(server.connect())
    transport.steps = []
    reader = StoreClient(transport=transport)
    transport.steps = [lambda at=at: client.write("/t/b", str(at)) for at in range(100)]  # type: ignore[misc]
    snapshot = settled_tree(reader, "/t", passes=5)
    assert not snapshot.consistent
    assert list(snapshot.nodes) == ["/t", "/t/a", "/t/a/x", "/t/a/y", "/t/b", "/t/c"]


def test_lists_beyond_one_message(client: StoreClient) -> None:
    names = [f"{at:04}-{'x' * 20}" for at in range(600)]
    with client.batch() as batch:
        for name in names:
            batch.mkdir(f"/big/{name}")
    assert list(settled_tree(client, "/big").relative())[1:] == names


def test_a_guest_sees_what_it_may(server: Server, client: StoreClient) -> None:
    with client.batch() as batch:
        batch.write("/local/domain/5", "", ["n0", "r5"])
        batch.write("/local/domain/5/open", "1", ["n0", "r5"])
        batch.write("/local/domain/5/shut", "2", ["n0"])
    guest = StoreClient(transport=LocalTransport(server.connect(5)))
    snapshot = settled_tree(guest, "/local/domain/5")
    assert snapshot.unreadable == 1
    assert snapshot.nodes["/local/domain/5/shut"].value is None
    assert snapshot.nodes["/local/domain/5/shut"].permissions is None
    assert snapshot.nodes["/local/domain/5/open"].value == b"1"
    with pytest.raises(StoreError) as caught:
        read_tree(guest, "/local/domain/5/shut")
    assert caught.value.errno_name == "EACCES"


def test_a_transaction_reads_its_own_tree(client: StoreClient) -> None:
    fill(client)
    with client.transaction() as transaction:
        transaction.write("/t/a/q", "1")
        assert "/t/a/q" in read_tree(transaction, "/t").nodes
        assert "/t/a/q" not in read_tree(client, "/t").nodes
