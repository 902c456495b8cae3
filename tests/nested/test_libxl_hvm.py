"""HVM guests, which libxl makes: a Linux that boots from its own disk; their QEMU, their firmware."""

from __future__ import annotations

import os
import tty
from pathlib import Path

import pytest

from tests.nested.bootdisk import make_boot_disk
from tests.nested.dom0 import RAMDISK, Dom0, device_models, device_models_left, write_config
from tests.nested.traffic import BRIDGE, QUIET, TOOL, Guest
from tests.nested.witness import Witness, read_disks, world, written
from tests.support.serialline import read_until

pytestmark = pytest.mark.usefixtures("nothing_of_libxl_s")

# Without the early look at PCI, where Linux asks an AMD's 256 buses for an AGP bridge: 40 s of exits to QEMU.
_WORDS = f"console=hvc0 pci=noearly {QUIET} own-disk"


def test_a_linux_boots_from_its_disk(dom0: Dom0, tmp_path: Path) -> None:
    """SeaBIOS, GRUB from the disk's first sectors, Debian's kernel from the file system behind them."""
    with world(dom0) as image:
        make_boot_disk(Path(image), tmp_path, kernel=dom0.kernel, ramdisk=RAMDISK, words=_WORDS)
        # By AHCI, because of what firmware reads from an IDE disk Xen emulates each word.
        config = write_config(
            tmp_path / "hvm.cfg", name="hvm", type="hvm", memory=256, hdtype="ahci", vga="none", serial="pty",
            vif=[f"bridge={BRIDGE},mac=00:16:3e:00:00:07"], disk=[f"{image},raw,xvda,w"],
        )  # fmt: skip
        with Guest(dom0, config) as guest:
            assert len(device_models()) == 1
            guest.wait_until_up()
            words = guest.sh("cat /proc/cmdline").split()
            assert words == ["BOOT_IMAGE=(hd0,msdos1)/vmlinuz", *_WORDS.split()]
            assert read_disks(guest, ["xvda"])["xvda"] == written(dom0, image)
            assert guest.sh("cat /sys/class/net/eth0/address").strip() == "00:16:3e:00:00:07"
            Witness(guest, image)  # writes where it booted from, reads that, and pings Domain-0
            speaks_by_serial_line(dom0, guest)
            if TOOL == "xentool":  # xl's does not wait until its daemon has destroyed the guest
                dom0.xentool("shutdown", "-w", "hvm")
                assert dom0.domids() == [0]
    assert device_models_left() == []


def speaks_by_serial_line(dom0: Dom0, guest: Guest) -> None:
    path = dom0.run("xenstore-read", f"/local/domain/{guest.domid}/serial/0/tty").stdout.strip()
    line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(line)
        guest.sh("stty raw -echo -F /dev/ttyS0")
        # QEMU looks once a second whether somebody is there, and drops what comes before, amid a line too.
        for _ in range(20):
            guest.sh("uname >/dev/ttyS0")
            if read_until(line, b"\n", 5).endswith(b"\n"):
                break
        guest.sh("uname >/dev/ttyS0")
        assert read_until(line, b"\n", 90) == b"Linux\n"
    finally:
        os.close(line)


@pytest.mark.once  # what is about Xen in it, the parity of HVM guests looks at
def test_an_hvm_guest_and_its_qemu_come_and_go(dom0: Dom0, tmp_path: Path) -> None:
    with world(dom0) as image:
        config = write_config(
            tmp_path / "hvm.cfg", name="hvm", type="hvm", memory=64, maxmem=72, maxvcpus=2, serial="pty",
            vif=[f"bridge={BRIDGE},mac=00:16:3e:00:00:07"], disk=[f"{image},raw,xvda,w"],
        )  # fmt: skip
        for maker, ender in ((TOOL, "xl"), ("xl", TOOL)):
            dom0.run(maker, "create", "-p", "-q", str(config))
            assert len(device_models()) == 1
            for command in (("network-list",), ("block-list",), ("list", "-l")):
                assert dom0.xentool(*command, "hvm").stdout == dom0.xl(*command, "hvm").stdout
            dom0.run(ender, "unpause", "hvm")
            dom0.run(ender, "destroy", "hvm")
            assert (dom0.domids(), device_models_left()) == ([0], [])


@pytest.mark.once
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("device_model_override", "device model /nowhere/at-all is not executable"),
        ("firmware_override", "the firmware that an HVM guest starts with is not on this host"),
        ("bios_path_override", "the firmware that an HVM guest starts with is not on this host"),
    ],
)
def test_what_an_hvm_guest_cannot_be_without(dom0: Dom0, tmp_path: Path, key: str, words: str) -> None:
    config = write_config(
        tmp_path / "lacks.cfg", name="lacks", type="hvm", memory=64, vga="none", **{key: "/nowhere/at-all"}
    )
    done = dom0.run(TOOL, "create", "-p", "-q", str(config), check=False)
    assert done.returncode, done.stdout
    first, *rest = done.stderr.splitlines()
    assert words in first, done.stderr
    assert any(line.startswith("hint: apt-get install ") for line in rest), done.stderr
    assert "Traceback" not in done.stderr
    assert dom0.domids() == [0]
