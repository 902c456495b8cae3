"""What tells that a guest is the one that it was: its memory, its clock, its disk, its network."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.nested.dom0 import Dom0
from tests.nested.traffic import DOM0_ADDRESS, Guest, bridge

MEBIBYTE: Final = 1 << 20
FOLDER: Final = Path("/var/tmp/witness")


def written(dom0: Dom0, image: str) -> str:
    """The sha256 of an image's first 2 MiB, as Domain-0 reads them."""
    path = image
    if image.endswith(".qcow2"):
        path = f"{image}.raw"
        dom0.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, path)
    elif image.startswith("/dev/"):
        # What Domain-0 itself cached of the device is not what is on it.
        dom0.run("blockdev", "--flushbufs", image)
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(2 * MEBIBYTE)).hexdigest()


def until(guest: Guest, command: str, seconds: int = 90) -> str:
    """What a line of shell says in the guest once it succeeds: what is plugged takes its time to be seen."""
    tries = seconds * 5
    return guest.sh(
        f"i=0; until {command}; do i=$((i+1)); [ $i -lt {tries} ] || break; sleep 0.2; done; {command}"
    )


def write_disks(guest: Guest, names: list[str]) -> dict[str, str]:
    """Fill the disks' first 2 MiB with noise; name -> sha256 by the guest's reckoning."""
    disks = " ".join(names)
    guest.sh(f"for d in {disks}; do dd if=/dev/urandom of=/dev/$d bs=64k count=32 2>/dev/null; done; sync")
    return read_disks(guest, names)


def read_disks(guest: Guest, names: list[str]) -> dict[str, str]:
    """The disks' first 2 MiB, from the disks and not from what the guest has cached: name -> sha256."""
    disks = " ".join(names)
    guest.sh("echo 3 >/proc/sys/vm/drop_caches")
    sums = guest.sh(f"for d in {disks}; do dd if=/dev/$d bs=64k count=32 2>/dev/null | sha256sum; done")
    return dict(zip(names, (line.split()[0] for line in sums.splitlines()), strict=True))


def pings(guest: Guest, address: str) -> None:
    """Nothing is lost on the way to that address, once it is reached."""
    # An end that has just come is seen by its bridge a moment later, and by the other end's driver.
    until(guest, f"ping -c 1 -W 5 {address} >/dev/null")
    text = guest.sh(f"ping -c 3 -i 0.2 -W 30 {address}", check=False)
    assert " 0% packet loss" in text, text


@contextmanager
def world(dom0: Dom0) -> Iterator[str]:
    """A bridge, and a disk's image of 16 MiB, whose path it gives."""
    FOLDER.mkdir()  # on a disk's file system, which can do direct I/O
    image = FOLDER / "disk.img"
    image.touch()
    os.truncate(image, 16 * MEBIBYTE)
    try:
        with bridge(dom0):
            yield str(image)
    finally:
        dom0.run("rm", "-r", str(FOLDER))


class Witness:
    """A guest with one interface and one disk, and what was true of it when this was made.

    `disk` is the disk's name in the guest, `image` what it is in Domain-0.
    """

    def __init__(self, guest: Guest, image: str, disk: str = "xvda") -> None:
        self.guest = guest
        self.image = image
        self.disk = disk
        guest.sh("ip address add 10.17.1.1/16 dev eth0; ip link set eth0 up")
        guest.sh("dd if=/dev/urandom of=/tmp/memory bs=64k count=64 2>/dev/null")
        until(guest, f"test -b /dev/{disk}")
        self.memory = self._memory()
        self._write()
        self.uptime, *self.ahead = self._clock()
        pings(guest, DOM0_ADDRESS)

    def testifies(self) -> None:
        """The guest has its memory and its time, reads what it wrote, and writes and sends on."""
        uptime, *ahead = self._clock()
        assert uptime > self.uptime, "its clock went back"
        moved = max(ahead[0] - self.ahead[1], self.ahead[0] - ahead[1])
        assert moved < 10, f"its wall clock went from {self.ahead} to {ahead} s before ours"
        self.uptime = uptime
        self.guest.sh("sleep 0.1")  # which a guest without a timer never comes back from
        assert self._memory() == self.memory
        assert read_disks(self.guest, [self.disk])[self.disk] == self.sum
        self._write()
        pings(self.guest, DOM0_ADDRESS)

    def _memory(self) -> str:
        return self.guest.sh("sha256sum /tmp/memory").split()[0]

    def _write(self) -> None:
        self.sum = write_disks(self.guest, [self.disk])[self.disk]
        assert written(self.guest.dom0, self.image) == self.sum

    def _clock(self) -> tuple[float, float, float]:
        """Seconds since its boot, and how many its wall clock is before ours: at least, and at most."""
        asked = time.time()
        words = self.guest.sh("cut -d' ' -f1 /proc/uptime; date +%s").split()
        return float(words[0]), int(words[1]) - time.time(), int(words[1]) - asked
