"""Plugged and unplugged over and over while the guest runs and uses them: nothing is left.

A hundred times if the tests are to be thorough.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nested.dom0 import RAMDISK, Dom0, host_state, loops_in_use, settled_host_state, write_config
from tests.nested.traffic import QUIET, Guest, bridge
from tests.nested.waiting import settled
from tests.nested.witness import until
from xentool.cli.backends import open_backend
from xentool.devices import plug, unplug
from xentool.devices.vif import hotplug
from xentool.store.client import StoreClient
from xentool.toolstack.port import Toolstack

CYCLES = 100 if os.environ.get("XENTOOL_THOROUGH") else 25


@pytest.mark.once
def test_many_cycles(dom0: Dom0, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So often, a machine that stalls meets one of them: drivers and guest get the time that tests have.
    for module, name in ((plug, "READY_SECONDS"), (hotplug, "WAIT_SECONDS"), (unplug, "CLOSE_SECONDS")):
        monkeypatch.setattr(module, name, 90.0)
    image = Path("/var/tmp/cycles.img")
    image.touch()
    os.truncate(image, 1 << 20)
    with ExitStack() as stack:
        stack.callback(image.unlink)
        bridge_name = stack.enter_context(bridge(dom0))
        config = write_config(
            tmp_path / "cycles.cfg", name="cycles", type="pv", kernel=dom0.kernel, ramdisk=RAMDISK,
            # Linux 6.1's network driver keeps a MiB, the pages of its ring, each time that its card goes.
            memory=512, extra=QUIET,
        )  # fmt: skip
        guest = stack.enter_context(Guest(dom0, config))
        guest.wait_until_up()
        # In this process: so many times four commands would start Python for minutes.
        toolstack = stack.enter_context(open_backend("xen")).toolstack
        store = stack.enter_context(StoreClient())
        interfaces = interfaces_now()
        cycle(toolstack, store, guest, bridge_name, image)
        # What is looked at as the state to come back to is not still on its way there.
        assert settled(interfaces_now, interfaces) == interfaces
        assert settled(loops_in_use, {}) == {}
        before = host_state(dom0)
        begun = time.monotonic()
        for _ in range(CYCLES - 1):
            cycle(toolstack, store, guest, bridge_name, image)
        print(f"a cycle takes {(time.monotonic() - begun) / (CYCLES - 1):.2f} s")
        assert settled_host_state(dom0, before) == before
        assert guest.sh("ls /sys/class/net").split() == ["lo"]
        assert "xvdb" not in guest.sh("cat /proc/partitions")
        log = guest.sh("dmesg")
        assert log.count("blkfront: xvdb") >= CYCLES, "it saw them all"
        # Of time that a machine took from it a guest says so in that word, too.
        assert [line for line in log.splitlines() if "BUG" in line and "lockup" not in line] == []


def interfaces_now() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def cycle(toolstack: Toolstack, store: StoreClient, guest: Guest, bridge_name: str, image: Path) -> None:
    """Plug a network card and a disk, wait until the guest uses them, and unplug them."""
    toolstack.attach_vif(guest.name, [f"bridge={bridge_name}"])
    toolstack.attach_disk(guest.name, [f"{image},raw,xvdb,w"])
    for device in ("vif/0", "vbd/51728"):
        path = f"/local/domain/{guest.domid}/device/{device}/state"
        with store.watch(path) as watch:
            for _event in watch.events(90):
                if (state := store.try_read(path)) == b"4":
                    break
            assert state == b"4", f"{device} is in state {state!r}"
    guest.sh("test -e /sys/devices/vif-0 -a -e /sys/devices/vbd-51728")
    toolstack.detach_vif(guest.name, "0")
    toolstack.detach_disk(guest.name, "xvdb")
    # A guest's driver that still takes leave of this device would write its states to the next one's nodes.
    until(guest, "test ! -e /sys/devices/vif-0 -a ! -e /sys/devices/vbd-51728")
