"""The Domain-0s on which `xentool.dom0.port` is tried, and what a sysadmin does on each with ip(8)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from xentool.dom0.port import Dom0

BRIDGE, OTHER, PORT, FREE = "ctbr0", "ctbr1", "ctport0", "ctport1"
MAC = "00:16:3e:01:02:03"


class Sysadmin(Protocol):
    """A Domain-0, and hands that make and delete interfaces there."""

    dom0: Dom0

    def add_bridge(self, name: str, *, vlan_filtering: bool = False) -> None: ...

    def add_interface(self, name: str) -> None:
        """One that is down."""

    def delete(self, name: str) -> None:
        """No error if there is none."""

    def settle(self) -> None:
        """Wait until nobody looks at new devices any more: udevd opens them."""

    def another(self) -> Sysadmin:
        """For another thread."""

    def has_all_open(self) -> bool:
        """Whether who runs this may open every file, whatever its mode."""


class OnLinux:
    """This machine, as root."""

    def __init__(self) -> None:
        from xentool.dom0.linux import LinuxDom0

        self.dom0 = cast("Dom0", LinuxDom0())

    def add_bridge(self, name: str, *, vlan_filtering: bool = False) -> None:
        self._ip("link", "add", name, "type", "bridge", "vlan_filtering", str(int(vlan_filtering)))

    def add_interface(self, name: str) -> None:
        self._ip("tuntap", "add", name, "mode", "tap")

    def delete(self, name: str) -> None:
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)

    def settle(self) -> None:
        subprocess.run(["udevadm", "settle", "--timeout=90"], check=False)

    def another(self) -> OnLinux:
        return OnLinux()

    def has_all_open(self) -> bool:
        return True

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)


class OnMock:
    """A mock host's, in `directory`."""

    def __init__(self, directory: str) -> None:
        from xentool.mockhost.dom0 import MockDom0

        self._directory = directory
        self._mock = MockDom0(directory)
        self.dom0 = cast("Dom0", self._mock)

    def add_bridge(self, name: str, *, vlan_filtering: bool = False) -> None:
        self._mock.links.add(name, vlan_filtering=vlan_filtering)

    def add_interface(self, name: str) -> None:
        self._mock.links.add(name, is_bridge=False)

    def delete(self, name: str) -> None:
        if self._mock.links.find(name) is not None:
            self._mock.links.delete(name)

    def settle(self) -> None:
        """There is no udevd."""

    def another(self) -> OnMock:
        return OnMock(self._directory)

    def has_all_open(self) -> bool:
        import os

        return os.geteuid() == 0
