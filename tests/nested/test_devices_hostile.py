"""A guest that rewrites and deletes every node that it may write: nothing comes out otherwise than before."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.nested.dom0 import Dom0, loops_in_use, write_config
from tests.nested.traffic import QUIET, Guest, bridge
from tests.nested.waiting import settled


def seen(dom0: Dom0, guest: Guest) -> dict[str, list[Any]]:
    """What the lists say of the guest, without what is alive (states, rings, time used)."""
    alive = {"state", "event_channel", "tx_ring_ref", "rx_ring_ref", "ring_ref", "evt_ch", "tx", "rx"}
    found: dict[str, list[Any]] = {}
    for command in ("network-list", "block-list"):
        devices = json.loads(dom0.xentool(command, "--json", guest.name).stdout)
        found[command] = [
            {key: value for key, value in device.items() if key not in alive} for device in devices
        ]
    found["list"] = dom0.xentool("list", guest.name).stdout.splitlines()[1].split()[:4]
    return found


@pytest.mark.once
def test_nothing_that_a_guest_writes_decides(dom0: Dom0, tmp_path: Path, traffic_ramdisk: str) -> None:
    image, later = Path("/var/tmp/hostile.img"), Path("/var/tmp/later.img")
    for path in (image, later):
        path.touch()
        os.truncate(path, 1 << 20)
    with ExitStack() as stack:
        stack.callback(image.unlink)
        stack.callback(later.unlink)
        name = stack.enter_context(bridge(dom0))
        config = write_config(
            tmp_path / "evil.cfg", name="evil", type="pv", kernel=dom0.kernel, ramdisk=traffic_ramdisk,
            memory=128, extra=QUIET, vif=[f"bridge={name}", f"bridge={name}"], disk=[f"{image},raw,xvda,w"],
        )  # fmt: skip
        guest = stack.enter_context(Guest(dom0, config))
        guest.wait_until_up()
        before = seen(dom0, guest)
        assert did(guest.python("hostile", "rewrite")) > 50
        assert seen(dom0, guest) == before

        guest.send(guest.python_command("hostile", "storm", 20))
        plug(dom0, guest, "network-attach", f"bridge={name}")
        plug(dom0, guest, "block-attach", f"{later},raw,xvdb,w")
        during = seen(dom0, guest)
        assert len(during["network-list"]) == 3
        assert sorted(loops_in_use().values()) == sorted(map(str, (image, later)))
        for command, device in (("network-detach", "2"), ("block-detach", "xvdb")):
            unplug(dom0, command, guest.name, device)
        assert seen(dom0, guest) == before
        assert did(guest.answer(seconds=180)) > 100

        guest.python("hostile", "delete")
        assert seen(dom0, guest) == before
        unplug(dom0, "network-detach", guest.name, "1")
        dom0.xentool("destroy", guest.name)
        assert settled(loops_in_use, {}) == {}


def did(said: str) -> int:
    """How much the guest says that it did, beside what its kernel has to say."""
    done = re.search(r"^done (\d+)$", said, re.MULTILINE)
    assert done, said
    return int(done[1])


def plug(dom0: Dom0, guest: Guest, command: str, words: str) -> None:
    """Plug a device. By what the guest writes to its end of it, the driver in Domain-0 may give its own end
    up before that is tied: then this is said, nothing of it is left, and it may be tried again.
    """
    before, loops = seen(dom0, guest), loops_in_use()
    for _ in range(30):  # the storm is over long before
        done = dom0.xentool(command, guest.name, words, check=False)
        if not done.returncode:
            return
        assert re.search(r"gave it up|vif\d+\.2\b", done.stderr), done.stderr
        assert "could not be taken away" not in done.stderr, done.stderr
        assert seen(dom0, guest) == before
        assert settled(loops_in_use, loops) == loops
    raise AssertionError(f"it never could be plugged: {done.stderr}")


def unplug(dom0: Dom0, command: str, guest: str, device: str) -> None:
    """Ask the guest, who may refuse: then it is told so, and force does it."""
    done = dom0.xentool(command, guest, device, check=False)
    if done.returncode:
        assert done.returncode == 9, done.stderr
        assert "--force" in done.stderr, done.stderr
        dom0.xentool(command, guest, device, "--force")
