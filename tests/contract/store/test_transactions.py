"""Transactions: what they hide, what they conflict over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.store.asking import raw, refusal
from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store.client import StoreClient

if TYPE_CHECKING:
    from tests.contract.store.asking import Connect
    from xentool.store.operations import Transaction


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
