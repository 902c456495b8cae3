"""The mock host's Domain-0, as the toolstack's processes see it: `xentool.dom0.port` on the mock.

Interfaces, bridges, guards and loop devices are tables in the mock host's process, asked through
a socket; files are the machine's own; programs really run, as whoever runs the command.
"""

from __future__ import annotations

from xentool.errors import TimedOutError
from xentool.mockhost.asking import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from xentool.mockhost.dom0blocks import MockBlocks
    from xentool.mockhost.dom0programs import MockDaemons, MockPrograms
    from xentool.units import DomId


class MockDom0:
    """Implements `xentool.dom0.port.Dom0` on the mock host in `directory`.

    Connects when something is first asked. Safe for several threads, and across a fork.
    """

    def __init__(self, directory: str) -> None:
        self._connection = Connection(directory)

    @property
    def links(self) -> MockLinks:
        return MockLinks(self._connection)

    @property
    def firewall(self) -> MockFirewall:
        return MockFirewall(self._connection)

    @property
    def blocks(self) -> MockBlocks:
        from xentool.mockhost.dom0blocks import MockBlocks

        return MockBlocks(self._connection)

    @property
    def programs(self) -> MockPrograms:
        from xentool.mockhost.dom0programs import MockPrograms

        return MockPrograms()

    @property
    def daemons(self) -> MockDaemons:
        from xentool.mockhost.dom0programs import MockDaemons

        return MockDaemons(self._connection.directory)

    def hooks(self, folder: str) -> Sequence[str]:  # noqa: ARG002 - the machine's are for its own guests
        return ()

    def close(self) -> None:
        """End the connection: loop devices that were not kept are gone. May be called twice."""
        self._connection.close()


class MockLink:
    """One `xentool.dom0.port.Link`."""

    __slots__ = ("bridge", "index", "is_bridge", "mtu", "name")

    def __init__(self, said: dict[str, Any]) -> None:
        self.name: str = said["name"]
        self.index: int = said["index"]
        self.mtu: int = said["mtu"]
        self.is_bridge: bool = said["is_bridge"]
        self.bridge: str | None = said["bridge"]


class MockLinks:
    """`xentool.dom0.port.Links`; and `all`, `add` and `delete`, which a sysadmin does with ip(8)."""

    def __init__(self, connection: Connection) -> None:
        self._ask = connection.ask

    def find(self, name: str) -> MockLink | None:
        said = self._ask("find", name=name)
        return None if said is None else MockLink(said)

    def bridges(self) -> Sequence[str]:
        return sorted(said["name"] for said in self.all() if said["is_bridge"])

    def of_vif(self, domid: DomId, devid: int) -> str | None:
        owner = f"/local/domain/0/backend/vif/{domid}/{devid}"
        return next((said["name"] for said in self.all() if said["owner"] == owner), None)

    def filters_bridged(self) -> bool:
        return False

    def wait_for(self, name: str, timeout_seconds: float) -> MockLink:
        try:
            return MockLink(self._ask("wait_for", timeout_seconds, name=name))
        except TimedOutError:
            raise TimedOutError(
                "wait for interface", name, f"it did not come within {timeout_seconds:g} s"
            ) from None

    def rename(self, name: str, new_name: str) -> None:
        self._ask("rename", name=name, new_name=new_name)

    def set_mtu(self, name: str, mtu: int) -> None:
        self._ask("set_mtu", name=name, mtu=mtu)

    def set_mac(self, name: str, mac: str) -> None:
        self._ask("set_mac", name=name, mac=mac)

    def set_up(self, name: str, up: bool = True) -> None:
        self._ask("set_up", name=name, up=up)

    def add_to_bridge(self, name: str, bridge: str) -> None:
        self._ask("add_to_bridge", name=name, bridge=bridge)

    def release_from_bridge(self, name: str) -> None:
        self._ask("release_from_bridge", name=name)

    def set_port_vlan(self, name: str, vlan: str) -> None:
        self._ask("set_port_vlan", name=name, vlan=vlan)

    def address(self, name: str) -> str | None:
        said = self._ask("find", name=name)
        return None if said is None else said["address"]

    def set_address(self, name: str, address: str) -> None:
        self._ask("set_address", name=name, address=address)

    def add_route(self, address: str, name: str, source: str | None = None) -> None:
        self._ask("add_route", address=address, name=name, source=source)

    def set_proxy_arp(self, name: str) -> None:
        self._ask("set_proxy_arp", name=name)

    def all(self) -> list[dict[str, Any]]:
        """Every interface with all that the mock host knows of it, by index."""
        said: list[dict[str, Any]] = self._ask("links")
        return said

    def add(
        self, name: str, *, is_bridge: bool = True, mtu: int = 1500, vlan_filtering: bool = False
    ) -> None:
        """A new bridge, up; or another interface. Raises `InUseError`, `HostError`."""
        self._ask("add", name=name, is_bridge=is_bridge, mtu=mtu, vlan_filtering=vlan_filtering)

    def delete(self, name: str) -> None:
        """Raises `NotFoundError`; `HostError` for a backend's."""
        self._ask("delete", name=name)


class MockFirewall:
    """`xentool.dom0.port.Firewall`: it notes what it would let through."""

    def __init__(self, connection: Connection) -> None:
        self._ask = connection.ask

    def check(self) -> None:
        """The mock host can always filter."""

    def guard(
        self, name: str, mac: str, addresses: Sequence[str], *, bridged: bool = True, awaited: bool = False
    ) -> None:
        from xentool.dom0.linux.ruleset import Lock, check_name

        check_name(name)
        lock = Lock(name, mac, addresses)
        by_name = bridged or awaited
        self._ask("guard", name=name, mac=lock.mac, addresses=list(lock.addresses), bridged=by_name)

    def unguard(self, name: str) -> None:
        self._ask("unguard", name=name)

    def guarded(self) -> Mapping[str, Sequence[str]]:
        return {name: tuple(guard["addresses"]) for name, guard in self.guards().items()}

    def guards(self) -> dict[str, dict[str, Any]]:
        """Each guard with all that the mock host knows of it."""
        said: dict[str, dict[str, Any]] = self._ask("guards")
        return said
