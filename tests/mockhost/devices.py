"""Devices for the mock host's drivers, plugged by their nodes alone, as a toolstack would write them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from xentool.devices.device import Address, Device
from xentool.devices.nodes import device_nodes
from xentool.store.nodes import commit_nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mocked import MockedHost
    from xentool.store.client import StoreClient
    from xentool.units import DomId

MAC = "00:16:3e:01:02:03"
XVDA = 51712
SECONDS = 90.0


def vif(devid: int = 0) -> Device:
    return Device(
        "vif",
        devid,
        f"vif {devid}",
        front={"handle": str(devid), "mac": MAC, "trusted": "1"},
        back={
            "script": "/etc/xen/scripts/vif-bridge",
            "mac": MAC,
            "bridge": "xenbr0",
            "handle": str(devid),
            "type": "vif",
            "hotplug-status": "",
        },
        front_readonly={"mtu": "1500"},
    )


def vbd(image: str = "", *, mode: str = "w", device_type: str = "disk", devid: int = XVDA) -> Device:
    return Device(
        "vbd",
        devid,
        "disk xvda",
        front={
            "virtual-device": str(devid),
            "device-type": device_type,
            "trusted": "1",
            "protocol": "x86_64-abi",
        },
        back={
            "params": image,
            "script": "/etc/xen/scripts/block",
            "removable": "0",
            "bootable": "1",
            "dev": "xvda",
            "type": "phy",
            "mode": mode,
            "device-type": device_type,
            "discard-enable": "1",
            "specification": "xen",
        },
    )


class Plugged:
    """A device whose nodes are written, and waiting for what becomes of them."""

    def __init__(self, mocked: MockedHost, domid: DomId, device: Device) -> None:
        self.store: StoreClient = mocked.store
        self.address: Address = device.address(domid)
        nodes = device_nodes(device, self.address)
        self._before = [
            {node.path.rpartition("/")[2] for node in nodes if node.path.startswith(f"{path}/")}
            for path in (self.address.front, self.address.back)
        ]
        commit_nodes(self.store, nodes)

    def wait(self, what: str, good: Callable[[], bool]) -> None:
        """Until `good`, asked anew whenever something of the device changes."""
        end = monotonic() + SECONDS
        with self.store.watch(self.address.front, "d"), self.store.watch(self.address.back, "d"):
            while not good():
                event = self.store.next_event(max(0.0, end - monotonic()), "d")
                assert event is not None, f"{what}: {self.states()}, {self.error()}"

    def states(self) -> tuple[str, str]:
        """The frontend's and the backend's, "" where there is none."""
        front, back = self.store.read_many([f"{self.address.front}/state", f"{self.address.back}/state"])
        return (front or b"").decode(), (back or b"").decode()

    def reach(self, front: str, back: str) -> None:
        self.wait(f"to reach {front} and {back}", lambda: self.states() == (front, back))

    def back(self, name: str) -> str | None:
        return self._read(f"{self.address.back}/{name}")

    def front(self, name: str) -> str | None:
        return self._read(f"{self.address.front}/{name}")

    def error(self) -> str | None:
        kind, domid, devid = self.address.back.split("/")[-3:]
        return self._read(f"/local/domain/0/error/backend/{kind}/{domid}/{devid}/error")

    def _read(self, path: str) -> str | None:
        value = self.store.try_read(path)
        return None if value is None else value.decode()

    def added(self) -> tuple[set[str], set[str]]:
        """The names of the nodes that its drivers added, at the front and at the back."""
        now = (set(self.store.directory(path)) for path in (self.address.front, self.address.back))
        front, back = (names - before for names, before in zip(now, self._before, strict=True))
        return front, back

    def write_back(self, **values: str) -> None:
        with self.store.batch() as batch:
            for name, value in values.items():
                batch.write(f"{self.address.back}/{name.replace('_', '-')}", value)

    def unplug(self) -> None:
        """Ask the guest to let go; see `reach` for whether it does."""
        self.write_back(online="0", state="5")

    def remove(self) -> None:
        """Take away what is left of its nodes."""
        for path in (self.address.front, self.address.back, self.address.record):
            self.store.rm(path)
