"""From lines of config to traffic: guests with cards and disks, changed while they run, by us and by xl."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nested.dom0 import RAMDISK, Dom0, write_config
from tests.nested.traffic import DOM0_ADDRESS, QUIET, TOOL, Guest, bridge
from tests.nested.waiting import settled
from tests.nested.witness import MEBIBYTE, pings, until, write_disks, written

OTHER = {"xl": "xentool", "xentool": "xl"}


@pytest.fixture
def images(dom0: Dom0) -> Iterator[dict[str, str]]:
    """What the disks are: a raw file, a block device, an image that QEMU serves, and one to plug later."""
    folder = Path("/var/tmp/devices")  # on a disk's file system, which can do direct I/O
    folder.mkdir()
    dom0.run("modprobe", "brd")
    found = {"xvda": f"{folder}/raw.img", "xvdb": "/dev/ram0", "xvdc": f"{folder}/qemu.qcow2"}
    found["xvdd"] = f"{folder}/later.img"
    for name in ("xvda", "xvdd"):
        Path(found[name]).touch()
        os.truncate(found[name], 16 * MEBIBYTE)
    dom0.run("qemu-img", "create", "-q", "-f", "qcow2", found["xvdc"], "16M")
    yield found
    dom0.run("rm", "-r", str(folder))


def test_from_config_to_traffic(dom0: Dom0, tmp_path: Path, images: dict[str, str]) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(bridge(dom0))
        second = stack.enter_context(bridge(dom0, "xenbr1", "10.18.0.1/16"))
        one, two = (
            write_config(
                tmp_path / f"{name}.cfg", name=name, type="pv", kernel=dom0.kernel, ramdisk=RAMDISK,
                memory=128, extra=QUIET, vif=vifs, disk=disks,
            )
            for name, vifs, disks in (
                (
                    "one",
                    [f"bridge={first},mac=00:16:3e:00:00:01", f"bridge={second}"],
                    [
                        f"{images['xvda']},raw,xvda,w",
                        f"phy:{images['xvdb']},xvdb,w",
                        f"{images['xvdc']},qcow2,xvdc,w",
                    ],
                ),
                ("two", [f"bridge={first}"], []),
            )
        )  # fmt: skip
        guest = stack.enter_context(Guest(dom0, one))
        peer = stack.enter_context(Guest(dom0, two))
        guest.wait_until_up()
        guest.sh("ip address add 10.17.1.1/16 dev eth0; ip link set eth0 up")
        guest.sh("ip address add 10.18.1.1/16 dev eth1; ip link set eth1 up")
        peer.wait_until_up()
        peer.sh("ip address add 10.17.1.2/16 dev eth0; ip link set eth0 up")
        assert guest.sh("cat /sys/class/net/eth0/address").strip() == "00:16:3e:00:00:01"
        for address in (DOM0_ADDRESS, "10.17.1.2", "10.18.0.1"):
            pings(guest, address)
        pings(peer, "10.17.1.1")

        until(guest, "test -b /dev/xvdc")
        sums = write_disks(guest, ["xvda", "xvdb", "xvdc"])
        for name in ("xvda", "xvdb"):
            assert written(dom0, images[name]) == sums[name], name
        lists_agree(dom0, guest)
        nics_come_and_go(dom0, guest, first)
        disks_come_and_go(dom0, guest, images["xvdd"])
    # QEMU has let go of its image by now.
    assert written(dom0, images["xvdc"]) == sums["xvdc"]


def lists_agree(dom0: Dom0, guest: Guest) -> None:
    """xl and we print the same of the same guest."""
    for command in ("network-list", "block-list"):
        assert dom0.xentool(command, guest.name).stdout == dom0.xl(command, guest.name).stdout


def nics_come_and_go(dom0: Dom0, guest: Guest, bridge_name: str) -> None:
    """Each tool plugs a network card into the running guest, and the other one unplugs it."""
    for tool in (TOOL, OTHER[TOOL]):
        dom0.run(tool, "network-attach", guest.name, f"bridge={bridge_name}")
        until(guest, "test -e /sys/class/net/eth2")
        guest.sh(
            "ip address del 10.17.1.1/16 dev eth0; ip address add 10.17.1.3/16 dev eth2; ip link set eth2 up"
        )
        pings(guest, DOM0_ADDRESS)
        lists_agree(dom0, guest)
        dom0.run(OTHER[tool], "network-detach", guest.name, "2")
        until(guest, "test ! -e /sys/class/net/eth2")
        guest.sh("ip address add 10.17.1.1/16 dev eth0")
        interface = Path(f"/sys/class/net/vif{guest.domid}.2")
        assert not settled(interface.exists, False)


def disks_come_and_go(dom0: Dom0, guest: Guest, image: str) -> None:
    """The same with a disk, and what the guest wrote is there."""
    for tool in (TOOL, OTHER[TOOL]):
        dom0.run(tool, "block-attach", guest.name, f"{image},raw,xvdd,w")
        until(guest, "test -b /dev/xvdd")
        lists_agree(dom0, guest)
        sums = write_disks(guest, ["xvdd"])
        dom0.run(OTHER[tool], "block-detach", guest.name, "xvdd")
        until(guest, "test ! -b /dev/xvdd")
        assert written(dom0, image) == sums["xvdd"]
