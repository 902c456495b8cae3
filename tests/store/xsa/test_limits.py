"""What one client can use up, or send: XSA-72, 206, 323, 324, 326, 330."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.world import ask, refusal, replies, send
from xentool.abi import xs_wire
from xentool.errors import StoreError

if TYPE_CHECKING:
    from tests.store.world import World


def test_xsa_72_an_oversize_reply_is_e2big(world: World) -> None:
    for at in range(100):
        world.dom0.mkdir(f"/big/{at:03}{'x' * 60}")
    assert ask(world.dom0, xs_wire.XS_DIRECTORY, b"/big\0") == (xs_wire.XS_ERROR, b"E2BIG\0")
    assert len(world.dom0.directory("/big")) == 100


def test_xsa_206_who_writes_all_the_time_does_not_starve_a_transaction(world: World) -> None:
    guest = world.introduced(5)
    world.dom0.write("/shared", "0")
    world.dom0.set_perms("/shared", ["n0", "b5"])
    for attempt in range(1000):  # each takes a millisecond
        tx = world.dom0.transaction()
        tx.write("/result", tx.read("/shared"))
        for _ in range(5):
            send(guest, xs_wire.XS_WRITE, b"/shared\0%d" % attempt)
            guest.take(4096)
        world.clock.now += 0.001
        world.server.handle_time()
        world.server.take_turns()
        try:
            tx.commit()
        except StoreError as error:
            assert error.errno_name == "EAGAIN"  # noqa: PT017 - how often is what counts
        else:
            break
    assert attempt < 20
    assert any("domain 5 is slowed down" in line for line in world.lines)


def test_xsa_206_who_disturbs_nobody_is_not_slowed_down(world: World) -> None:
    guest = world.introduced(5)
    for at in range(500):
        send(guest, xs_wire.XS_WRITE, b"n\0%d" % at)
        assert len(replies(guest)) == 1


def test_xsa_206_a_guest_with_much_to_do_waits_for_the_others(world: World) -> None:
    first, second = world.introduced(5), world.introduced(6)
    world.server.quota.outstanding = 1000
    many = b"".join(_frame(xs_wire.XS_WRITE, b"n\0%d" % at) for at in range(100))
    first.feed(many)
    second.feed(many)
    for turn in range(1, 13):
        for domid in (5, 6):
            assert world.server.tree.nodes[b"/local/domain/%d/n" % domid].value == b"%d" % (8 * turn - 1)
        world.server.take_turns()
    assert not world.server.waiting
    assert len(replies(first)) == len(replies(second)) == 100


def _frame(kind: int, payload: bytes) -> bytes:
    from xentool.store.codec import encode

    return encode(kind, 1, 0, payload)


def test_xsa_323_a_path_has_one_length_however_it_is_named(world: World) -> None:
    dom0, guest = world.dom0, world.guest()
    longest = f"{'a' * 100}/" * 20 + "b" * 28
    assert len(longest) == 2048
    guest.write(longest, "1")
    assert dom0.read(f"/local/domain/5/{longest}") == b"1"
    dom0.write(f"/local/domain/5/{longest[:-1]}c", "1")
    assert len(dom0.tree("/local/domain/5")) == 23
    payload = longest.encode() + b"b\0"
    for path in (payload, b"/local/domain/5/" + payload):
        assert ask(guest, xs_wire.XS_WRITE, path)[1] == b"EINVAL\0"
        assert ask(guest, xs_wire.XS_WATCH, path + b"t\0")[1] == b"EINVAL\0"
    guest.rm("a" * 100)


def test_xsa_324_an_event_too_long_for_the_wire_is_dropped(world: World) -> None:
    guest = world.guest()
    watch = guest.watch("data", "t" * 3000)
    assert watch.next(0) is not None
    world.dom0.write("/local/domain/5/data/" + "x" * 1200, "1")
    world.dom0.write("/local/domain/5/data/y", "1")
    world.dom0.set_perms("/local/domain/5/data", ["n5"])
    assert [event.path for event in watch.events(0)] == ["data/y", "data"]


def test_xsa_326_the_same_event_does_not_queue_up_twice(world: World) -> None:
    world.guest()
    guest = world.server.connect(5)
    send(guest, xs_wire.XS_WATCH, b"data\0t\0")
    guest.take(4096)
    for at in range(1000):
        world.dom0.write("/local/domain/5/data", str(at))
    assert guest.queued_bytes == 16 + len(b"data\0t\0")


def test_xsa_326_events_that_nobody_reads_expire(world: World) -> None:
    guest = world.server.connect(5)
    send(guest, xs_wire.XS_WATCH, b"/\0t\0")
    guest.take(4096)
    world.dom0.set_perms("/", ["r0"])
    world.dom0.write("/one", "1")
    assert world.server.handle_time() == pytest.approx(20.0)
    world.clock.now += 10
    world.dom0.write("/two", "1")
    world.clock.now += 10
    assert world.server.handle_time() == pytest.approx(10.0)
    world.clock.now += 10
    assert world.server.handle_time() is None
    assert guest.queued_bytes == 0
    assert world.domain().memory == len(b"/t")


def test_xsa_326_requests_wait_while_replies_do(world: World) -> None:
    world.guest()
    guest = world.server.connect(5)
    for at in range(50):
        send(guest, xs_wire.XS_WRITE, b"n%d\0" % at)
    assert len(world.dom0.directory("/local/domain/5")) == 20
    assert not guest.may_ask()
    count = 0
    while taken := replies(guest, 4096):
        count += len(taken)
    assert count == 50
    assert len(world.dom0.directory("/local/domain/5")) == 50


def test_xsa_326_events_that_others_do_not_read_hold_up_their_cause(world: World) -> None:
    lazy = world.server.connect(6)
    busy = world.guest()
    world.dom0.set_perms("/local/domain/5", ["r5"])
    send(lazy, xs_wire.XS_WATCH, b"/local/domain/5\0t\0")
    lazy.take(4096)
    for at in range(20):
        busy.write(f"n{at}", "")
    assert world.domain().outstanding == 20
    assert not world.server.connect(5).may_ask()
    world.dom0.write("/tool/works", "1")
    lazy.take(1 << 20)
    assert world.domain().outstanding == 0
    busy.write("again", "")


def test_xsa_326_memory_is_counted_and_ends(world: World) -> None:
    guest = world.guest()
    before = world.domain().memory
    world.server.quota.memory = 20_000
    written = 0
    while written < 100:
        try:
            guest.write(f"n{written}", "x" * 1900)
        except StoreError as error:
            assert error.errno_name == "EIO"  # noqa: PT017 - how many go is what is counted
            break
        written += 1
    assert written in (8, 9, 10)
    assert world.domain().memory < 20_000
    for at in range(written):
        guest.rm(f"n{at}")
    assert world.domain().memory == before


def test_xsa_326_a_transaction_looks_at_so_many_nodes_only(world: World) -> None:
    world.server.quota.transaction_nodes = 10
    tx = world.guest().transaction()
    assert tx.read_many([f"n{at}" for at in range(9)]) == [None] * 9
    assert refusal(lambda: tx.read("more")) == "ENOSPC"
    assert refusal(tx.commit) == "ENOMEM"


def test_xsa_330_reset_watches_forgets_them_in_every_index(world: World) -> None:
    guest = world.guest()
    before = world.domain().memory
    for _ in range(10):
        for at in range(100):
            guest.watch(f"n{at}")
        guest.reset_watches()
    assert (world.domain().watches, world.domain().memory) == (0, before)
    assert world.server.watches.count() == 0
    guest.write("n1", "1")
    assert guest.next_event(0) is None
