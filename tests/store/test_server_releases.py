"""What differs between the releases that the server plays: features, quotas, watches with a depth."""

from __future__ import annotations

import struct

import pytest

from tests.store.world import World, ask, refusal, replies, send
from xentool.abi import xs_wire
from xentool.store.consistency import check_tree
from xentool.store.release import RELEASES, Release
from xentool.store.ring import GuestRing

ERROR, DEPTH, ANY = 2, 4, 8
NEW_REQUESTS = {
    xs_wire.XS_GET_FEATURE: (b"5\0", 21),
    xs_wire.XS_SET_FEATURE: (b"7\x000\0", 21),
    xs_wire.XS_GET_QUOTA: (b"nodes\0", 22),
    xs_wire.XS_SET_QUOTA: (b"nodes\x001000\0", 22),
}


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the store plays Xen 4.17, .*, not 4.16"):
        Release("4.16")


@pytest.mark.parametrize("release", RELEASES)
def test_a_request_is_known_since_its_release(release: str) -> None:
    world = World(release)
    for kind, (payload, since) in NEW_REQUESTS.items():
        known = Release(release).minor >= since
        assert ask(world.dom0, kind, payload)[0] == (kind if known else xs_wire.XS_ERROR)
        if not known:
            assert ask(world.dom0, kind, payload)[1] == b"ENOSYS\0"


class TestFeatures:
    def test_of_4_21_are_for_dom0(self) -> None:
        world = World("4.21")
        guest = world.guest()
        assert ask(world.dom0, xs_wire.XS_GET_FEATURE, b"") == (xs_wire.XS_GET_FEATURE, b"2\0")
        assert ask(guest, xs_wire.XS_GET_FEATURE, b"")[1] == b"EACCES\0"
        assert ask(world.dom0, xs_wire.XS_SET_FEATURE, b"7\x004\0")[1] == b"EINVAL\0"

    def test_of_4_22_are_told_to_everybody(self) -> None:
        world = World("4.22")
        guest = world.guest()
        assert ask(guest, xs_wire.XS_GET_FEATURE, b"") == (xs_wire.XS_GET_FEATURE, b"14\0")
        assert ask(guest, xs_wire.XS_GET_FEATURE, b"5\0")[1] == b"EACCES\0"
        assert ask(guest, xs_wire.XS_SET_FEATURE, b"6\x002\0")[1] == b"EACCES\0"
        for payload, word in (
            (b"5\x002\0", "EBUSY"),
            (b"77\x002\0", "ENOENT"),
            (b"7\x0016\0", "EINVAL"),
            (b"7x\x002\0", "EINVAL"),
            (b"-1\x002\0", "EINVAL"),
            (b"7\0", "EINVAL"),
        ):
            assert ask(world.dom0, xs_wire.XS_SET_FEATURE, payload)[1] == word.encode() + b"\0"
        assert ask(world.dom0, xs_wire.XS_SET_FEATURE, b"7\x002\0")[1] == b"OK\0"
        assert ask(world.dom0, xs_wire.XS_GET_FEATURE, b"7\0")[1] == b"2\0"
        assert ask(world.client(7), xs_wire.XS_GET_FEATURE, b"")[1] == b"2\0"

    @pytest.mark.parametrize(
        ("release", "features"), [("4.17", 0), ("4.21", ERROR), ("4.22", ERROR | DEPTH | ANY)]
    )
    def test_a_ring_says_what_it_is_offered(self, release: str, features: int) -> None:
        world = World(release)
        page = bytearray(4096)
        ring = GuestRing(memoryview(page), world.server.connect(5))
        ring.start()
        assert struct.unpack_from("=I", page, xs_wire.RING_SERVER_FEATURES_OFFSET)[0] == features

    def test_who_was_not_offered_the_error_field_does_not_find_it_written(self) -> None:
        world = World("4.22")
        ask(world.dom0, xs_wire.XS_SET_FEATURE, b"7\x000\0")
        for domid, error in ((6, xs_wire.XENSTORE_ERROR_PROTO), (7, 0)):
            page = bytearray(4096)
            ring = GuestRing(memoryview(page), world.server.connect(domid))
            ring.start()
            page[:16] = struct.pack("=IIII", 2, 1, 0, 5000)
            struct.pack_into("=I", page, xs_wire.RING_REQ_PROD_OFFSET, 16)
            ring.handle()
            assert ring.failed
            assert struct.unpack_from("=I", page, xs_wire.RING_ERROR_OFFSET)[0] == error


class TestDepth:
    def test_before_4_22_there_is_none(self) -> None:
        assert ask(World("4.21").dom0, xs_wire.XS_WATCH, b"/a\0t\x001\0")[1] == b"EINVAL\0"

    @pytest.mark.parametrize(
        ("depth", "told"),
        [
            (0, ["/a"]),
            (1, ["/a", "/a/b"]),
            (2, ["/a", "/a/b", "/a/b/c"]),
            (9, ["/a", "/a/b", "/a/b/c", "/a/b/c/d"]),
        ],
    )
    def test_is_how_many_levels_below_count(self, depth: int, told: list[str]) -> None:
        dom0 = World("4.22").dom0
        dom0.write("/a/b/c/d", "1")
        assert ask(dom0, xs_wire.XS_WATCH, b"/a\0t\0%d\0" % depth)[1] == b"OK\0"
        assert dom0.next_event(0) is not None
        for path in ("/a", "/a/b", "/a/b/c", "/a/b/c/d", "/ab"):
            dom0.write(path, "2")
        events = []
        while event := dom0.next_event(0):
            events.append(event.path)
        assert events == told
        assert ask(dom0, xs_wire.XS_UNWATCH, b"/a\0t\0")[1] == b"OK\0"
        dom0.write("/a", "3")
        assert dom0.next_event(0) is None

    def test_counts_from_the_root_too(self) -> None:
        dom0 = World("4.22").dom0
        ask(dom0, xs_wire.XS_WATCH, b"/\0t\x001\0")
        assert dom0.next_event(0) is not None
        dom0.write("/a/b", "1")
        dom0.write("/a", "1")
        event = dom0.next_event(0)
        assert event is not None
        assert (event.path, dom0.next_event(0)) == ("/a", None)

    def test_a_negative_one_is_none(self) -> None:
        assert ask(World("4.22").dom0, xs_wire.XS_WATCH, b"/a\0t\0-1\0")[1] == b"EINVAL\0"

    def test_of_a_special_watch_tells_the_domid(self) -> None:
        world = World("4.22")
        dom0 = world.dom0
        for words in (
            b"@releaseDomain\0all\0",
            b"@releaseDomain\0each\x001\0",
            b"@releaseDomain/6\0six\0",
            b"@introduceDomain\0in\x001\0",
        ):
            ask(dom0, xs_wire.XS_WATCH, words)
            assert dom0.next_event(0) is not None

        def told() -> list[tuple[str, str]]:
            events = []
            while event := dom0.next_event(0):
                events.append((event.path, event.token))
            return events

        world.client(6)
        world.client(7)
        assert told() == [("@introduceDomain/6", "in"), ("@introduceDomain/7", "in")]
        world.host.down.add(6)
        world.server.check_domains()
        assert told() == [
            ("@releaseDomain/6", "each"), ("@releaseDomain/6", "six"), ("@releaseDomain", "all"),
        ]  # fmt: skip
        world.release(7)
        assert told() == [("@releaseDomain", "all"), ("@releaseDomain/7", "each")]


class TestQuotas:
    def test_of_4_22_are_each_domains_own(self) -> None:
        world = World("4.22")
        guest = world.guest()
        assert ask(world.dom0, xs_wire.XS_GET_QUOTA, b"")[1] == (
            b"nodes watches outstanding memory soft-memory transactions transaction-nodes node-permissions"
            b" path-max node-size\0"
        )
        for payload in (b"nodes\x005\0", b"5\0watches\x003\0", b"5\0soft-memory\x0077\0"):
            assert ask(world.dom0, xs_wire.XS_SET_QUOTA, payload)[1] == b"OK\0"
        for payload, value in (
            (b"nodes\0", b"5"),
            (b"5\0nodes\0", b"1000"),
            (b"7\0nodes\0", b"5"),
            (b"5\0watches\0", b"3"),
            (b"watches\0", b"128"),
            (b"5\0soft-memory\0", b"77"),
        ):
            assert ask(world.dom0, xs_wire.XS_GET_QUOTA, payload)[1] == value + b"\0"
        for at in range(6):
            guest.write(f"n{at}", "")
        guest.watch("a")
        guest.watch("b")
        assert refusal(lambda: guest.watch("c")) == "ENOSPC"
        newcomer = world.guest(6)
        for at in range(4):
            newcomer.write(f"n{at}", "")
        assert refusal(lambda: newcomer.write("n5", "")) == "ENOSPC"
        for payload, word in (
            (b"none\x005\0", b"EINVAL"),
            (b"77\0nodes\x005\0", b"ENOENT"),
            (b"nodes\0", b"EINVAL"),
            (b"nodes\0-1\0", b"EINVAL"),
            (b"soft-nodes\x005\0", b"EINVAL"),
        ):
            assert ask(world.dom0, xs_wire.XS_SET_QUOTA, payload)[1] == word + b"\0"
        assert ask(guest, xs_wire.XS_GET_QUOTA, b"")[1] == b"EACCES\0"

    def test_of_zero_is_none(self) -> None:
        world = World("4.22")
        guest = world.guest()
        for name in (b"nodes", b"watches", b"transactions", b"node-permissions", b"node-size", b"path-max",
                     b"transaction-nodes", b"memory", b"outstanding"):  # fmt: skip
            assert ask(world.dom0, xs_wire.XS_SET_QUOTA, b"5\0" + name + b"\x000\0")[1] == b"OK\0"
        for at in range(1100):
            guest.write(f"n{at}", "x")
            guest.watch(f"n{at}")
        guest.write("large", "x" * 4000)
        guest.set_perms("large", ["n5", *[f"r{at}" for at in range(9)]])
        for _ in range(20):
            guest.transaction()

    @pytest.mark.parametrize(
        ("release", "watches", "transactions", "permissions", "node_size"),
        [
            ("4.17", 129, 11, 5, 2047),
            ("4.18", 129, 11, 5, 2048),
            ("4.21", 129, 11, 5, 2048),
            ("4.22", 127, 9, 4, 2047),
        ],
    )
    def test_say_what_they_mean_in_their_release(
        self, release: str, watches: int, transactions: int, permissions: int, node_size: int
    ) -> None:
        world = World(release)
        guest = world.guest()
        for at in range(watches):
            guest.watch(f"n{at}")
        assert refusal(lambda: guest.watch("more")) == ("E2BIG" if release != "4.22" else "ENOSPC")
        for _ in range(transactions):
            guest.transaction()
        assert refusal(guest.transaction) == "ENOSPC"
        room = node_size - (24 if release == "4.17" else 16) - 8
        guest.write("a", "x" * room)
        assert refusal(lambda: guest.write("a", "x" * (room + 1))) == "ENOSPC"
        guest.write("b", "")
        guest.set_perms("b", [f"n{5 + at % 5}" for at in range(permissions)])
        assert (
            refusal(lambda: guest.set_perms("b", [f"n{5 + at % 5}" for at in range(permissions + 1)]))
            == "ENOSPC"
        )

    def test_do_not_hold_dom0_back_since_4_18(self) -> None:
        long = b"/" + b"x" * 2100
        for release, word in (("4.17", b"EINVAL"), ("4.18", b"OK")):
            world = World(release)
            assert ask(world.dom0, xs_wire.XS_WRITE, long + b"\0")[1] == word + b"\0"
            world.guest()
            world.server.quota.memory = world.domain().memory + 100
            written = ask(world.dom0, xs_wire.XS_WRITE, b"/local/domain/5/n\0" + b"x" * 200)[1]
            assert written == (b"EIO\0" if release == "4.17" else b"OK\0")
            assert world.dom0.exists("/local/domain/5/n") == (release != "4.17")
            assert world.server.connect(5).may_ask() == (release == "4.17")


class TestPermissions:
    def test_for_any_domain_since_4_22(self) -> None:
        for release, allowed in (("4.21", False), ("4.22", True)):
            world = World(release)
            world.dom0.write("/shared", "1")
            world.dom0.set_perms("/shared", ["n0", "r32757"])
            guest = world.guest()
            if allowed:
                assert guest.read("/shared") == b"1"
            else:
                assert refusal(lambda guest=guest: guest.read("/shared")) == "EACCES"  # type: ignore[misc]
            assert [str(entry) for entry in world.dom0.get_perms("/shared")] == ["n0", "r32757"]

    def test_of_special_paths_can_be_read_since_4_18(self) -> None:
        assert ask(World("4.17").dom0, xs_wire.XS_GET_PERMS, b"@releaseDomain\0")[1] == b"EINVAL\0"
        world = World("4.18")
        guest = world.guest()
        world.dom0.set_perms("@releaseDomain", ["n0", "r6"])
        assert ask(world.dom0, xs_wire.XS_GET_PERMS, b"@releaseDomain\0")[1] == b"n0\0r6\0"
        assert ask(guest, xs_wire.XS_GET_PERMS, b"@releaseDomain\0")[1] == b"EACCES\0"
        assert ask(world.client(6), xs_wire.XS_GET_PERMS, b"@releaseDomain\0")[1] == b"n0\0r6\0"
        assert refusal(lambda: guest.set_perms("@releaseDomain", ["n0", "r5"])) == "EACCES"
        assert ask(world.dom0, xs_wire.XS_GET_PERMS, b"@nothing\0")[1] == b"ENOENT\0"

    @pytest.mark.parametrize(("release", "are_nodes"), [("4.17", False), ("4.18", True)])
    def test_of_special_paths_are_those_of_nodes_since_4_18(self, release: str, are_nodes: bool) -> None:
        world = World(release)
        dom0 = world.dom0
        watch = dom0.watch("@releaseDomain")
        assert watch.next(0) is not None
        dom0.set_perms("@releaseDomain", ["n0", "r5"])
        assert (watch.next(0) is not None) == are_nodes
        assert watch.next(0) is None
        with dom0.transaction() as transaction:
            transaction.set_perms("@introduceDomain", ["n0", "r5"])
            transaction.set_perms("@releaseDomain", ["n0"])
            assert watch.next(0) is None
        assert (watch.next(0) is not None) == are_nodes
        # What cannot be done to them, whatever they are: a node's contents.
        for kind in (xs_wire.XS_READ, xs_wire.XS_WRITE, xs_wire.XS_RM, xs_wire.XS_MKDIR):
            assert ask(dom0, kind, b"@releaseDomain\0")[1] == b"EINVAL\0"

    @pytest.mark.parametrize(("release", "told"), [("4.17", False), ("4.18", True), ("4.22", False)])
    def test_of_special_paths_concern_watches_on_the_root(self, release: str, told: bool) -> None:
        world = World(release)
        watch = world.dom0.watch("/")
        assert watch.next(0) is not None
        world.dom0.set_perms("@releaseDomain", ["n0", "r5"])
        event = watch.next(0)
        assert (event.path if event else "") == ("@releaseDomain" if told else "")

    @pytest.mark.parametrize("release", ["4.17", "4.18"])
    def test_of_special_paths_go_back_to_dom0_with_who_had_them(self, release: str) -> None:
        world = World(release)
        guest = world.guest()
        world.dom0.set_perms("@releaseDomain", ["n5", "r6"])
        guest.set_perms("@releaseDomain", ["b5"])
        world.release(5)
        assert check_tree(world.server) == []
        assert refusal(lambda: world.client(5).set_perms("@releaseDomain", ["n5"])) == "EACCES"
        world.dom0.set_perms("@releaseDomain", ["n0"])


def test_a_guest_that_was_held_up_by_its_memory_goes_on_when_there_is_some() -> None:
    world = World()
    guest = world.introduced(5)
    send(guest, xs_wire.XS_WRITE, b"n\0" + b"x" * 1000)
    assert len(replies(guest)) == 1
    for give in (
        lambda: world.dom0.rm("/local/domain/5/n"),
        lambda: world.dom0.control("quota", "set", "memory", "5000"),
    ):
        world.dom0.write("/local/domain/5/n", "x" * 1000)
        world.dom0.control("quota", "set", "memory", "500")
        send(guest, xs_wire.XS_GET_DOMAIN_PATH, b"5\0")
        world.server.take_turns()
        assert replies(guest) == []
        give()
        world.server.take_turns()
        assert len(replies(guest)) == 1
        world.dom0.control("quota", "set", "memory", "5000")
