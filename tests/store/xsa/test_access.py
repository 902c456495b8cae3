"""Who may see and change what: XSA-115, XSA-352, XSA-353, XSA-417, XSA-322.

Each test is named in `tests.store.xsa.faults`, with a fault of ours that it must find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.store.world import refusal

if TYPE_CHECKING:
    from tests.store.world import World


def test_xsa_115_one_is_not_told_of_what_one_may_not_read(world: World) -> None:
    dom0, guest = world.dom0, world.guest()
    dom0.mkdir("/closed/in")
    watch = guest.watch("/")
    assert watch.next(0) is not None
    dom0.write("/closed/in/secret", "1")
    dom0.rm("/closed/in/secret")
    assert watch.next(0) is None
    dom0.set_perms("/closed/in", ["n0", "r5"])
    assert watch.next(0) is not None
    dom0.write("/closed/in/child", "1")
    event = watch.next(0)
    assert event is not None
    assert event.path == "/closed/in/child"
    # Whoever just lost the right to read is told of that, and of nothing after it.
    dom0.set_perms("/closed/in/child", ["n0"])
    dom0.set_perms("/closed/in", ["n0"])
    assert [event.path for event in watch.events(0)] == ["/closed/in/child", "/closed/in"]
    dom0.write("/closed/in/child", "2")
    assert watch.next(0) is None


def test_xsa_115_special_watches_are_for_those_whom_dom0_lets(world: World) -> None:
    guest = world.guest()
    watches = [guest.watch("@introduceDomain"), guest.watch("@releaseDomain")]
    for watch in watches:
        assert watch.next(0) is not None
    world.client(6)
    world.release(6)
    assert [watch.next(0) for watch in watches] == [None, None]
    world.dom0.set_perms("@introduceDomain", ["n0", "r5"])
    world.client(7)
    world.release(7)
    assert watches[0].next(0) is not None
    assert watches[1].next(0) is None


def test_xsa_115_a_guest_may_not_ask_who_is_introduced(world: World) -> None:
    guest = world.guest()
    assert refusal(lambda: guest.is_introduced(6)) == "EACCES"  # type: ignore[arg-type]


def test_xsa_115_removing_works_over_quota(world: World) -> None:
    guest = world.guest()
    for at in range(9):
        guest.write(f"d/n{at}", "x" * 50)
    quota = world.server.quota
    quota.nodes = quota.node_size = 1
    guest.rm("d/n1")
    guest.rm("d")
    assert refusal(lambda: guest.write("d", "")) == "ENOSPC"


def test_xsa_115_removing_a_tree_tells_of_each_node_once(world: World) -> None:
    world.dom0.write("/top/a/b", "1")
    above, inner = world.dom0.watch("/top"), world.dom0.watch("/top/a/b")
    assert above.next(0) is not None
    assert inner.next(0) is not None
    world.dom0.rm("/top/a")
    assert [event.path for event in above.events(0)] == ["/top/a"]
    assert [event.path for event in inner.events(0)] == ["/top/a/b"]


def test_xsa_352_only_dom0_gives_a_node_away(world: World) -> None:
    guest = world.guest()
    guest.write("mine", "1")
    assert refusal(lambda: guest.set_perms("mine", ["n0", "b5"])) == "EPERM"
    assert refusal(lambda: guest.set_perms("mine", ["n6", "b5"])) == "EPERM"
    guest.set_perms("mine", ["b5"])
    world.dom0.set_perms("/local/domain/5/mine", ["n0"])
    assert refusal(lambda: guest.write("mine", "2")) == "EACCES"


def test_xsa_353_the_root_has_permissions_as_well(world: World) -> None:
    guest = world.guest()
    for call in (
        lambda: guest.set_perms("/", ["b5"]),
        lambda: guest.get_perms("/"),
        lambda: guest.directory("/"),
        lambda: guest.read("/"),
        lambda: guest.write("/", "1"),
        lambda: guest.write("/new", ""),
        lambda: guest.rm("/"),
    ):
        assert refusal(call) == "EACCES"
    assert world.dom0.directory("/") == ["tool", "local"]
    # Nobody removes it, dom0 neither.
    assert refusal(lambda: world.dom0.rm("/")) == "EINVAL"
