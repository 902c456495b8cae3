"""What transactions are refused, at once or at their end: the releases differ."""

from __future__ import annotations

import pytest

from tests.store.world import World, refusal


@pytest.mark.parametrize(("release", "at_once"), [("4.17", False), ("4.18", True)])
def test_too_many_nodes_are_refused(release: str, at_once: bool) -> None:
    world = World(release)
    guest = world.guest()
    world.server.quota.nodes = world.domain().nodes + 2
    transaction = guest.transaction()
    transaction.write("a", "")
    transaction.write("b", "")
    if at_once:
        assert refusal(lambda: transaction.write("c", "")) == "ENOSPC"
    else:
        transaction.write("c", "")
        assert refusal(transaction.commit) == "ENOSPC"


@pytest.mark.parametrize(("release", "word"), [("4.17", "EAGAIN"), ("4.18", "ENOMEM"), ("4.22", "EAGAIN")])
def test_nodes_that_others_removed_are_a_conflict(release: str, word: str) -> None:
    world = World(release)
    guest = world.guest()
    guest.write("a/b", "")
    transaction = guest.transaction()
    transaction.rm("a")
    guest.rm("a")
    world.dom0.rm("/local/domain/5")
    assert refusal(transaction.commit) == word


@pytest.mark.parametrize(("release", "word"), [("4.17", "ENOMEM"), ("4.18", "ENOSPC"), ("4.22", "ENOMEM")])
def test_nodes_of_a_domain_that_went_are_a_conflict(release: str, word: str) -> None:
    world = World(release)
    world.guest()
    guest = world.guest(6)
    world.dom0.write("/local/domain/5/n", "")
    world.dom0.set_perms("/local/domain/5/n", ["b5"])
    transaction = guest.transaction()
    transaction.write("n", "")
    transaction.rm("/local/domain/5/n")
    world.host.there.remove(5)
    world.release(5)
    assert refusal(transaction.commit) == word


@pytest.mark.parametrize(("release", "word"), [("4.17", ""), ("4.18", "ENOMEM")])
def test_a_node_whose_owner_went_is_not_given_away(release: str, word: str) -> None:
    world = World(release)
    world.guest()
    transaction = world.dom0.transaction()
    assert transaction.exists("/local/domain/5")
    world.release(5)
    if word:
        assert refusal(lambda: transaction.set_perms("/local/domain/5", ["n0"])) == word
    else:
        transaction.set_perms("/local/domain/5", ["n0"])
    assert refusal(transaction.commit) == "EAGAIN"
