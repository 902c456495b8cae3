"""Tying disks to Domain-0: what is refused, what is left in the store, and that nothing is left behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.devices.vbd.diskworld import DiskWorld
from xentool.devices import plug
from xentool.devices.record import read_records
from xentool.devices.unplug import remove
from xentool.devices.vbd.device import disk_device
from xentool.devices.vbd.spec import parse_disk
from xentool.errors import HostError, InUseError, NotFoundError, XentoolError
from xentool.units import DomId

if TYPE_CHECKING:
    from pathlib import Path

    from xentool.devices.device import Device

WEB, DB = DomId(7), DomId(8)


@pytest.fixture
def world(tmp_path: Path) -> DiskWorld:
    world = DiskWorld(str(tmp_path / "run"))
    for name in ("a.img", "b.img"):
        (tmp_path / name).write_bytes(b"\0" * 4096)
    return world


def attach(world: DiskWorld, text: str, domid: DomId = WEB) -> Device:
    device = disk_device(parse_disk(text), world.run_directory)
    placed = False
    try:
        plug.check(world, [device])  # type: ignore[arg-type]
        plug.place(world, domid, [device])  # type: ignore[arg-type]
        placed = True
        plug.connect(world, domid, [device])  # type: ignore[arg-type]
    except XentoolError:
        if placed:
            detach(world, domid, device.devid)
        raise
    finally:
        plug.release([device])
    return device


def detach(world: DiskWorld, domid: DomId, devid: int) -> None:
    remove(world, read_records(world.store, domid, [("vbd", devid)]))  # type: ignore[arg-type]


def back(world: DiskWorld, name: str, devid: int = 51712) -> str | None:
    value = world.store.try_read(f"/local/domain/0/backend/vbd/7/{devid}/{name}")
    return None if value is None else value.decode()


def test_a_file_gets_a_loop_device(world: DiskWorld, tmp_path: Path) -> None:
    before = world.tree()
    attach(world, f"{tmp_path}/a.img,,xvda")
    assert (back(world, "node"), back(world, "physical-device")) == ("/dev/loop0", "7:0")
    assert (back(world, "physical-device-path"), back(world, "hotplug-status")) == ("/dev/loop0", "connected")
    assert world.store.try_read("/libxl/7/device/vbd/51712/node") is None, "the record has none of it"
    assert world.blocks.table[7, 0][1] is False
    assert world.blocks.locked == 0
    detach(world, WEB, 51712)
    assert not world.blocks.table
    assert world.tree() == before


def test_a_read_only_one_is_so_for_the_loop_device_too(world: DiskWorld, tmp_path: Path) -> None:
    attach(world, f"{tmp_path}/a.img,,xvda,r")
    assert world.blocks.table[7, 0][1] is True
    assert back(world, "mode") == "r"


def test_a_block_device_is_taken_as_it_is(world: DiskWorld) -> None:
    world.blocks.devices["/dev/vg/web"] = (253, 171)
    attach(world, "vg/web,,xvda")
    assert back(world, "node") is None
    assert (back(world, "physical-device"), back(world, "physical-device-path")) == ("fd:ab", "/dev/vg/web")
    detach(world, WEB, 51712)


@pytest.mark.parametrize(
    ("text", "content", "reason"),
    [
        ("{}/none,,xvda", None, "there is no such file"),
        ("{},,xvda", None, "it is a folder"),
        ("/dev/null,,xvda", None, "it is a character device"),
        ("{}/x,,xvda", b"", "it is empty: no disk"),
        ("{}/x,,xvda", b"MBR", "it is 3 bytes: no disk"),
        ("{}/x,,xvda", b"QFI\xfb\0\0\0\3".ljust(512), "is said to be raw, but is qcow2"),
        ("{}/x,,xvda", b"QFI\xfb\0\0\0\1".ljust(512), "is said to be raw, but is qcow"),
        ("{}/x,,xvda", b"KDMV".ljust(512), "is said to be raw, but is vmdk"),
        ("{}/x,qcow2,xvda", b"\0" * 512, "is said to be qcow2, but is raw"),
        ("{}/x,vhd,xvda", b"\0" * 1024, "is said to be vhd, but is raw"),
        ("{}/x,qed,xvda", b"QFI\xfb\0\0\0\3".ljust(512), "is said to be qed, but is qcow2"),
        ("script=block-none,vdev=xvda,target=x", None, "there is no script /etc/xen/scripts/block-none"),
    ],
)
def test_what_is_no_such_disk(
    world: DiskWorld, tmp_path: Path, text: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    before = world.tree()
    with pytest.raises((HostError, NotFoundError)) as caught:
        attach(world, text.format(tmp_path))
    assert "xvda" in str(caught.value)
    assert reason in caught.value.reason
    assert world.tree() == before
    assert not world.blocks.table
    assert world.blocks.times_locked == 0, "nobody else had to wait for that"


def test_a_relative_path_is_one_below_dev(world: DiskWorld) -> None:
    with pytest.raises(NotFoundError, match=r"/dev/no/such\.img: there is no such file") as caught:
        attach(world, "no/such.img,,xvda")
    assert "write the whole path" in caught.value.hint
    with pytest.raises(NotFoundError) as caught:
        attach(world, "/dev/no/such.img,,xvda")
    assert "whole path" not in caught.value.hint


def test_formats_that_fit(world: DiskWorld, tmp_path: Path) -> None:
    for form, content in (
        ("qcow2", b"QFI\xfb\0\0\0\2".ljust(512)),
        ("qed", b"QED\0".ljust(512)),
        ("vhd", b"conectix".ljust(512)),
        ("vhd", b"\0" * 512 + b"conectix".ljust(512)),
    ):
        (tmp_path / "x").write_bytes(content)
        attach(world, f"{tmp_path}/x,{form},xvda")
        assert world.blocks.locked == 0
        detach(world, WEB, 51712)


def test_a_read_only_file_is_not_written_to(world: DiskWorld, tmp_path: Path) -> None:
    os.chmod(tmp_path / "a.img", 0o444)
    with pytest.raises(HostError, match="it is read-only") as caught:
        attach(world, f"{tmp_path}/a.img,,xvda")
    assert "access=ro" in caught.value.hint
    attach(world, f"{tmp_path}/a.img,,xvda,r")


def test_no_free_loop_device(world: DiskWorld, tmp_path: Path) -> None:
    world.blocks.full = True
    before = world.tree()
    with pytest.raises(HostError, match="no loop device is free"):
        attach(world, f"{tmp_path}/a.img,,xvda")
    assert world.tree() == before
    assert world.blocks.locked == 0


def test_what_was_replaced_meanwhile(
    world: DiskWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach_loop = world.blocks.attach_loop

    def swapped(path: str, *, read_only: bool, direct_io: bool) -> object:
        return attach_loop(str(tmp_path / "b.img"), read_only=read_only, direct_io=direct_io)

    monkeypatch.setattr(world.blocks, "attach_loop", swapped)
    with pytest.raises(HostError, match="was replaced meanwhile"):
        attach(world, f"{tmp_path}/a.img,,xvda")
    assert not world.blocks.table


def test_a_backend_that_fails_leaves_nothing(world: DiskWorld, tmp_path: Path) -> None:
    world.drivers.failing = "2 creating vbd structure"
    with pytest.raises(XentoolError, match="creating vbd structure"):
        attach(world, f"{tmp_path}/a.img,,xvda")
    assert not world.blocks.table
    assert world.blocks.locked == 0


def test_a_loop_device_that_is_another_s_by_now_is_left(world: DiskWorld, tmp_path: Path) -> None:
    """Whoever undoes it a second time may find its number with another reader of the same image."""
    attach(world, f"{tmp_path}/a.img,,xvda,r")
    records = read_records(world.store, WEB, [("vbd", 51712)])
    other = "/local/domain/0/backend/vbd/8/51712"
    world.admin.write(f"{other}/node", "/dev/loop0")
    remove(world, records)  # type: ignore[arg-type]
    assert (7, 0) in world.blocks.table
    world.admin.rm(other)


def test_scripts_are_run(world: DiskWorld) -> None:
    script = "/etc/xen/scripts/block-iscsi"
    world.fakes.programs.there.add(script)
    attach(world, "script=block-iscsi,vdev=xvda,target=iqn=x")
    detach(world, WEB, 51712)
    environment = {
        "script": script, "XENBUS_TYPE": "vbd", "XENBUS_PATH": "backend/vbd/7/51712",
        "XENBUS_BASE_PATH": "backend",
    }  # fmt: skip
    assert world.fakes.programs.ran == [([script, "add"], environment), ([script, "remove"], environment)]
    assert world.blocks.times_locked == 0


def test_a_script_s_own_words_are_told(world: DiskWorld) -> None:
    world.fakes.programs.there.add("/etc/xen/scripts/block-iscsi")
    world.fakes.programs.code, world.fakes.programs.says = 1, "no route to target"
    with pytest.raises(HostError, match="no route to target"):
        attach(world, "script=block-iscsi,vdev=xvda,target=iqn=x")


def test_empty_drives_share_a_file_of_no_bytes(world: DiskWorld, tmp_path: Path) -> None:
    attach(world, "vdev=xvda,cdrom")
    attach(world, "vdev=xvda,cdrom", DB)
    path = tmp_path / "run" / "empty-cdrom"
    assert path.stat().st_size == 0
    assert [read_only for _, read_only in world.blocks.table.values()] == [True, True]
    detach(world, WEB, 51712)
    detach(world, DB, 51712)
    assert not world.blocks.table


def test_several_disks_take_the_lock_once(world: DiskWorld, tmp_path: Path) -> None:
    devices = [
        disk_device(parse_disk(f"{tmp_path}/{text}"), world.run_directory)
        for text in ("a.img,,xvda", "b.img,,xvdb,r")
    ]
    plug.place(world, WEB, devices)  # type: ignore[arg-type]
    assert (world.blocks.locked, world.blocks.times_locked) == (0, 1)
    plug.release(devices)
    assert len(world.blocks.table) == 2


def test_the_second_of_several_that_is_refused_lets_go_of_the_first(world: DiskWorld, tmp_path: Path) -> None:
    attach(world, f"{tmp_path}/b.img,,xvda", DB)
    devices = [
        disk_device(parse_disk(f"{tmp_path}/{text}"), world.run_directory)
        for text in ("a.img,,xvda", "b.img,,xvdb")
    ]
    with pytest.raises(InUseError):
        plug.place(world, WEB, devices)  # type: ignore[arg-type]
    plug.release(devices)
    assert world.blocks.locked == 0
    assert len(world.blocks.table) == 1


def test_the_lock_is_held_until_the_nodes_are_there(
    world: DiskWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[int, bool]] = []
    store_client = type(world.store)
    run_transaction = store_client.run_transaction

    def watched(client: object, body: object) -> object:
        result: object = run_transaction(client, body)  # type: ignore[arg-type]
        held.append((world.blocks.locked, back(world, "physical-device") is not None))
        return result

    monkeypatch.setattr(store_client, "run_transaction", watched)
    device = disk_device(parse_disk(f"{tmp_path}/a.img,,xvda"), world.run_directory)
    plug.place(world, WEB, [device])  # type: ignore[arg-type]
    assert held == [(1, True)]
    assert world.blocks.locked == 0
    plug.release([device])
