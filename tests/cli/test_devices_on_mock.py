"""Devices of a domain on a mock host, by separate processes: attached, listed, detached, refused."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_on_mock import Host, host

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["host"]


@pytest.fixture
def tiny(host: Host) -> Host:
    assert host.run("create", "tiny.cfg") == (0, "", "")
    with open(f"{host.folder}/data.raw", "wb") as image:
        image.truncate(1 << 20)
    return host


def listed(host: Host, command: str) -> list[dict[str, object]]:
    found = json.loads(host.run(command, "--json", "tiny")[1])
    assert isinstance(found, list)
    return found


def recorded(host: Host, key: str) -> object:
    """What libxl's record of the domain has of its devices."""
    return json.loads(host.run("list", "-l", "tiny")[1])[0]["config"].get(key)


def until(condition: Callable[[], bool], host: Host) -> None:
    """Wait for a guest's driver; the store tells when there is something new to look at."""
    with host.start("store", "watch", "/local/domain/1/device", stdin=subprocess.DEVNULL) as watch:
        assert watch.stdout is not None
        for _ in watch.stdout:
            if condition():
                return
    raise AssertionError


def test_a_vif_comes_and_goes(tiny: Host) -> None:
    done = tiny.run("network-attach", "--json", "tiny", "bridge=xenbr0", "mac=00:16:3E:00:00:01")
    assert json.loads(done[1]) == {"domid": 1, "devid": 0, "done": "attached"}
    until(lambda: listed(tiny, "network-list")[0]["state"] == 4, tiny)
    assert tiny.run("network-attach", "tiny") == (0, "", "")
    macs = [str(vif["mac"]) for vif in listed(tiny, "network-list")]
    assert macs[0] == "00:16:3e:00:00:01"
    text = tiny.run("network-list", "tiny")[1].splitlines()
    assert [line.split()[:3] for line in text[1:]] == [["0", "0", macs[0]], ["1", "0", macs[1]]]
    nics = recorded(tiny, "nics")
    assert isinstance(nics, list)
    assert [(nic["devid"], nic["mac"]) for nic in nics] == [(0, macs[0]), (1, macs[1])]
    code, _, err = tiny.run("network-detach", "tiny", "7")
    assert (code, macs[0] in err, macs[1] in err) == (1, True, True)
    assert tiny.run("network-detach", "tiny", macs[1].upper()) == (0, "", "")
    assert tiny.run("network-detach", "tiny", "0") == (0, "", "")
    assert (listed(tiny, "network-list"), recorded(tiny, "nics")) == ([], None)
    assert tiny.run("store", "audit")[0] == 0


def test_a_number_that_is_taken(tiny: Host) -> None:
    assert tiny.run("network-attach", "tiny") == (0, "", "")
    for flags in ([], ["-N"]):
        code, _, err = tiny.run("network-attach", *flags, "tiny", "devid=0")
        assert (code, "cannot attach vif 0: the domain has a network interface of that number" in err) == (
            6,
            True,
        )


def test_vifs_of_one_mac_are_told_apart_by_their_numbers(tiny: Host) -> None:
    mac = "00:16:3e:00:00:01"
    assert tiny.run("mock", "bridge", "dmz")[0] == 0
    for bridge in ("xenbr0", "dmz"):
        assert tiny.run("network-attach", "tiny", f"bridge={bridge}", f"mac={mac}") == (0, "", "")
    code, _, err = tiny.run("network-detach", "tiny", mac)
    assert (code, "0 and 1 of domain 1 have that MAC address" in err) == (2, True)
    assert tiny.run("network-detach", "-f", "tiny", "0") == (0, "", "")
    nics = recorded(tiny, "nics")
    assert isinstance(nics, list)
    assert [(nic["devid"], nic["mac"], nic["bridge"]) for nic in nics] == [(1, mac, "dmz")]


def test_a_disk_comes_and_goes(tiny: Host) -> None:
    image = f"{tiny.folder}/data.raw"
    code, out, _ = tiny.run("block-attach", "-N", "tiny", f"{image},raw,xvda,w")
    assert (code, out.splitlines()[0]) == (0, "disk xvda")
    assert listed(tiny, "block-list") == []
    assert tiny.run("block-attach", "tiny", f"phy:{image}", "xvda", "w") == (0, "", "")
    disk = listed(tiny, "block-list")[0]
    assert (disk["vdev"], disk["devid"], disk["target"], disk["read_only"]) == ("xvda", 51712, image, False)
    disks = recorded(tiny, "disks")
    assert isinstance(disks, list)
    assert (disks[0]["vdev"], disks[0]["pdev_path"]) == ("xvda", image)
    code, _, err = tiny.run("block-attach", "tiny", f"{image},raw,xvda,w")
    assert (code, "has that device already" in err or "in use" in err or "xvda" in err) == (6, True)
    code, _, err = tiny.run("block-detach", "tiny", "xvdb")
    assert (code, "it has xvda" in err) == (1, True)
    assert tiny.run("block-detach", "tiny", "51712") == (0, "", "")
    assert (listed(tiny, "block-list"), recorded(tiny, "disks")) == ([], None)
    assert tiny.run("store", "audit")[0] == 0


def test_a_drives_medium_changes(tiny: Host) -> None:
    assert tiny.run("block-attach", "tiny", "vdev=xvdc,cdrom") == (0, "", "")
    assert listed(tiny, "block-list")[0]["target"] == ""
    assert tiny.run("cd-insert", "tiny", "xvdc", f"{tiny.folder}/data.raw") == (0, "", "")
    drive = listed(tiny, "block-list")[0]
    assert (drive["target"], drive["read_only"], drive["cdrom"]) == (f"{tiny.folder}/data.raw", True, True)
    code, _, err = tiny.run("cd-insert", "tiny", "xvdc", "/nowhere.iso")
    assert (code, "/nowhere.iso" in err) == (1, True)
    assert listed(tiny, "block-list")[0]["target"] == f"{tiny.folder}/data.raw"
    assert tiny.run("cd-eject", "tiny", "xvdc") == (0, "", "")
    assert listed(tiny, "block-list")[0]["target"] == ""
    assert len(listed(tiny, "block-list")) == 1


def test_only_a_drives_medium_changes(tiny: Host) -> None:
    tiny.run("block-attach", "tiny", f"{tiny.folder}/data.raw,raw,xvda,w")
    code, _, err = tiny.run("cd-eject", "tiny", "xvda")
    assert (code, "not a CD-ROM drive" in err) == (2, True)


def test_what_cannot_be_attached_leaves_nothing(tiny: Host) -> None:
    for argv, word in (
        (["network-attach", "tiny", "bridge=nobody"], "nobody"),
        (["network-attach", "tiny", "mac=nonsense"], "nonsense"),
        (["network-attach", "tiny", "brigde=xenbr0"], "did you mean bridge?"),
        (["network-attach", "nobody"], "nobody"),
        (["block-attach", "tiny", "/nowhere.raw,raw,xvda,w"], "/nowhere.raw"),
        (["block-attach", "tiny", f"{tiny.folder}/data.raw,raw,nonsense,w"], "nonsense"),
    ):
        code, out, err = tiny.run(*argv)
        assert (code, out, word in err) == (1, "", True), err
    for command, word in (("network-attach", "devid=0"), ("block-attach", "/dev/null,raw,xvda,w")):
        code, _, err = tiny.run(command, "tiny", word, "backend=nobody")
        assert (code, "no domain nobody to serve it" in err) == (1, True), err
        assert ("vif 0" in err) == (command == "network-attach")
    assert listed(tiny, "network-list") == listed(tiny, "block-list") == []
    assert [name for name in os.listdir(f"{tiny.folder}/host/run/journal") if "create" in name] == []
    assert tiny.run("store", "audit")[0] == 0


def test_a_guest_that_keeps_its_device_is_not_robbed_but_by_force(host: Host) -> None:
    host.run("create", "tiny.cfg", 'cmdline="mock.ignore-unplug"', 'vif=["bridge=xenbr0"]')
    until(lambda: listed(host, "network-list")[0]["state"] == 4, host)
    code, _, err = host.run("network-detach", "tiny", "0")
    assert (code, "--force" in err) == (9, True)
    assert len(listed(host, "network-list")) == 1
    assert host.run("network-detach", "-f", "tiny", "0") == (0, "", "")
    assert listed(host, "network-list") == []
