"""Watches: what is told, when, and in which order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.contract.store.asking import SOON, raw, refusal
from xentool.abi import xs_wire
from xentool.store.client import StoreClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.store.asking import Connect
    from xentool.store.watching import Watch


def _paths(watch: Watch, count: int) -> list[str]:
    """What the next events tell, that many."""
    events = [watch.next(SOON) for _ in range(count)]
    return [event.path for event in events if event]


class TestWatches:
    def test_the_first_event_comes_at_once_even_for_what_is_not_there(
        self, store: StoreClient, top: str
    ) -> None:
        with store.watch(f"{top}/none", "t") as watch:
            event = watch.next(SOON)
            assert event is not None
            assert (event.path, event.token) == (f"{top}/none", "t")
            assert watch.next(0) is None

    def test_changes_below_are_told_with_their_path(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        other = connect()
        with store.watch(top) as watch:
            assert watch.next(SOON) is not None
            changes: list[tuple[Callable[[], object], list[str]]] = [
                (lambda: other.write(f"{top}/a/b", "1"), ["/a/b"]),
                (lambda: other.mkdir(f"{top}/c"), ["/c"]),
                (lambda: other.mkdir(f"{top}/c"), []),  # is there already: no event
                (lambda: other.set_perms(f"{top}/c", ["r0"]), ["/c"]),
                (lambda: other.rm(f"{top}/a"), ["/a"]),
                (lambda: other.write(f"{top}x", "1"), []),
                (lambda: other.rm(f"{top}x"), []),
                (lambda: other.write(f"{top}/last", "1"), ["/last"]),
            ]
            for change, told in changes:
                change()
                assert _paths(watch, len(told)) == [top + path for path in told]
            assert watch.next(0.05) is None

    def test_a_removal_above_is_told_as_the_watched_path(
        self, connect: Connect, store: StoreClient, top: str
    ) -> None:
        store.write(f"{top}/a/b/c", "1")
        with store.watch(f"{top}/a/b") as watch, store.watch(top, "wide") as wide:
            assert watch.next(SOON) is not None
            assert wide.next(SOON) is not None
            connect().rm(f"{top}/a")
            told = watch.next(SOON)
            assert told is not None
            assert told.path == f"{top}/a/b"
            told = wide.next(SOON)
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
            assert watch.next(SOON) is not None
            tx = other.transaction()
            tx.write(f"{top}/a", "1")
            tx.write(f"{top}/a", "2")
            tx.write(f"{top}/b/c", "2")
            tx.rm(f"{top}/gone")
            assert watch.next(0.05) is None
            tx.commit()
            assert _paths(watch, 3) == [f"{top}/a", f"{top}/b/c", f"{top}/gone"]
            tx = other.transaction()
            tx.write(f"{top}/a", "3")
            tx.abort()
            assert watch.next(0.05) is None

    def test_watches_are_told_in_the_order_in_which_they_were_set(self, store: StoreClient, top: str) -> None:
        for token, path in (("1", "/"), ("2", f"{top}/a"), ("3", top), ("4", f"{top}/a"), ("5", "/tool")):
            store.watch(path, token)
        for number in "12345":
            assert store.next_event(SOON, number) is not None
        store.write(f"{top}/a", "1")
        told = [store.next_event(SOON) for _ in range(5)]
        assert [event.token for event in told if event] == ["1", "2", "3", "4", "5"]
        assert store.next_event(0.05) is None
        store.reset_watches()

    def test_ones_own_change_is_told_before_it_is_answered(self, store: StoreClient, top: str) -> None:
        with store.watch(top) as watch:
            assert watch.next(SOON) is not None
            store.write(f"{top}/a", "1")
            assert store.has_events()
            assert watch.next(0) is not None

    def test_relative_watches_tell_relative_paths(self, store: StoreClient, top: str) -> None:
        name = f"xentool-test-{os.getpid()}"
        with store.watch(name) as watch:
            try:
                store.write(f"{name}/a", "1")
                assert _paths(watch, 2) == [name, f"{name}/a"]
                assert watch.next(0.05) is None
            finally:
                store.rm(name)

    def test_the_same_watch_twice_is_eexist_and_none_is_enoent(self, store: StoreClient, top: str) -> None:
        with store.watch(top, "one") as watch:
            assert refusal(lambda: store.watch(top, "one")) == "EEXIST"
            store.watch(top, "two").unwatch()
            assert watch.next(SOON) is not None
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
                event = watch.next(SOON)
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
