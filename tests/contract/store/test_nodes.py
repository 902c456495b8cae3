"""Nodes and their permissions, requests in batches, and what a daemon says of itself."""

from __future__ import annotations

import os
import re

import pytest

from tests.contract.store.asking import NOBODY, raw, refusal
from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store.client import StoreClient
from xentool.store.permissions import Permission


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
