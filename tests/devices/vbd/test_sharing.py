"""Nobody reads what another writes, nor do two write it: by whatever path or device they come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.devices.vbd.diskworld import DiskWorld
from tests.devices.vbd.test_disk_hotplug import DB, WEB, attach, detach
from xentool.devices.vbd.sharing import canonical_mode, uses
from xentool.errors import InUseError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> DiskWorld:
    (tmp_path / "a.img").write_bytes(b"\0" * 4096)
    (tmp_path / "q.qcow2").write_bytes(b"QFI\xfb\0\0\0\3".ljust(4096))
    return DiskWorld(str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("w", "w", "writes"), ("w", "r", "writes"), ("r", "w", "reads"), ("r", "r", ""),
        ("w", "w!", ""), ("r", "w!", ""), ("w!", "w!", ""), ("w!", "r", ""), ("w!", "w", "writes"),
    ],
)  # fmt: skip
def test_the_rule(world: DiskWorld, tmp_path: Path, first: str, second: str, refused: str) -> None:
    attach(world, f"{tmp_path}/a.img,,xvdb,{first}", DB)
    before = world.tree()
    if not refused:
        attach(world, f"{tmp_path}/a.img,,xvda,{second}", WEB)
        return
    with pytest.raises(InUseError) as caught:
        attach(world, f"{tmp_path}/a.img,,xvda,{second}", WEB)
    assert f"is a disk of domain db (domid 8), which {refused} it as xvdb" in caught.value.reason
    assert "block-detach db xvdb" in caught.value.hint
    assert "attach disk xvda to domain 7" in str(caught.value)
    assert world.tree() == before
    assert world.blocks.locked == 0
    detach(world, DB, 51728)
    attach(world, f"{tmp_path}/a.img,,xvda,{second}", WEB)


@pytest.mark.parametrize("path", ["hard.img", "soft.img", "sub/../a.img", "/dev/loop0", "/dev/loop5"])
def test_other_paths_to_the_same_file(world: DiskWorld, tmp_path: Path, path: str) -> None:
    os.link(tmp_path / "a.img", tmp_path / "hard.img")
    os.symlink("a.img", tmp_path / "soft.img")
    (tmp_path / "sub").mkdir()
    attach(world, f"{tmp_path}/a.img,,xvda", DB)  # on /dev/loop0
    found = os.stat(tmp_path / "a.img")
    world.blocks.devices["/dev/loop5"] = (7, 5)
    world.blocks.table[7, 5] = (("file", found.st_dev, found.st_ino), False)
    with pytest.raises(InUseError, match="of domain db"):
        attach(world, f"{tmp_path / path},,xvda", WEB)


def test_a_file_whose_loop_device_is_a_disk(world: DiskWorld, tmp_path: Path) -> None:
    found = os.stat(tmp_path / "a.img")
    world.blocks.devices["/dev/loop5"] = (7, 5)
    world.blocks.table[7, 5] = (("file", found.st_dev, found.st_ino), False)
    attach(world, "/dev/loop5,,xvda", DB)
    with pytest.raises(InUseError, match="of domain db"):
        attach(world, f"{tmp_path}/a.img,,xvda", WEB)


def test_block_devices_by_number(world: DiskWorld) -> None:
    world.blocks.devices |= {"/dev/vg/web": (253, 1), "/dev/dm-1": (253, 1), "/dev/dm-2": (253, 2)}
    attach(world, "/dev/vg/web,,xvda", DB)
    attach(world, "/dev/dm-2,,xvdb", WEB)
    with pytest.raises(InUseError, match="/dev/dm-1 is a disk of domain db"):
        attach(world, "/dev/dm-1,,xvda", WEB)


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [("sdb", "sdb1", True), ("sdb1", "sdb", True), ("sdb1", "sdb2", False), ("loop6", "sdb", True),
     ("sdb", "loop6", True), ("loop6", "sdb2", False), ("loop6", "loop7", True), ("loop7", "sdb", True)],
)  # fmt: skip
def test_partitions_and_what_stands_on_them(world: DiskWorld, first: str, second: str, refused: bool) -> None:
    """Loop device 6 is on the first partition, 7 on 6."""
    world.blocks.devices |= {"/dev/sdb": (8, 16), "/dev/sdb1": (8, 17), "/dev/sdb2": (8, 18)}
    world.blocks.devices |= {"/dev/loop6": (7, 6), "/dev/loop7": (7, 7)}
    world.blocks.table |= {(7, 7): (("device", 7, 6), False), (7, 6): (("device", 8, 17), False)}
    attach(world, f"/dev/{first},,xvda", DB)
    if refused:
        with pytest.raises(InUseError, match="of domain db"):
            attach(world, f"/dev/{second},,xvda", WEB)
    else:
        attach(world, f"/dev/{second},,xvda", WEB)


def test_a_partition_beside_one_that_is_mounted(world: DiskWorld) -> None:
    """The disk of a mounted partition counts as mounted; its other partitions do not."""
    world.blocks.devices |= {"/dev/sdb": (8, 16), "/dev/sdb2": (8, 18)}
    world.blocks.mounts = {(8, 17): True, (8, 16): False}
    attach(world, "/dev/sdb2,,xvda", WEB)
    with pytest.raises(InUseError, match="mounted in Domain-0"):
        attach(world, "/dev/sdb,,xvdb", DB)


def test_qemu_s_disks_count(world: DiskWorld, tmp_path: Path) -> None:
    attach(world, f"{tmp_path}/q.qcow2,qcow2,xvda", DB)
    for text in ("q.qcow2,qcow2,xvda", "q.qcow2,qcow2,xvda,r"):
        with pytest.raises(InUseError, match="of domain db"):
            attach(world, f"{tmp_path}/{text}", WEB)


def test_one_that_xl_is_about_to_claim(world: DiskWorld, tmp_path: Path) -> None:
    """libxl writes the nodes first, and the script claims the disk later."""
    place = "/local/domain/0/backend/vbd/8/51712"
    world.admin.write(f"{place}/params", f"{tmp_path}/a.img")
    world.admin.write(f"{place}/mode", "w")
    with pytest.raises(InUseError, match="of domain db"):
        attach(world, f"{tmp_path}/a.img,,xvda", WEB)
    world.admin.write(f"{place}/hotplug-status", "busy")  # the script refused it
    attach(world, f"{tmp_path}/a.img,,xvda", WEB)


@pytest.mark.parametrize(
    ("mode", "writable", "refused"),
    [("w", True, True), ("w", False, True), ("r", True, True), ("r", False, False)],
)
def test_what_domain_0_has_mounted(
    world: DiskWorld, tmp_path: Path, mode: str, writable: bool, refused: bool
) -> None:
    found = os.stat(tmp_path / "a.img")
    world.blocks.table[7, 5] = (("file", found.st_dev, found.st_ino), False)
    world.blocks.mounts[7, 5] = writable
    if refused:
        with pytest.raises(InUseError, match="mounted in Domain-0"):
            attach(world, f"{tmp_path}/a.img,,xvda,{mode}")
    else:
        attach(world, f"{tmp_path}/a.img,,xvda,{mode}")


def test_what_a_dead_domain_left_is_no_use(world: DiskWorld, tmp_path: Path) -> None:
    attach(world, f"{tmp_path}/a.img,,xvda", DB)
    world.admin.rm("/local/domain/8/vm")
    attach(world, f"{tmp_path}/a.img,,xvda", WEB)


def test_a_domain_under_two_numbers(world: DiskWorld, tmp_path: Path) -> None:
    """While it is migrated on one host, both have its disks."""
    attach(world, f"{tmp_path}/a.img,,xvda", DB)
    world.admin.write("/local/domain/7/vm", "/vm/db")
    attach(world, f"{tmp_path}/a.img,,xvda", WEB)


def test_a_guest_cannot_hide_its_disk(world: DiskWorld, tmp_path: Path) -> None:
    attach(world, f"{tmp_path}/a.img,,xvda", WEB)
    guest = world.guest()
    guest.write("/local/domain/7/device/vbd/51712/backend", "/local/domain/0/backend/vbd/8/51712")
    guest.rm("/local/domain/7/device/vbd/51712")
    with pytest.raises(InUseError, match="of domain web"):
        attach(world, f"{tmp_path}/a.img,,xvda", DB)


def test_nonsense_in_the_store_is_passed_over(world: DiskWorld, tmp_path: Path) -> None:
    for path, value in (
        ("vbd/x/51712/mode", "w"), ("vbd/8/x/mode", "w"), ("vbd/8/1/physical-device", "zz:1"),
        ("vbd/8/2/physical-device", "7"), ("qdisk/8/3/params", "aio:"), ("qdisk/8/4/params", "nonsense"),
    ):  # fmt: skip
        world.admin.write(f"/local/domain/0/backend/{path}", value)
    assert [(use.devid, use.device) for use in uses(world) if use.kind == "vbd"] == [(1, None), (2, None)]  # type: ignore[arg-type]
    attach(world, f"{tmp_path}/a.img,,xvda", WEB)


@pytest.mark.parametrize(
    ("mode", "canonical"),
    [("r", "r"), ("ro", "r"), ("", "r"), ("w", "w"), ("rw", "w"), ("w!", "!"), ("rw!", "!")],
)
def test_modes(mode: str, canonical: str) -> None:
    assert canonical_mode(mode) == canonical
