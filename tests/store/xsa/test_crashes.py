"""What brought a daemon down, or left it half-way: XSA-418, 421, 481, 484."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.store.world import ask, refusal
from xentool.abi import xs_wire

if TYPE_CHECKING:
    from tests.store.world import World


def test_xsa_418_depth_is_no_recursion(world: World) -> None:
    path = "/a" * 1023
    world.dom0.write(path, "1")
    assert world.dom0.control("check") == "OK"
    world.dom0.rm("/a")
    with world.dom0.transaction() as tx:
        tx.write(path, "1")
        tx.rm("/a")
    assert world.dom0.directory("/") == ["tool"]


def test_xsa_421_deleting_in_a_transaction_what_was_made_in_it(world: World) -> None:
    guest = world.guest()
    for _ in range(3):
        tx = guest.transaction()
        tx.write("a/b/c", "1")
        tx.write("z", "1")
        tx.rm("a/b")
        tx.rm("a")
        tx.commit()
    assert world.domain().nodes == 2
    assert guest.directory("/local/domain/5") == ["z"]


def test_xsa_481_the_home_of_nobody_is_no_path(world: World) -> None:
    guest = world.guest()
    for kind, rest in ((xs_wire.XS_READ, b""), (xs_wire.XS_WRITE, b"1"), (xs_wire.XS_RM, b"")):
        assert ask(guest, kind, b"/local/domain/\0" + rest) == (xs_wire.XS_ERROR, b"EINVAL\0")
    assert ask(guest, xs_wire.XS_WATCH, b"/local/domain/\0t\0") == (xs_wire.XS_ERROR, b"EINVAL\0")
    guest.write("works", "1")


def test_xsa_484_reset_watches_inside_a_transaction_ends_that_as_well(world: World) -> None:
    guest = world.guest()
    before = world.domain().memory
    tx, other = guest.transaction(), guest.transaction()
    tx.write("a", "1")
    other.write("b", "1")
    assert ask(guest, xs_wire.XS_RESET_WATCHES, b"\0", tx.tx_id) == (xs_wire.XS_RESET_WATCHES, b"OK\0")
    assert refusal(tx.commit) == "ENOENT"
    assert refusal(other.commit) == "ENOENT"
    assert world.server.rate.open_transactions == 0
    assert world.domain().memory == before
    guest.write("b", "1")
