"""Another medium changes what is in a drive, and nothing else of it."""

from __future__ import annotations

import pytest

from xentool.devices.device import Address
from xentool.devices.record import Recorded
from xentool.toolstack import cdrom
from xentool.units import DOMAIN0, DomId

PATH = "/libxl/7/device/vbd/51744"


def drive(backend: DomId) -> Recorded:
    address = Address(DomId(7), "vbd", 51744, backend)
    return Recorded(PATH, address, {"dev": "xvdc", "device-type": "cdrom", "params": "/old.iso"})


@pytest.mark.parametrize("target", ["/new.iso", "qcow2:/new.qcow2", ""])
@pytest.mark.parametrize(("backend", "name"), [(DOMAIN0, ""), (DomId(3), "3")])
def test_who_serves_the_drive_goes_on_doing_so(target: str, backend: DomId, name: str) -> None:
    disk = cdrom.with_medium(drive(backend), target)
    assert (disk.vdev, disk.cdrom, disk.backend) == ("xvdc", True, name)
    assert disk.target == target.removeprefix("qcow2:")
    assert cdrom._as_it_was(drive(backend)).backend == name
