"""What any XenStore does for its client, ours and the real one alike.

`socket` and `local` are our server, behind a socket and in this process; `real`
(nested) is whatever daemon serves this host: C xenstored in the lab's dom0.
Needs pytest alone, so that it runs there.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING

import pytest

from tests.contract import oxenstored
from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store.client import StoreClient
from xentool.store.domains import StoreHost
from xentool.store.local import LocalTransport
from xentool.store.permissions import Permission
from xentool.store.serve import SocketServer
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xentool.store.operations import Transaction

    Connect = Callable[[], StoreClient]

NOBODY = 32000
"""A domid that no domain has."""
SOCKET = "/run/xenstored/socket"


class Dom0Only(StoreHost):
    def exists(self, domid: int) -> bool:
        return domid == 0


@pytest.fixture
def no_limits_for_domain_0(request: pytest.FixtureRequest) -> bool:
    """Whether this is a real daemon that holds quotas' path lengths against guests alone (since 4.18)."""
    minor = "/sys/hypervisor/version/minor"
    if "real" not in request.node.callspec.id or not os.path.exists(minor) or oxenstored.runs_here():
        return False
    with open(minor, encoding="ascii") as file:
        return int(file.read()) > 17


@pytest.fixture(autouse=True)
def otherwise(request: pytest.FixtureRequest) -> None:
    """On oxenstored the tests that it cannot pass fail, for the reasons in tests/contract/oxenstored.py."""
    if "[real" in request.node.name and oxenstored.runs_here():
        reason = oxenstored.why_otherwise(request.node.name)
        if reason:
            strict = request.node.originalname not in oxenstored.SOMETIMES
            request.applymarker(pytest.mark.xfail(strict=strict, reason=reason))


@pytest.fixture(params=["local", "socket", pytest.param("real", marks=pytest.mark.nested)])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Opens clients of one store."""
    clients: list[StoreClient] = []

    def remember(client: StoreClient) -> StoreClient:
        clients.append(client)
        return client

    if request.param == "real":
        path = os.environ.get("XENSTORED_PATH", SOCKET)
        if not os.path.exists(path):
            pytest.skip("no XenStore daemon runs here")
        yield lambda: remember(StoreClient(path))
    elif request.param == "local":
        server = Server(Dom0Only())
        yield lambda: remember(StoreClient(transport=LocalTransport(server.connect())))
    else:
        path = str(tmp_path / "socket")
        with SocketServer(path, Server(Dom0Only())) as sockets:
            thread = threading.Thread(target=sockets.run)
            thread.start()
            try:
                yield lambda: remember(StoreClient(path, timeout_seconds=10))
            finally:
                for client in clients:
                    client.close()
                sockets.stop()
                thread.join(10)
            assert not thread.is_alive()
    for client in clients:
        client.close()


@pytest.fixture
def store(connect: Connect) -> StoreClient:
    return connect()


@pytest.fixture
def top(store: StoreClient) -> Iterator[str]:
    """A node for the test's own use; gone afterwards."""
    path = f"/tool/xentool-test-{os.getpid()}"
    store.mkdir(path)
    yield path
    if store.exists(path):
        store.rm(path)
    assert store.try_read(path) is None


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.errno_name


def raw(store: StoreClient, kind: int, payload: bytes, tx_id: int = 0) -> tuple[int, bytes]:
    """A request as it is, past the client's own checks."""
    reply = store.exchange(tx_id, [(kind, payload)])[0]
    return reply[0], reply[3]


class TestNodes:
    def test_write_makes_parents_and_read_gives_the_bytes_back(self, store: StoreClient, top: str) -> None:
        store.write(f"{top}/a/b", b"\0\xff value")
        assert store.read(f"{top}/a/b") == b"\0\xff value"
        assert store.read(f"{top}/a") == b""
        assert store.directory(f"{top}/a") == ["b"]
        assert store.read_text(f"{top}/a/b") == "\0\\xff value"

    def test_a_second_write_replaces_the_value_and_keeps_children(self, store: StoreClient, top: str) -> None:
        store.write(f"{top}/a/b", "1")
        store.write(f"{top}/a", "x" * 3000)
        store.write(f"{top}/a", "")
        assert store.tree(top) == {top: b"", f"{top}/a": b"", f"{top}/a/b": b"1"}

    def test_mkdir_keeps_what_is_there(self, store: StoreClient, top: str) -> None:
        store.write(f"{top}/a", "1")
        store.mkdir(f"{top}/a")
        store.mkdir(f"{top}/b/c")
        assert store.read(f"{top}/a") == b"1"
        assert store.directory(top) == ["a", "b"]

    def test_rm_takes_all_below_and_may_be_repeated(self, store: StoreClient, top: str) -> None:
        store.write(f"{top}/a/b/c", "1")
        store.write(f"{top}/a/d", "1")
        store.write(f"{top}/ab", "1")
        store.rm(f"{top}/a")
        store.rm(f"{top}/a")
        assert store.directory(top) == ["ab"]
        assert store.read_many([f"{top}/a", f"{top}/a/b/c", f"{top}/ab"]) == [None, None, b"1"]

    def test_rm_needs_the_parent(self, store: StoreClient, top: str) -> None:
        payload = f"{top}/no/such\0".encode()
        assert raw(store, xs_wire.XS_RM, payload) == (xs_wire.XS_ERROR, b"ENOENT\0")
        store.rm(f"{top}/no/such")  # to our client gone is gone

    def test_the_root_stays(self, store: StoreClient) -> None:
        assert refusal(lambda: store.rm("/")) == "EINVAL"

    @pytest.mark.parametrize("operation", ["read", "directory", "get_perms"])
    def test_what_is_not_there_is_enoent(self, store: StoreClient, top: str, operation: str) -> None:
        assert refusal(lambda: getattr(store, operation)(f"{top}/none")) == "ENOENT"

    def test_relative_paths_are_dom0s(self, store: StoreClient, top: str) -> None:
        name = f"xentool-test-{os.getpid()}"
        store.write(name, "1")
        try:
            assert store.read(f"/local/domain/0/{name}") == b"1"
        finally:
            store.rm(name)

    def test_order_of_children_is_that_of_their_making(self, store: StoreClient, top: str) -> None:
        for name in ("b", "a", "c"):
            store.write(f"{top}/{name}", "")
        store.rm(f"{top}/a")
        store.write(f"{top}/a", "")
        assert store.directory(top) == ["b", "c", "a"]

    def test_a_directory_larger_than_a_message_is_listed_whole(self, store: StoreClient, top: str) -> None:
        names = [f"{at:04}-{'x' * (at % 60)}" for at in range(400)]
        with store.batch() as batch:
            for name in names:
                batch.mkdir(f"{top}/{name}")
        assert store.directory(top) == names
        assert list(store.tree(top)) == [top] + [f"{top}/{name}" for name in names]

    @pytest.mark.parametrize(
        "path",
        [
            b"",
            b"//",
            b"/a/",
            b"/a//b",
            b"/a b",
            b"/a\xff",
            b"/" + b"x" * 2048,
            b"/local/domain/0/" + b"x" * 2049,
        ],
    )
    def test_impossible_names_are_einval(
        self, store: StoreClient, path: bytes, no_limits_for_domain_0: bool
    ) -> None:
        absent = no_limits_for_domain_0 and len(path) > 2048
        word = b"ENOENT\0" if absent else b"EINVAL\0"
        assert raw(store, xs_wire.XS_READ, path + b"\0") == (xs_wire.XS_ERROR, word)

    @pytest.mark.parametrize("path", [b"/" + b"x" * 2047, b"/local/domain/0/" + b"x" * 2048, b"/@/-_"])
    def test_the_longest_names_are_only_not_there(self, store: StoreClient, path: bytes) -> None:
        assert raw(store, xs_wire.XS_READ, path + b"\0") == (xs_wire.XS_ERROR, b"ENOENT\0")

    def test_two_strings_where_one_belongs_are_einval_to_write(self, store: StoreClient) -> None:
        assert raw(store, xs_wire.XS_WRITE, b"/tool/x") == (xs_wire.XS_ERROR, b"EINVAL\0")
        assert raw(store, xs_wire.XS_DIRECTORY_PART, b"/tool\0") == (xs_wire.XS_ERROR, b"EINVAL\0")
        assert raw(store, xs_wire.XS_SET_PERMS, b"/tool\0") == (xs_wire.XS_ERROR, b"EINVAL\0")

    def test_operations_that_do_not_exist_are_enosys(self, store: StoreClient) -> None:
        for kind in (20, xs_wire.XS_WATCH_EVENT, xs_wire.XS_ERROR, 99, xs_wire.XS_INVALID):
            assert raw(store, kind, b"/\0") == (xs_wire.XS_ERROR, b"ENOSYS\0")


class TestPermissions:
    def test_children_inherit(self, store: StoreClient, top: str) -> None:
        store.set_perms(top, ["r0"])
        store.write(f"{top}/a/b", "")
        assert store.get_perms(f"{top}/a/b") == [Permission.parse("r0")]

    def test_what_is_set_is_read(self, store: StoreClient, top: str) -> None:
        given = [Permission.parse(text) for text in ("b0", f"r{NOBODY}", f"w{NOBODY}", f"n{NOBODY}")]
        store.set_perms(top, given)
        assert store.get_perms(top) == given

    def test_an_owner_must_exist(self, store: StoreClient, top: str) -> None:
        assert refusal(lambda: store.set_perms(top, [f"n{NOBODY}"])) == "ENOENT"

    @pytest.mark.parametrize("text", [b"x0", b"n", b"", b"n0x", b"0n"])
    def test_nonsense_is_einval(self, store: StoreClient, top: str, text: bytes) -> None:
        payload = top.encode() + b"\0" + text + b"\0"
        assert raw(store, xs_wire.XS_SET_PERMS, payload) == (xs_wire.XS_ERROR, b"EINVAL\0")

    def test_of_special_paths_only_the_known_ones(self, store: StoreClient) -> None:
        assert raw(store, xs_wire.XS_SET_PERMS, b"@releaseDomain\0n0\0") == (xs_wire.XS_SET_PERMS, b"OK\0")
        # C xenstored means EINVAL, and sends whatever errno was left from before.
        assert raw(store, xs_wire.XS_SET_PERMS, b"@other\0n0\0")[0] == xs_wire.XS_ERROR


class TestTransactions:
    def test_nobody_sees_it_before_the_end(self, connect: Connect, store: StoreClient, top: str) -> None:
        other = connect()
        with store.transaction() as tx:
            tx.write(f"{top}/a", "1")
            assert tx.read(f"{top}/a") == b"1"
            assert tx.directory(top) == ["a"]
            assert other.try_read(f"{top}/a") is None
        assert other.read(f"{top}/a") == b"1"

    def test_an_error_undoes_it(self, store: StoreClient, top: str) -> None:
        store.write(f"{top}/b", "1")

        def fail() -> None:
            with store.transaction() as tx:
                tx.write(f"{top}/a", "1")
                tx.rm(f"{top}/b")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert store.tree(top) == {top: b"", f"{top}/b": b"1"}

    @pytest.mark.parametrize("meddle", ["write", "rm", "set_perms", "child"])
    def test_it_conflicts_over_a_node_it_read(
        self, connect: Connect, store: StoreClient, top: str, meddle: str
    ) -> None:
        other = connect()
        store.write(f"{top}/a", "1")
        tx = store.transaction()
        assert tx.read(f"{top}/a") == b"1"
        tx.write(f"{top}/result", "2")
        if meddle == "write":
            other.write(f"{top}/a", "1")
        elif meddle == "rm":
            other.rm(f"{top}/a")
        elif meddle == "set_perms":
            other.set_perms(f"{top}/a", ["r0"])
        else:
            other.write(f"{top}/a/child", "")
        assert refusal(tx.commit) == "EAGAIN"
        assert store.try_read(f"{top}/result") is None

    def test_it_conflicts_over_a_node_that_was_not_there(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        store.mkdir(f"{top}/d")
        tx = store.transaction()
        assert tx.try_read(f"{top}/d/a") is None
        tx.write(f"{top}/result", "2")
        connect().write(f"{top}/d/a", "1")
        assert refusal(tx.commit) == "EAGAIN"

    def test_it_conflicts_over_a_directory_both_add_to(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        tx = store.transaction()
        tx.write(f"{top}/a", "1")
        connect().write(f"{top}/b", "1")
        assert refusal(tx.commit) == "EAGAIN"
        assert store.directory(top) == ["b"]

    def test_it_does_not_conflict_over_what_it_never_looked_at(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        store.write(f"{top}/a", "1")
        store.write(f"{top}/b", "1")
        other = connect()
        first, second = store.transaction(), other.transaction()
        first.write(f"{top}/a", "2")
        second.write(f"{top}/b", "2")
        other.write("/tool/xenstored", other.read("/tool/xenstored"))
        first.commit()
        second.commit()
        assert store.read_many([f"{top}/a", f"{top}/b"]) == [b"2", b"2"]

    def test_a_node_made_and_removed_in_it_was_never_there(self, store: StoreClient, top: str) -> None:
        with store.transaction() as tx:
            tx.write(f"{top}/a/b", "1")
            tx.rm(f"{top}/a")
            assert tx.try_read(f"{top}/a/b") is None
        assert store.directory(top) == []

    def test_remove_and_make_again(self, store: StoreClient, top: str) -> None:
        store.write(f"{top}/a/b", "1")
        with store.transaction() as tx:
            tx.rm(f"{top}/a")
            tx.write(f"{top}/a/c", "2")
        assert store.tree(top) == {top: b"", f"{top}/a": b"", f"{top}/a/c": b"2"}

    def test_ids_that_are_not_open_are_enoent(self, store: StoreClient, top: str) -> None:
        assert raw(store, xs_wire.XS_READ, b"/\0", tx_id=4711) == (xs_wire.XS_ERROR, b"ENOENT\0")
        assert raw(store, xs_wire.XS_TRANSACTION_END, b"T\0") == (xs_wire.XS_ERROR, b"ENOENT\0")
        tx = store.transaction()
        assert raw(store, xs_wire.XS_TRANSACTION_END, b"X\0", tx.tx_id) == (xs_wire.XS_ERROR, b"EINVAL\0")
        assert raw(store, xs_wire.XS_TRANSACTION_START, b"\0", tx.tx_id) == (xs_wire.XS_ERROR, b"EBUSY\0")
        tx.commit()
        assert raw(store, xs_wire.XS_TRANSACTION_END, b"T\0", tx.tx_id) == (xs_wire.XS_ERROR, b"ENOENT\0")

    def test_run_transaction_tries_again_and_gives_up(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        other = connect()
        store.write(f"{top}/n", "0")
        seen: list[bytes] = []

        def add(tx: Transaction) -> int:
            now = tx.read(f"{top}/n")
            seen.append(now)
            if len(seen) < 3:
                other.write(f"{top}/n", str(10 * len(seen)))
            tx.write(f"{top}/n", str(int(now) + 1))
            return int(now) + 1

        assert store.run_transaction(add) == 21
        assert seen == [b"0", b"10", b"20"]
        assert store.read(f"{top}/n") == b"21"

        def lose(tx: Transaction) -> None:
            tx.write(f"{top}/n", tx.read(f"{top}/n"))
            other.write(f"{top}/n", "x")

        with pytest.raises(StoreError, match="5 times in a row"):
            store.run_transaction(lose, attempts=5)


class TestWatches:
    def test_the_first_event_comes_at_once_even_for_what_is_not_there(
        self, store: StoreClient, top: str
    ) -> None:
        with store.watch(f"{top}/none", "t") as watch:
            event = watch.next(5)
            assert event is not None
            assert (event.path, event.token) == (f"{top}/none", "t")
            assert watch.next(0) is None

    def test_changes_below_are_told_with_their_path(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        other = connect()
        paths = []
        with store.watch(top) as watch:
            assert watch.next(5) is not None
            changes: list[Callable[[], object]] = [
                lambda: other.write(f"{top}/a/b", "1"),
                lambda: other.mkdir(f"{top}/c"),
                lambda: other.mkdir(f"{top}/c"),  # is there already: no event
                lambda: other.set_perms(f"{top}/c", ["r0"]),
                lambda: other.rm(f"{top}/a"),
                lambda: other.write(f"{top}x", "1"),
                lambda: other.rm(f"{top}x"),
                lambda: other.write(f"{top}/last", "1"),
            ]
            for change in changes:
                change()
                paths += [event.path[len(top) :] for event in watch.events(0.05)]
        assert paths == ["/a/b", "/c", "/c", "/a", "/last"]

    def test_a_removal_above_is_told_as_the_watched_path(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        store.write(f"{top}/a/b/c", "1")
        with store.watch(f"{top}/a/b") as watch, store.watch(top, "wide") as wide:
            assert watch.next(5) is not None
            assert wide.next(5) is not None
            connect().rm(f"{top}/a")
            told = watch.next(5)
            assert told is not None
            assert told.path == f"{top}/a/b"
            told = wide.next(5)
            assert told is not None
            assert told.path == f"{top}/a"
            assert watch.next(0.05) is None
            assert wide.next(0) is None

    def test_a_transaction_tells_when_committed_and_once_a_node(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        other = connect()
        store.write(f"{top}/gone/x", "1")
        with store.watch(top) as watch:
            assert watch.next(5) is not None
            tx = other.transaction()
            tx.write(f"{top}/a", "1")
            tx.write(f"{top}/a", "2")
            tx.write(f"{top}/b/c", "2")
            tx.rm(f"{top}/gone")
            assert watch.next(0.05) is None
            tx.commit()
            assert [event.path[len(top) :] for event in watch.events(0.3)] == ["/a", "/b/c", "/gone"]
            tx = other.transaction()
            tx.write(f"{top}/a", "3")
            tx.abort()
            assert watch.next(0.05) is None

    def test_watches_are_told_in_the_order_in_which_they_were_set(self, store: StoreClient, top: str) -> None:
        tokens = []
        for token, path in (("1", "/"), ("2", f"{top}/a"), ("3", top), ("4", f"{top}/a"), ("5", "/tool")):
            store.watch(path, token)
        while store.next_event(0.05):
            pass
        store.write(f"{top}/a", "1")
        while event := store.next_event(0.05):
            tokens.append(event.token)
        store.reset_watches()
        assert tokens == ["1", "2", "3", "4", "5"]

    def test_ones_own_change_is_told_before_it_is_answered(self, store: StoreClient, top: str) -> None:
        with store.watch(top) as watch:
            assert watch.next(5) is not None
            store.write(f"{top}/a", "1")
            assert store.has_events()
            assert watch.next(0) is not None

    def test_relative_watches_tell_relative_paths(self, store: StoreClient, top: str) -> None:
        name = f"xentool-test-{os.getpid()}"
        with store.watch(name) as watch:
            try:
                store.write(f"{name}/a", "1")
                assert [event.path for event in watch.events(0.3)] == [name, f"{name}/a"]
            finally:
                store.rm(name)

    def test_the_same_watch_twice_is_eexist_and_none_is_enoent(self, store: StoreClient, top: str) -> None:
        with store.watch(top, "one") as watch:
            assert refusal(lambda: store.watch(top, "one")) == "EEXIST"
            store.watch(top, "two").unwatch()
            assert watch.next(5) is not None
        payload = f"{top}\0one\0".encode()
        assert raw(store, xs_wire.XS_UNWATCH, payload) == (xs_wire.XS_ERROR, b"ENOENT\0")

    def test_after_unwatch_nothing_is_told(self, store: StoreClient, top: str) -> None:
        watch = store.watch(top)
        watch.unwatch()
        store.write(f"{top}/a", "1")
        assert not store.has_events()

    def test_reset_watches_ends_them_all(self, store: StoreClient, top: str) -> None:
        store.watch(top, "one")
        store.watch("/", "two")
        store.reset_watches()
        store.write(f"{top}/a", "1")
        assert not store.has_events()
        store.watch(top, "one").unwatch()

    def test_special_paths(self, store: StoreClient) -> None:
        with store.watch("@releaseDomain") as released, store.watch("@introduceDomain") as introduced:
            for watch in (released, introduced):
                event = watch.next(5)
                assert event is not None
                assert event.path == watch.path

    def test_a_bad_path_or_a_missing_token_is_einval(
        self, store: StoreClient, no_limits_for_domain_0: bool
    ) -> None:
        payloads = [b"/a/\0t\0", b"/a\0", b"/a\0t", b"\0t\0"]
        if not no_limits_for_domain_0:
            payloads.append(b"@" + b"x" * 2048 + b"\0t\0")
        for payload in payloads:
            assert raw(store, xs_wire.XS_WATCH, payload) == (xs_wire.XS_ERROR, b"EINVAL\0")


class TestPipelines:
    def test_a_batch_is_carried_out_in_order(self, store: StoreClient, top: str) -> None:
        with store.batch() as batch:
            for at in range(300):
                batch.write(f"{top}/n{at}", str(at), ["b0"])
            batch.rm(f"{top}/n7")
            batch.mkdir(f"{top}/m", ["r0"])
        assert len(store.directory(top)) == 300
        values = store.read_many([f"{top}/n{at}" for at in range(300)])
        assert values == [None if at == 7 else str(at).encode() for at in range(300)]
        assert store.get_perms(f"{top}/n8") == [Permission.parse("b0")]

    def test_the_first_refusal_is_raised_and_the_rest_is_done(self, store: StoreClient, top: str) -> None:
        batch = store.batch()
        batch.write(f"{top}/a", "1")
        batch.rm(f"{top}/no/such")
        batch.set_perms(f"{top}/none", ["n0"])
        batch.set_perms(f"{top}/none/either", ["n0"])
        batch.write(f"{top}/b", "1")
        with pytest.raises(StoreError) as caught:
            batch.send()
        assert str(caught.value) == f"set permissions of {top}/none: ENOENT (No such file or directory)"
        assert store.directory(top) == ["a", "b"]

    def test_a_batch_in_a_transaction(self, store: StoreClient, top: str) -> None:
        with store.transaction() as tx, tx.batch() as batch:
            batch.write(f"{top}/a", "1")
            batch.write(f"{top}/b", "2")
        assert store.read_many([f"{top}/a", f"{top}/b"]) == [b"1", b"2"]

    def test_more_than_all_socket_buffers_hold_goes_both_ways(self, store: StoreClient, top: str) -> None:
        value = b"x" * 4000
        with store.batch() as batch:
            for at in range(500):
                batch.write(f"{top}/n{at % 50}", value)
        paths = [f"{top}/n{at % 50}" for at in range(1500)]
        assert store.read_many(paths) == [value] * 1500


class TestDaemon:
    def test_domains(self, store: StoreClient) -> None:
        assert store.domain_path(0) == "/local/domain/0"  # type: ignore[arg-type]
        assert store.domain_path(7) == "/local/domain/7"  # type: ignore[arg-type]
        assert store.is_introduced(0)  # type: ignore[arg-type]
        assert not store.is_introduced(NOBODY)  # type: ignore[arg-type]
        for operation in (store.release, store.resume):
            assert refusal(lambda operation=operation: operation(NOBODY)) == "ENOENT"  # type: ignore[misc]
            assert refusal(lambda operation=operation: operation(0)) == "EINVAL"  # type: ignore[misc]
        assert refusal(lambda: store.set_target(NOBODY, 0)) == "ENOENT"  # type: ignore[arg-type]
        assert refusal(lambda: store.introduce(NOBODY, 0, 0)) == "EINVAL"  # type: ignore[arg-type]

    def test_control(self, store: StoreClient) -> None:
        # 4.17's daemon has a tab behind the verb, later ones pad it, and name more that it takes.
        assert re.search(r"^quota\s+\[set <name> <val>\|<domid>", store.control("help"), re.MULTILINE)
        quotas = store.control("quota")
        for line in (
            "nodes            :     1000 Nodes per domain",
            "watches          :      128 Watches per domain",
            "node-size        :     2048 Max. size of a node",
            "path-max         :     2048 Max. length of a node path",
        ):
            assert line in quotas
        assert store.control("quota", "set", "watches", "129") == "OK"
        assert "watches          :      129" in store.control("quota")
        assert store.control("quota", "set", "watches", "128") == "OK"
        assert store.control("check") == "OK"
        for words in (
            ("no-such",),
            ("quota", "set", "nodes", "0"),
            ("quota", "set", "none", "1"),
            ("help", "x"),
        ):
            assert refusal(lambda words=words: store.control(*words)) == "EINVAL"  # type: ignore[misc]
