"""Domains that misbehave, go, and come back under the same number: XSA-322, 325, 417, 419, 483."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.store.world import refusal, replies, send
from xentool.abi import xs_wire
from xentool.store import codec

if TYPE_CHECKING:
    from tests.store.world import World


def test_xsa_322_nobody_inherits_a_domids_rights(world: World) -> None:
    dom0, guest = world.dom0, world.guest()
    dom0.write("/granted", "1")
    dom0.set_perms("/granted", ["n0", "b5"])
    assert guest.read("/granted") == b"1"
    world.release(5)
    heir = world.client(5)
    assert refusal(lambda: heir.read("/granted")) == "EACCES"
    dom0.write("/granted", "2")  # rewriting the node does not renew the grant
    dom0.mkdir("/granted/child")
    assert refusal(lambda: heir.read("/granted")) == "EACCES"
    assert refusal(lambda: heir.read("/granted/child")) == "EACCES"
    dom0.set_perms("/granted", ["n0", "r5"])
    assert heir.read("/granted") == b"2"


def test_xsa_322_special_watches_are_not_inherited_either(world: World) -> None:
    world.guest()
    world.dom0.set_perms("@releaseDomain", ["n0", "r5"])
    world.release(5)
    watch = world.client(5).watch("@releaseDomain")
    assert watch.next(0) is not None
    world.client(6)
    world.release(6)
    assert watch.next(0) is None


def test_xsa_322_a_transaction_that_outlives_a_domain_renews_no_grant(world: World) -> None:
    dom0, _ = world.dom0, world.guest()
    dom0.write("/granted", "1")
    dom0.set_perms("/granted", ["n0", "b5"])
    with dom0.transaction() as transaction:
        transaction.write("/granted", "2")
        world.release(5)
        heir = world.client(5)
    assert dom0.read("/granted") == b"2"
    assert refusal(lambda: heir.read("/granted")) == "EACCES"


def test_xsa_417_a_grant_is_not_renewed_by_who_writes_the_node_next(world: World) -> None:
    dom0, guest = world.dom0, world.guest()
    dom0.write("/granted", "1")
    dom0.set_perms("/granted", ["n0", "b5"])
    assert guest.read("/granted") == b"1"
    world.release(5)
    # The host has a new domain 5 already, which the store has not heard of.
    assert world.server.domains.find(5) is None
    dom0.write("/granted", "2")
    heir = world.client(5)
    assert refusal(lambda: heir.read("/granted")) == "EACCES"


def test_xsa_417_a_grant_to_nobody_stays_one(world: World) -> None:
    world.dom0.write("/granted", "1")
    world.dom0.set_perms("/granted", ["n0", "b77"])
    world.host.there.add(77)
    world.client(6)  # others come and go meanwhile
    world.dom0.write("/granted", "2")  # which makes the node younger, and must not make the grant
    heir = world.client(77)
    assert refusal(lambda: heir.read("/granted")) == "EACCES"


def test_xsa_419_a_dead_domains_nodes_go_wherever_they_are(world: World) -> None:
    dom0, guest = world.dom0, world.guest()
    guest.write("a/b", "1")
    dom0.mkdir("/open")
    dom0.set_perms("/open", ["b0"])
    guest.write("/open/left/there", "1")
    world.release(5)
    assert dom0.directory("/local/domain") == []
    assert dom0.directory("/open") == []
    assert world.server.domains.find(0).nodes == len(world.server.tree.nodes)  # type: ignore[union-attr]


def test_xsa_483_an_heirs_quota_begins_at_nothing(world: World) -> None:
    world.dom0.mkdir("/open")
    world.dom0.set_perms("/open", ["b0"])
    world.server.quota.nodes = 20
    guest = world.guest()
    for _ in range(3):
        for at in range(18):
            guest.write(f"/open/n{at}", "x" * 100)
        guest.watch("a")
        world.release(5)
        world.dom0.rm("/local/domain/5")
        guest = world.guest()
    domain = world.domain()
    assert (domain.nodes, domain.watches, domain.outstanding) == (1, 0, 0)
    assert domain.memory < 100


def test_xsa_420_no_length_is_negative(world: World) -> None:
    for domid, length in enumerate((4097, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF), 1):
        guest = world.server.connect(domid)
        guest.feed(codec.HEADER.pack(xs_wire.XS_READ, 1, 0, length) + b"/\0" * 20)
        assert f"{length:,} bytes" in guest.failed
        assert replies(guest) == []
        # And it stays so: the bytes are not looked at again and again.
        send(guest, xs_wire.XS_GET_DOMAIN_PATH, b"5\0")
        assert replies(guest) == []


def test_xsa_325_a_bad_client_is_ignored_and_its_domain_lives_on(world: World) -> None:
    special = world.dom0.watch("@releaseDomain")
    guest = world.server.connect(5)
    send(guest, xs_wire.XS_WATCH, b"@releaseDomain\0t\0")
    assert special.next(0) is not None
    guest.feed(codec.HEADER.pack(xs_wire.XS_READ, 1, 0, 5000) + b"x" * 50)
    assert guest.failed
    assert (guest.queued_bytes, guest.watches) == (0, {})
    send(guest, xs_wire.XS_READ, b"/\0")
    assert guest.take(4096) == b""
    # Nobody is told before the domain is really gone; then everybody is.
    assert special.next(0) is None
    assert world.dom0.is_introduced(5)  # type: ignore[arg-type]
    world.host.there.discard(5)
    world.server.check_domains()
    assert special.next(0) is not None
