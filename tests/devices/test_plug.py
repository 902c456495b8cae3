"""Plugging and unplugging: the XenbusState machine, whatever the guest, the driver or the store do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.devices.world import GUEST, World
from xentool.devices import plug, unplug
from xentool.devices.device import Address, Device
from xentool.devices.record import read_records, recorded
from xentool.errors import InUseError, TimedOutError, XentoolError
from xentool.store.watching import Watch
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOMID = DomId(GUEST)
BACK = f"/local/domain/0/backend/toy/{GUEST}/0"
FRONT = f"/local/domain/{GUEST}/device/toy/0"
RECORD = f"/libxl/{GUEST}/device/toy/0"


class Ties:
    """A hotplug that writes down what it was asked for, and fails where it is told to."""

    def __init__(self, fails_at: str = "") -> None:
        self.calls: list[str] = []
        self._fails_at = fails_at

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self._fails_at:
            raise XentoolError("tie", "toy 0", f"{name} was told to fail")

    def check(self, host: object) -> None:
        self._called("check")

    def prepare(self, host: object, address: Address) -> Mapping[str, str]:
        self._called("prepare")
        return {"node": "/dev/toy"}

    def placed(self, host: World, address: Address) -> None:
        assert host.store.exists(f"{address.back}/node")
        self._called("placed")

    def connect(self, host: World, address: Address) -> Mapping[str, str]:
        assert host.store.read(f"{address.back}/state") in (b"2", b"4")
        self._called("connect")
        return {"hotplug-status": "connected"}

    def release(self) -> None:
        self._called("release")


def toy(ties: Ties | None = None, devid: int = 0, backend: int = 0) -> Device:
    return Device(
        "toy",
        devid,
        f"toy {devid}",
        front={"colour": "red"},
        front_readonly={"size": "4"},
        back={"colour": "red", "hotplug-status": ""},
        record={"ours": "yes"},
        backend=DomId(backend),
        hotplug=ties,  # type: ignore[arg-type]
    )


def attach(world: World, device: Device) -> None:
    try:
        plug.check(world, [device])  # type: ignore[arg-type]
        plug.place(world, DOMID, [device])  # type: ignore[arg-type]
        plug.connect(world, DOMID, [device])  # type: ignore[arg-type]
    finally:
        plug.release([device])


def detach(world: World, *, force: bool = False) -> None:
    record = read_records(world.store, DOMID, [("toy", 0)])[0]
    unplug.detach(world, record, "toy 0", force=force)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


def test_a_device_is_written_as_libxl_writes_it(world: World) -> None:
    world.drivers.guest_connects = False
    ties = Ties()
    attach(world, toy(ties))
    assert ties.calls == ["check", "prepare", "placed", "connect", "release"]
    permissions = {
        path: [str(each) for each in world.admin.get_perms(path)]
        for path in (FRONT, f"{FRONT}/colour", f"{FRONT}/size", BACK, f"{BACK}/colour", RECORD)
    }
    assert permissions == {
        FRONT: ["n7", "r0"],
        f"{FRONT}/colour": ["n7", "r0"],
        f"{FRONT}/size": ["n0", "r7"],
        BACK: ["n0", "r7"],
        f"{BACK}/colour": ["n0", "r7"],
        RECORD: ["n0"],
    }
    tree = {path: value.decode() for path, value in world.tree().items()}
    assert tree[f"{FRONT}/backend"] == tree[f"{RECORD}/backend"] == BACK
    assert tree[f"{BACK}/frontend"] == tree[f"{RECORD}/frontend"] == FRONT
    assert (tree[f"{FRONT}/state"], tree[f"{BACK}/state"], tree[f"{RECORD}/state"]) == ("1", "2", "1")
    assert (tree[f"{BACK}/hotplug-status"], tree[f"{RECORD}/hotplug-status"]) == ("connected", "")
    assert tree[f"{BACK}/node"] == "/dev/toy"
    assert f"{RECORD}/node" not in tree
    assert tree[f"{RECORD}/ours"] == "yes"
    assert f"{BACK}/ours" not in tree


def test_what_comes_goes_and_leaves_nothing(world: World) -> None:
    before = world.tree()
    for _ in range(3):
        attach(world, toy(Ties()))
        world.drivers.act()
        assert world.store.read(f"{BACK}/state") == b"4"
        detach(world)
        assert world.tree() == before
    assert world.drivers.seen == ["2", "4", "6"] * 3


def test_a_guest_that_keeps_its_device_keeps_it_whole(world: World) -> None:
    attach(world, toy())
    world.drivers.act()
    world.drivers.guest_closes = False
    with pytest.raises(TimedOutError, match="its driver says Connected") as caught:
        detach(world)
    assert "--force" in caught.value.hint
    assert [record.path for record in recorded(world.store, DOMID)] == [RECORD]
    assert world.store.read(f"{FRONT}/state") == b"4"
    detach(world, force=True)
    assert world.drivers.seen[-1] == "6", "the backend's driver must have let go before its nodes do"
    assert recorded(world.store, DOMID) == []


def test_nobody_is_asked_where_no_driver_ever_was(world: World) -> None:
    world.drivers.guest_connects = False
    before = world.tree()
    attach(world, toy())
    world.drivers.guest_closes = False
    detach(world)
    assert world.tree() == before


def test_no_driver_in_domain0(world: World) -> None:
    world.drivers.backend = False
    with pytest.raises(TimedOutError, match="no driver in Domain-0 took its backend"):
        attach(world, toy(Ties()))


def test_a_driver_that_came_while_nobody_was_let_run_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_still(_watch: Watch, _seconds: float) -> Iterator[object]:
        """The time is over, without an event, before anybody else had any of it."""
        world.admin.write(f"{BACK}/state", "2")
        return iter(())

    world.drivers.backend = False
    monkeypatch.setattr(Watch, "events", stand_still)
    ties = Ties()
    attach(world, toy(ties))
    assert "connect" in ties.calls


def test_a_driver_that_gives_up_has_its_words_in_the_error(world: World) -> None:
    world.drivers.failing = "30 creating toy structure"
    with pytest.raises(XentoolError, match="gave it up: 30 creating toy structure"):
        attach(world, toy(Ties()))


def test_a_number_that_is_taken(world: World) -> None:
    attach(world, toy())
    before = world.tree()
    with pytest.raises(InUseError, match="has that device already"):
        attach(world, toy(Ties()))
    assert world.tree() == before


@pytest.mark.parametrize("where", ["check", "prepare"])
def test_what_fails_before_the_nodes_writes_none(world: World, where: str) -> None:
    before = world.tree()
    ties = Ties(where)
    with pytest.raises(XentoolError, match=f"{where} was told to fail"):
        attach(world, toy(ties))
    assert ties.calls[-1] == "release"
    assert world.tree() == before


def test_a_guest_decides_nothing(world: World) -> None:
    """It points its frontend at another device's backend, or removes it: only its own device goes."""
    attach(world, toy())
    attach(world, toy(devid=1))
    world.drivers.act()
    guest = world.guest()
    guest.write(f"{FRONT}/backend", f"{BACK[:-1]}1")
    guest.write(f"{FRONT}/backend-id", "9")
    guest.write(f"{FRONT}/state", "garbage")
    world.drivers.guest_closes = False
    with suppress(TimedOutError):
        detach(world)
    detach(world, force=True)
    left = [record.path for record in recorded(world.store, DOMID)]
    assert left == [f"/libxl/{GUEST}/device/toy/1"]
    assert world.store.read(f"{BACK[:-1]}1/state") == b"4"
    guest.rm(f"{FRONT[:-1]}1")
    unplug.remove(world, recorded(world.store, DOMID))  # type: ignore[arg-type]
    assert recorded(world.store, DOMID) == []


@pytest.mark.parametrize(
    "backend",
    [
        "/local/domain/0/backend/toy/8/0",
        "/local/domain/0/backend/toy/7/1",
        "/local/domain/0/backend/toy/7/0/x",
        "/local/domain/00/backend/toy/7/0",
        "/local/domain/0/backend//7/0",
        "/local/domain/0/name",
        "",
    ],
)
def test_a_record_that_points_elsewhere_is_not_followed(world: World, backend: str) -> None:
    attach(world, toy())
    world.admin.write("/local/domain/0/backend/toy/8/0/state", "4")
    world.admin.write(f"{RECORD}/backend", backend)
    unplug.remove(world, recorded(world.store, DOMID))  # type: ignore[arg-type]
    tree = world.tree()
    assert RECORD not in tree
    assert tree["/local/domain/0/backend/toy/8/0/state"] == b"4"
    assert "/local/domain/0/name" in tree


@pytest.mark.parametrize("steps", range(1, 60, 2))
def test_wherever_the_store_goes_away_a_second_try_removes_all(world: World, steps: int) -> None:
    before = world.tree()
    world.connect(faults=steps)
    broken = False
    try:
        attach(world, toy())
        detach(world, force=True)
    except XentoolError:
        broken = True
    world.connect()
    unplug.remove(world, recorded(world.store, DOMID))  # type: ignore[arg-type]
    assert world.tree() == before
    assert broken or steps > 30, "this many sends were never made: fewer would do"
