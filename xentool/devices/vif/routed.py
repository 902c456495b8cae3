"""A vif that Domain-0 routes for: its own address on the interface, a route to each of the guest's.

Source: tools/hotplug/Linux/vif-route, vif-common.sh (dom0_ip).
"""

from __future__ import annotations

from xentool.devices.vif.addresses import addresses_of
from xentool.devices.vif.hotplug import CONNECTED, named, take_down
from xentool.errors import ConfigError, HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.device import Address, DeviceHost
    from xentool.devices.vif.spec import Vif
    from xentool.dom0.port import Link

DEFAULT_GATEWAY = "eth0"


class Routed:
    """As vif-route does it. With the interface, its routes go."""

    def check(self, host: DeviceHost, vif: Vif) -> None:
        if vif.vlan is not None:
            raise ConfigError(
                "attach vif",
                vif.devid,
                "vlan is of bridges' ports, and vif-route has no bridge",
                hint="leave vlan out",
            )
        _own_address(host, vif)
        _addresses(vif)

    def join(self, host: DeviceHost, address: Address, vif: Vif, mac: str, link: Link) -> Mapping[str, str]:  # noqa: ARG002 - of all ways
        links = host.dom0.links
        source = _own_address(host, vif)
        name = named(links, vif, link)
        if vif.mtu is not None and vif.mtu != link.mtu:
            links.set_mtu(name, vif.mtu)
        links.set_address(name, source)
        if vif.lock:
            host.dom0.firewall.guard(name, mac, vif.ips, bridged=False)
        links.set_up(name)
        links.set_proxy_arp(name)
        for route in _addresses(vif):
            links.add_route(route, name, source)
        return CONNECTED

    def leave(self, host: DeviceHost, address: Address, nodes: Mapping[str, str], name: str | None) -> None:  # noqa: ARG002 - of all ways
        if name is not None:
            take_down(host.dom0.links, name)


def _own_address(host: DeviceHost, vif: Vif) -> str:
    """Domain-0's address on the network that the guest is to talk with."""
    gateway = vif.gatewaydev or DEFAULT_GATEWAY
    found = host.dom0.links.address(gateway)
    if found is None:
        there = host.dom0.links.find(gateway) is not None
        raise HostError(
            "attach vif",
            vif.devid,
            f"{gateway}, to which it would be routed, has no IPv4 address"
            if there
            else f"there is no interface {gateway}, to which it would be routed",
            hint="gatewaydev=… names Domain-0's interface on that network; "
            + ("give it an address" if there else "`ip -4 addr` lists those with an address"),
        )
    return found


def _addresses(vif: Vif) -> list[str]:
    """The guest's addresses: `ip`, or those that it is held to."""
    if vif.ip is None:
        return list(vif.ips)
    try:
        return addresses_of(vif.ip)
    except ValueError as exc:
        raise ConfigError(
            "attach vif",
            vif.devid,
            f"ip: {exc}",
            hint="vif-route takes addresses and networks, separated by blanks",
        ) from exc
