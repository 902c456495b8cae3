"""What guests may do, and may not: permissions, quotas, domains that go. The holes of others are in `xsa`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.world import Clock, Host, World, refusal
from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec
from xentool.store.client import StoreClient
from xentool.store.consistency import check_tree
from xentool.store.local import LocalTransport
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(host: Host, clock: Clock) -> Iterator[Server]:
    server = Server(host, clock)
    yield server
    assert check_tree(server) == []
    for domain in server.domains.all():
        assert domain.memory >= 0
        assert domain.outstanding >= 0
        assert domain.watches >= 0


@pytest.fixture
def dom0(server: Server) -> StoreClient:
    return client(server, 0)


@pytest.fixture
def guest(server: Server, dom0: StoreClient) -> StoreClient:
    """Domain 5, at home in /local/domain/5."""
    return at_home(server, dom0, 5)


def client(server: Server, domid: int) -> StoreClient:
    return StoreClient(transport=LocalTransport(server.connect(domid)))


def at_home(server: Server, dom0: StoreClient, domid: int) -> StoreClient:
    guest = client(server, domid)
    dom0.mkdir(f"/local/domain/{domid}")
    dom0.set_perms(f"/local/domain/{domid}", [f"n{domid}"])
    return guest


class TestPermissions:
    def test_what_others_own_is_closed(self, dom0: StoreClient, guest: StoreClient) -> None:
        dom0.write("/secret", "1")
        for call in (
            lambda: guest.read("/secret"),
            lambda: guest.write("/secret", "2"),
            lambda: guest.directory("/"),
            lambda: guest.rm("/secret"),
            lambda: guest.get_perms("/secret"),
            lambda: guest.set_perms("/secret", ["b5"]),
            lambda: guest.mkdir("/secret/below"),
        ):
            assert refusal(call) == "EACCES"
        assert dom0.read("/secret") == b"1"

    def test_one_may_not_even_learn_what_is_there(self, dom0: StoreClient, guest: StoreClient) -> None:
        dom0.mkdir("/closed")
        assert refusal(lambda: guest.read("/closed/none")) == "EACCES"
        dom0.set_perms("/closed", ["r0"])
        assert refusal(lambda: guest.read("/closed/none")) == "ENOENT"
        assert refusal(lambda: guest.write("/closed/none", "")) == "EACCES"

    @pytest.mark.parametrize(
        ("entry", "may_read", "may_write"),
        [
            ("n5", False, False),
            ("r5", True, False),
            ("w5", False, True),
            ("b5", True, True),
            ("b6", False, False),
        ],
    )
    def test_a_grant_is_what_its_letter_says(
        self, dom0: StoreClient, guest: StoreClient, entry: str, *, may_read: bool, may_write: bool
    ) -> None:
        dom0.write("/shared", "1")
        dom0.set_perms("/shared", ["n0", entry])
        if may_read:
            assert guest.read("/shared") == b"1"
        else:
            assert refusal(lambda: guest.read("/shared")) == "EACCES"
        if may_write:
            guest.write("/shared", "2")
        else:
            assert refusal(lambda: guest.write("/shared", "2")) == "EACCES"
        assert dom0.read("/shared") == (b"2" if may_write else b"1")

    def test_the_first_entry_that_names_a_domain_counts(self, dom0: StoreClient, guest: StoreClient) -> None:
        dom0.write("/shared", "1")
        dom0.set_perms("/shared", ["b0", "n5", "b5"])
        assert refusal(lambda: guest.read("/shared")) == "EACCES"

    def test_what_one_makes_one_owns(self, dom0: StoreClient, guest: StoreClient) -> None:
        dom0.mkdir("/open")
        dom0.set_perms("/open", ["n0", "b5", "r6"])
        guest.write("/open/a/b", "1")
        assert [str(entry) for entry in dom0.get_perms("/open/a/b")] == ["n5", "b5", "r6"]

    def test_a_device_model_has_its_targets_rights(
        self, server: Server, dom0: StoreClient, guest: StoreClient
    ) -> None:
        stub = at_home(server, dom0, 6)
        guest.write("mine", "1")
        assert refusal(lambda: stub.read("/local/domain/5/mine")) == "EACCES"
        dom0.set_target(6, 5)  # type: ignore[arg-type]
        stub.write("/local/domain/5/mine", "2")
        assert guest.read("mine") == b"2"
        dom0.release(5)  # type: ignore[arg-type]
        dom0.write("/local/domain/5/mine", "3")
        client(server, 5)
        dom0.set_perms("/local/domain/5/mine", ["n5"])
        assert refusal(lambda: stub.read("/local/domain/5/mine")) == "EACCES"

    def test_privileged_requests_are_for_dom0(self, guest: StoreClient) -> None:
        for call in (
            lambda: guest.introduce(6, 1, 1),  # type: ignore[arg-type]
            lambda: guest.release(6),  # type: ignore[arg-type]
            lambda: guest.resume(6),  # type: ignore[arg-type]
            lambda: guest.set_target(5, 0),  # type: ignore[arg-type]
            lambda: guest.is_introduced(0),  # type: ignore[arg-type]
            lambda: guest.control("help"),
        ):
            assert refusal(call) == "EACCES"


class TestQuotas:
    def test_nodes(self, server: Server, dom0: StoreClient, guest: StoreClient) -> None:
        server.quota.nodes = 10
        for at in range(9):
            guest.write(f"n{at}", "")
        assert refusal(lambda: guest.write("more", "")) == "ENOSPC"
        guest.write("n0", "still")
        dom0.write("/local/domain/5/dom0s", "")  # the guest's all the same: it inherits the owner
        guest.rm("n0")
        assert refusal(lambda: guest.write("more", "")) == "ENOSPC"
        guest.rm("n1")
        guest.write("more", "")

    def test_a_path_of_many_nodes_is_made_whole_or_not_at_all(
        self, server: Server, guest: StoreClient
    ) -> None:
        server.quota.nodes = 5
        assert refusal(lambda: guest.write("a/b/c/d/e", "")) == "ENOSPC"
        assert guest.directory("/local/domain/5") == []
        guest.write("a/b/c/d", "")

    def test_nodes_in_a_transaction(self, server: Server, guest: StoreClient) -> None:
        server.quota.nodes = 5
        tx = guest.transaction()
        for at in range(6):
            tx.write(f"n{at}", "")
        assert refusal(tx.commit) == "ENOSPC"
        assert guest.directory("/local/domain/5") == []

    def test_size_of_a_node(self, guest: StoreClient) -> None:
        guest.write("a", "x" * (2047 - 24 - 8))
        assert refusal(lambda: guest.write("a", "x" * (2048 - 24 - 8))) == "ENOSPC"
        assert len(guest.read("a")) == 2015

    def test_watches_transactions_permissions(self, guest: StoreClient) -> None:
        for at in range(129):
            guest.watch(f"n{at}")
        assert refusal(lambda: guest.watch("more")) == "E2BIG"
        for _ in range(11):
            guest.transaction()
        assert refusal(guest.transaction) == "ENOSPC"
        guest.mkdir("a")
        guest.set_perms("a", ["n5", "r1", "r2", "r3", "r4"])
        assert refusal(lambda: guest.set_perms("a", ["n5", "r1", "r2", "r3", "r4", "r6"])) == "ENOSPC"

    def test_a_transactions_copies_are_charged_and_given_back(
        self, server: Server, guest: StoreClient
    ) -> None:
        domain = server.domains.find(5)
        assert domain is not None
        guest.write("a", "x" * 1000)
        before = domain.memory
        tx = guest.transaction()
        tx.read("a")
        assert domain.memory > before + 1000
        tx.abort()
        assert domain.memory == before


class TestDomainsThatGo:
    def test_a_grant_before_the_introduction_counts(self, server: Server, dom0: StoreClient) -> None:
        dom0.write("/granted", "1")
        dom0.set_perms("/granted", ["n0", "r5"])
        assert client(server, 5).read("/granted") == b"1"

    def test_a_transaction_that_spans_the_change_carries_no_rights_over(
        self, server: Server, dom0: StoreClient, guest: StoreClient
    ) -> None:
        dom0.write("/granted", "1")
        tx = dom0.transaction()
        tx.set_perms("/granted", ["n0", "r5"])
        dom0.release(5)  # type: ignore[arg-type]
        heir = client(server, 5)
        tx.commit()
        assert refusal(lambda: heir.read("/granted")) == "EACCES"

    def test_its_nodes_go_and_who_watches_is_told_xsa_419(
        self, server: Server, dom0: StoreClient, guest: StoreClient, host: Host
    ) -> None:
        guest.write("a/b", "1")
        dom0.write("/local/domain/5/dom0s", "1")
        dom0.mkdir("/open")
        dom0.set_perms("/open", ["b0"])
        guest.write("/open/left", "1")
        inner = dom0.watch("/local/domain/5/a/b")
        special = dom0.watch("@releaseDomain")
        assert inner.next(0) is not None
        assert special.next(0) is not None
        dom0.release(5)  # type: ignore[arg-type]
        assert dom0.directory("/local/domain") == []
        assert dom0.directory("/open") == []
        assert [event.path for event in inner.events(0)] == ["/local/domain/5/a/b"]
        assert special.next(0) is not None
        assert host.released == [5]
        assert server.domains.find(5) is None

    def test_its_requests_under_way_do_not_count_against_its_heir(
        self, server: Server, dom0: StoreClient, guest: StoreClient
    ) -> None:
        lazy = server.connect(6)
        dom0.set_perms("/local/domain/5", ["r5"])
        lazy.feed(codec.encode(xs_wire.XS_WATCH, 1, 0, b"/local/domain/5\0t\0"))
        guest.write("a", "1")
        dom0.release(5)  # type: ignore[arg-type]
        heir = server.connect(5)
        lazy.take(1 << 20)
        assert heir.domain is not None
        assert heir.domain.outstanding == 0

    def test_the_root_outlives_its_owner(self, server: Server, dom0: StoreClient, guest: StoreClient) -> None:
        dom0.set_perms("/", ["b5"])
        dom0.release(5)  # type: ignore[arg-type]
        assert [str(entry) for entry in dom0.get_perms("/")] == ["b0"]

    def test_check_domains_finds_who_is_gone_and_who_is_down(
        self, server: Server, dom0: StoreClient, guest: StoreClient, host: Host
    ) -> None:
        client(server, 6)
        special = dom0.watch("@releaseDomain")
        assert len(list(special.events(0))) == 1
        host.down.add(6)
        server.check_domains()
        assert len(list(special.events(0))) == 1
        server.check_domains()
        assert len(list(special.events(0))) == 0
        dom0.resume(6)  # type: ignore[arg-type]
        server.check_domains()
        assert len(list(special.events(0))) == 1
        host.there.discard(5)
        server.check_domains()
        assert len(list(special.events(0))) == 1
        assert not dom0.is_introduced(5)  # type: ignore[arg-type]
        assert dom0.is_introduced(6)  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="the connection was ended"):
            guest.read("x")

    def test_introduce_tells_the_host_and_starts_clean(
        self, server: Server, dom0: StoreClient, host: Host
    ) -> None:
        special = dom0.watch("@introduceDomain")
        assert special.next(0) is not None
        dom0.introduce(5, 77, 3)  # type: ignore[arg-type]
        assert host.introduced == [(5, 77, 3)]
        assert special.next(0) is not None
        client(server, 5).watch("x")
        dom0.introduce(5, 78, 4)  # type: ignore[arg-type]
        assert special.next(0) is None
        assert server.connect(5).watches == {}
        assert refusal(lambda: dom0.introduce(44, 1, 1)) == "EINVAL"  # type: ignore[arg-type]
        assert refusal(lambda: dom0.introduce(0, 1, 1)) == "EINVAL"  # type: ignore[arg-type]


def test_a_node_that_cannot_be_given_away_stays_counted() -> None:
    """DOMID_ANY may be named since 4.22, and no domain that owns nodes."""
    world = World("4.22")
    world.dom0.write("/x", "1")
    assert refusal(lambda: world.dom0.set_perms("/x", ["b32757"])) == "ENOMEM"
    world.check()


class TestHostileBytes:
    @pytest.mark.parametrize("kind", [*range(30), 0xFFFF])
    def test_no_payload_breaks_an_operation(self, server: Server, dom0: StoreClient, kind: int) -> None:
        at_home(server, dom0, 5)
        for domid in (0, 5):
            connection = server.connect(domid)
            for payload in (
                b"", b"\0", b"\0\0", b"/", b"/\0", b"x", b"\0" * 4096, b"/" * 4096, b"\xff" * 100, b"T\0",
                b"/\x00-1\0", b"@\0t\0", b"/a\0n99999999999999999999999\0", b"-1\0-1\0-1\0", b"quota\0set\0",
                b"a\0b\0c\0d\0", b"/\x0099999999999999999999999999\0", b"a" * 3000 + b"\0n5\0",
            ):  # fmt: skip
                for tx_id in (0, 1, 0xFFFFFFFF):
                    connection.feed(codec.encode(kind, 1, tx_id, payload))
                    decoder = codec.Decoder()
                    answers = decoder.feed(connection.take(1 << 20))
                    assert sum(answer[0] != xs_wire.XS_WATCH_EVENT for answer in answers) == 1
                    assert decoder.partial_bytes == 0


def test_an_event_that_comes_later_may_expire_earlier() -> None:
    world = World()
    world.dom0.set_perms("/", ["r0"])
    guests = [world.server.connect(5), world.server.connect(6)]
    for guest, seconds in zip(guests, (20.0, 5.0), strict=True):
        guest.feed(codec.encode(xs_wire.XS_WATCH, 1, 0, b"/only/%d\0t\0" % guest.domid))
        guest.take(4096)
        world.server.quota.event_seconds = seconds
        world.dom0.write(f"/only/{guest.domid}", "1")
    assert world.server.handle_time() == pytest.approx(5.0)
    world.clock.now += 5
    assert world.server.handle_time() == pytest.approx(15.0)
    assert [bool(guest.queued_bytes) for guest in guests] == [True, False]
