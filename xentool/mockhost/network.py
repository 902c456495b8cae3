"""The network of the mock host's Domain-0: interfaces, bridges, and the guards of its firewall, as tables.

No packet ever moves; what is refused is what Linux refuses.

Source: net/core/dev.c, net/bridge/br_if.c of Linux.
"""

from __future__ import annotations

from xentool.dom0.vlan import parse_vlans
from xentool.errors import HostError, InUseError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_BRIDGE = "xenbr0"
DEFAULT_MTU = 1500
OWN_ADDRESS = "192.0.2.1"
"""Of every interface that is not a backend's (RFC 5737): what is routed through it never gets there."""
MTU_LEAST, MTU_MOST = 68, 65517
"""ETH_MIN_MTU; netback's maximum, ETH_MAX_MTU - VLAN_ETH_HLEN (drivers/net/xen-netback/interface.c)."""
NAME_BYTES = 15
"""IFNAMSIZ without its NUL."""
NETBACK_MAC = "fe:ff:ff:ff:ff:ff"


class Interface:
    """A network interface; `bridge` is the name of the one that it is a port of.

    `owner` is the backend that it belongs to, or empty.
    """

    def __init__(
        self, name: str, index: int, mac: str, *, is_bridge: bool, mtu: int, owner: str = ""
    ) -> None:
        self.owner = owner
        self.name = name
        self.index = index
        self.mac = mac
        self.is_bridge = is_bridge
        self.mtu = mtu
        self.up = False
        self.bridge: str | None = None
        self.vlan = ""
        self.filters_vlans = False
        self.proxy_arp = False
        self.address = None if owner else OWN_ADDRESS
        self.routes: list[tuple[str, str | None]] = []

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "index": self.index,
            "mac": self.mac,
            "mtu": self.mtu,
            "up": self.up,
            "is_bridge": self.is_bridge,
            "bridge": self.bridge,
            "vlan": self.vlan,
            "filters_vlans": self.filters_vlans,
            "proxy_arp": self.proxy_arp,
            "address": self.address,
            "owner": self.owner,
            "routes": [list(route) for route in self.routes],
        }


class Guard:
    """What may leave the guest behind an interface; `bridged` is whether the interface is a bridge's port."""

    def __init__(self, mac: str, addresses: list[str], *, bridged: bool) -> None:
        self.mac = mac
        self.addresses = addresses
        self.bridged = bridged

    def as_dict(self) -> dict[str, object]:
        return {"mac": self.mac, "addresses": self.addresses, "bridged": self.bridged}


class Network:
    """All interfaces by name, and the guards."""

    def __init__(self) -> None:
        self._interfaces: dict[str, Interface] = {}
        self._index = 1  # that of lo
        self._waiting: list[tuple[str, Callable[[Interface], None]]] = []
        self.guards: dict[str, Guard] = {}
        self.add(DEFAULT_BRIDGE, is_bridge=True).up = True

    # -- interfaces --------------------------------------------------------------

    def all(self) -> list[Interface]:
        """By index."""
        return sorted(self._interfaces.values(), key=lambda interface: interface.index)

    def find(self, name: str) -> Interface | None:
        return self._interfaces.get(name)

    def get(self, name: str, action: str) -> Interface:
        """Raises `NotFoundError`, saying what was to be done."""
        found = self._interfaces.get(name)
        if found is None:
            raise NotFoundError(action, name, "the mock host has no such network interface")
        return found

    def add(
        self,
        name: str,
        *,
        mac: str = NETBACK_MAC,
        is_bridge: bool = False,
        mtu: int = DEFAULT_MTU,
        owner: str = "",
    ) -> Interface:
        """A new interface, down. Raises `InUseError`, `HostError`."""
        _check_name("add interface", name)
        if name in self._interfaces:
            raise InUseError("add interface", name, "there is one called so")
        _check_mtu("add interface", name, mtu)
        self._index += 1
        made = self._interfaces[name] = Interface(
            name, self._index, mac, is_bridge=is_bridge, mtu=mtu, owner=owner
        )
        self._came(made)
        return made

    def remove(self, interface: Interface) -> None:
        """It goes, and with it its place on a bridge; the ports of a bridge that goes are free."""
        if self._interfaces.get(interface.name) is interface:
            del self._interfaces[interface.name]
            guard = self.guards.get(interface.name)
            if guard is not None and not guard.bridged:
                del self.guards[interface.name]  # it hung on the interface itself
        if interface.is_bridge:
            for port in self._interfaces.values():
                if port.bridge == interface.name:
                    port.bridge = None
                    port.vlan = ""

    def when_there(self, name: str, call: Callable[[Interface], None]) -> Callable[[], None]:
        """Call once with the interface when there is one called so; what is returned gives up waiting."""
        found = self._interfaces.get(name)
        if found is not None:
            call(found)
            return lambda: None
        entry = (name, call)
        self._waiting.append(entry)
        return lambda: self._waiting.remove(entry) if entry in self._waiting else None

    def _came(self, interface: Interface) -> None:
        due = [entry for entry in self._waiting if entry[0] == interface.name]
        self._waiting = [entry for entry in self._waiting if entry[0] != interface.name]
        for _, call in due:
            call(interface)

    def rename(self, name: str, new_name: str) -> None:
        action = "rename interface"
        interface = self.get(name, action)
        _check_name(action, new_name)
        if new_name == name:
            return
        if new_name in self._interfaces:
            raise InUseError(action, name, f"another interface is called {new_name}")
        if interface.up:
            # Linux before 6.2: dev_change_name says EBUSY.
            raise HostError(action, name, "it is up", hint="take it down first")
        self._interfaces[new_name] = self._interfaces.pop(name)
        interface.name = new_name
        self._came(interface)

    def set_mtu(self, name: str, mtu: int) -> None:
        interface = self.get(name, "set the MTU of")
        _check_mtu("set the MTU of", name, mtu)
        interface.mtu = mtu

    def set_mac(self, name: str, mac: str) -> None:
        action = "set the MAC address of"
        interface = self.get(name, action)
        parts = mac.split(":")
        try:
            values = [int(part, 16) for part in parts]
        except ValueError:
            values = []
        if len(values) != 6 or any(not 0 <= value < 256 for value in values):
            raise HostError(action, name, f"{mac} is no MAC address")
        if values[0] & 1 or not any(values):
            raise HostError(action, name, f"{mac} is not the address of one interface")
        if interface.up:
            raise HostError(action, name, "it is up", hint="take it down first")
        interface.mac = mac.lower()

    def set_up(self, name: str, up: bool) -> None:
        interface = self.get(name, "bring up" if up else "take down")
        interface.up = up
        if not up:
            interface.routes.clear()

    # -- bridges -------------------------------------------------------------------

    def add_to_bridge(self, name: str, bridge: str) -> None:
        action = f"add to bridge {bridge}"
        interface = self.get(name, action)
        found = self._interfaces.get(bridge)
        if found is None:
            raise NotFoundError(
                action,
                name,
                f"the mock host has no bridge {bridge}",
                hint=f"`xentool mock bridge {bridge}` makes it",
            )
        if not found.is_bridge:
            raise HostError(action, name, f"{bridge} is not a bridge")
        if interface.is_bridge:
            raise HostError(action, name, "a bridge cannot be a port of a bridge")
        if interface.bridge not in (None, bridge):
            raise InUseError(action, name, f"it is a port of bridge {interface.bridge}")
        interface.bridge = bridge

    def release_from_bridge(self, name: str) -> None:
        """Nothing to do where there is no such interface."""
        interface = self._interfaces.get(name)
        if interface is not None:
            interface.bridge = None
            interface.vlan = ""

    def set_port_vlan(self, name: str, vlan: str) -> None:
        action = "set the VLANs of"
        interface = self.get(name, action)
        if interface.bridge is None:
            raise HostError(action, name, "it is no port of a bridge")
        if not self._interfaces[interface.bridge].filters_vlans:
            raise HostError(
                action,
                name,
                f"its bridge {interface.bridge} does not tell VLANs apart",
                hint="`xentool mock bridge NAME --vlan-filtering` makes one that does",
            )
        try:
            parse_vlans(vlan)
        except ValueError as error:
            raise HostError(action, name, str(error)) from None
        interface.vlan = vlan

    # -- routes ---------------------------------------------------------------------

    def set_address(self, name: str, address: str) -> None:
        from ipaddress import IPv4Address

        action = f"give the address {address} to"
        interface = self.get(name, action)
        try:
            interface.address = str(IPv4Address(address))
        except ValueError as error:
            raise HostError(action, name, str(error)) from None

    def add_route(self, address: str, name: str, source: str | None) -> None:
        from ipaddress import ip_network

        action = f"add a route to {address} through"
        interface = self.get(name, action)
        try:
            ip_network(address)
        except ValueError as error:
            raise HostError(action, name, str(error)) from None
        if not interface.up:
            raise HostError(action, name, "the interface is down")
        if (address, source) not in interface.routes:
            interface.routes.append((address, source))

    def set_proxy_arp(self, name: str) -> None:
        self.get(name, "set proxy ARP on").proxy_arp = True


def _check_name(action: str, name: str) -> None:
    if (
        not name
        or len(name.encode()) > NAME_BYTES
        or name in (".", "..")
        or any(c in "/: \t\n" for c in name)
    ):
        raise HostError(action, name, f"an interface's name has 1 to {NAME_BYTES} bytes, no / or : or space")


def _check_mtu(action: str, name: str, mtu: int) -> None:
    if not MTU_LEAST <= mtu <= MTU_MOST:
        raise HostError(action, name, f"{mtu} is not between {MTU_LEAST} and {MTU_MOST}")
