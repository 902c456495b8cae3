"""Measures plugging and unplugging, and the usual guest's create and destroy, inside the lab's dom0.

Runs on real Xen only. As in `tests.bench.measure` the tools take turns. Devices are plugged into a Linux
guest that runs and connects to them: what is timed is the command, and each waits until the one before it
has had its whole effect.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import subprocess
import time
from pathlib import Path

from tests.bench.measure import Bench, Result, peak_kib, run
from xentool.store.client import StoreClient

BRIDGE = "xenbr0"
IMAGE_BYTES = 64 << 20
RAMDISK = "/usr/lib/xentool-lab/guest.cpio.gz"
CONSOLE = "/var/log/xen/console/guest-{}.log"
UP = "XENTOOL-GUEST-UP"
CONNECTED = b"4"
WAIT_SECONDS = 60

# What is plugged: the command to plug it and its words, the command to unplug it and its word, its node.
VIF = ("network-attach", [f"bridge={BRIDGE}"], "network-detach", "0", "vif/0")
DISK = ("block-attach", ["{image},raw,xvdb,w"], "block-detach", "xvdb", "vbd/51728")


class DeviceBench(Bench):
    """The scenarios with devices."""

    def __init__(self, runs: int, images: str = "/var/tmp") -> None:
        super().__init__("", runs, 0)
        # Not in /tmp: what is in memory cannot be read around the page cache, and a host's images are.
        self.image = f"{images}/xentool-bench.img"
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        (kernel,) = glob.glob("/boot/vmlinuz-*") or [""]
        common = {"kernel": kernel, "ramdisk": RAMDISK, "memory": 128}
        self.running = self.config("running", **common, extra="quiet")
        self.usual = self.config("usual", **common)
        with open(self.usual, "a", encoding="utf-8") as config:
            config.write(f'vif = ["bridge={BRIDGE}"]\ndisk = ["{self.image},raw,xvda,w"]\n')

    def everything(self) -> None:
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
        run(["ip", "link", "set", BRIDGE, "up"])
        domid = self.start()
        self.plug_and_unplug("a vif", domid, *VIF)
        self.plug_and_unplug("a raw-file disk", domid, *DISK)
        run(["xl", "destroy", str(domid)])
        self.create_and_destroy("the usual guest, warm", self.usual, "usual")
        python = Result()
        for _ in range(self.runs):
            run(["python3", "-c", "pass"], python)
        self.row("python3 -c pass", "xentool", python)

    def start(self) -> int:
        """The domid of the guest that devices are plugged into, once it is up."""
        run(["xentool", "create", self.running])
        await_up("running")
        return int(subprocess.run(["xl", "domid", "running"], capture_output=True, check=True).stdout)

    def plug_and_unplug(
        self, label: str, domid: int, attach: str, words: list[str], detach: str, which: str, node: str
    ) -> None:
        """Attach and detach by both tools in turn; the guest connects in between."""
        attached = {tool: Result() for tool in ("xl", "xentool")}
        detached = {tool: Result() for tool in ("xl", "xentool")}
        filled = [word.format(image=self.image) for word in words]
        for turn in range(self.runs + 1):  # the first turn warms caches, and is for the memory
            for tool in attached:
                plug, unplug = [tool, attach, "running", *filled], [tool, detach, "running", which]
                if turn:
                    run(plug, attached[tool])
                    await_connected(domid, node)
                    run(unplug, detached[tool])
                else:
                    attached[tool].peak_kib = peak_kib(plug)
                    await_connected(domid, node)
                    detached[tool].peak_kib = peak_kib(unplug)
        for tool in attached:
            self.row(f"attach {label}", tool, attached[tool])
            self.row(f"detach {label}", tool, detached[tool])


def await_up(guest: str) -> None:
    """Until a Linux guest takes orders, by what it says on its console."""
    console = CONSOLE.format(guest)
    end = time.monotonic() + WAIT_SECONDS
    while not (os.path.exists(console) and UP in Path(console).read_text(errors="replace")):
        if time.monotonic() > end:
            raise SystemExit(f"the guest {guest} did not come up")
        time.sleep(0.2)


def await_connected(domid: int, node: str) -> None:
    """Until the guest's driver uses the device, so that it is unplugged from a guest that has it."""
    path = f"/local/domain/{domid}/device/{node}/state"
    with StoreClient() as store, store.watch(path) as watch:
        for _event in watch.events(WAIT_SECONDS):
            if store.try_read(path) == CONNECTED:
                return
    raise SystemExit(f"the guest did not connect to {node}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    bench = DeviceBench(options.runs)
    bench.everything()
    Path(options.out).write_text(json.dumps(bench.rows))


if __name__ == "__main__":
    main()
