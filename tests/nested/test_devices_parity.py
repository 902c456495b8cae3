"""The same devices through xl and through xentool: store, permissions, libxl's record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, loops_in_use, tiny_kernel, write_config
from tests.nested.test_parity import UUID, created
from tests.nested.traffic import BRIDGE, bridge
from tests.nested.waiting import settled

# Path (domid as D, uuid as U) -> why its value differs from xl's.
EXPLAINED: dict[str, str] = {}

FOLDER = "/var/tmp/parity"
CONFIGS: dict[str, dict[str, object]] = {
    "vifs": {
        "vif": [
            f"bridge={BRIDGE},mac=00:16:3e:00:00:01",
            f"bridge={BRIDGE},mac=00:16:3e:00:00:02,rate=10Mb/s@50ms,model=e1000",
            f"bridge={BRIDGE},mac=00:16:3e:00:00:03,ip=10.17.1.3,untrusted,devid=5",
        ]
    },
    "disks": {
        "disk": [
            # One file alone: which of several gets which loop device, xl leaves to its scripts' race.
            f"{FOLDER}/a.img,raw,xvda,w,direct-io-safe",
            "format=raw, vdev=xvdb, access=ro, no-discard, target=/dev/ram1",
            "phy:/dev/ram0,hda,w",
        ]
    },
}


@pytest.fixture
def world(dom0: Dom0) -> Iterator[None]:
    """A bridge, an image, block devices."""
    dom0.run("modprobe", "brd")
    os.mkdir(FOLDER)
    Path(FOLDER, "a.img").write_bytes(bytes(1 << 20))
    with bridge(dom0):
        yield
    dom0.run("rm", "-r", FOLDER)


@pytest.mark.parametrize("name", CONFIGS)
def test_store_and_record_equal_xls(dom0: Dom0, tmp_path: Path, world: None, name: str) -> None:
    config = write_config(
        tmp_path / "guest.cfg", name=f"parity-{name}", type="pv", uuid=UUID, kernel=tiny_kernel(), memory=8,
        **CONFIGS[name],
    )  # fmt: skip
    theirs, their_json, their_files = created(dom0, "xl", config)
    assert settled(loops_in_use, {}) == {}, "or ours gets another one than theirs"
    ours, our_json, our_files = created(dom0, "xentool", config)
    kinds = {path.split("/")[-2] for path in theirs if path.startswith("/libxl/D/device/")}
    assert kinds & {"vif", "vbd"}, "xl's domain has devices to compare with"
    differing = {
        path: (theirs.get(path), ours.get(path))
        for path in theirs.keys() | ours.keys()
        if theirs.get(path) != ours.get(path)
    }
    assert set(differing) - set(EXPLAINED) == set(), differing
    assert our_files == their_files
    assert our_json.decode() == their_json.decode()
