"""How a vif's backend joins Domain-0's network.

What Xen's own scripts do is done here, without a process: vif-bridge in this file, vif-route in
`routed`, vif-openvswitch in `openvswitch`. A script that is named by its path, any other script, and
Xen's own where hooks are installed for them (vif-post.d), are run, by `scripted`.

Source: tools/hotplug/Linux/{vif-bridge,vif-common.sh,xen-network-common.sh};
drivers/net/xen-netback/{interface,xenbus}.c of Linux.
"""

from __future__ import annotations

from xentool.devices.paths import SCRIPTS
from xentool.devices.vif.device import DEFAULT_BRIDGE, DEFAULT_MTU, IN_PROCESS, RUN_SCRIPT, mac_of
from xentool.errors import HostError, InUseError, NotFoundError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from xentool.devices.device import Address, DeviceHost
    from xentool.devices.vif.spec import Vif
    from xentool.dom0.port import Link, Links

    class Way(Protocol):
        """One way of joining Domain-0's network."""

        def check(self, host: DeviceHost, vif: Vif) -> None:
            """Raise if it cannot work; change nothing."""

        def join(
            self, host: DeviceHost, address: Address, vif: Vif, mac: str, link: Link
        ) -> Mapping[str, str]:
            """The interface is there, and down: join it, guard it, bring it up. Nodes for the backend."""

        def leave(
            self, host: DeviceHost, address: Address, nodes: Mapping[str, str], name: str | None
        ) -> None:
            """Undo that; `name` is what the interface is called now, None if it is gone."""


HOOKS = f"{SCRIPTS}/vif-post.d"
BACKEND_MAC = "fe:ff:ff:ff:ff:ff"
"""The highest address that is none for many: no bridge takes it for its own."""
WAIT_SECONDS = 10.0
CONNECTED = {"hotplug-status": "connected"}


class VifHotplug:
    """Implements `xentool.devices.device.Hotplug` for a vif of the domain `uuid`."""

    __slots__ = ("_mac", "_vif")

    def __init__(self, vif: Vif, uuid: str) -> None:
        self._vif = vif
        self._mac = mac_of(vif, uuid)

    def check(self, host: DeviceHost) -> None:
        vif = self._vif
        _way(host, vif.script).check(host, vif)
        if vif.vifname is not None and host.dom0.links.find(vif.vifname) is not None:
            raise InUseError(
                "attach vif",
                vif.devid,
                f"there is a network interface called {vif.vifname} already",
                hint=f"choose another vifname; `ip link show {vif.vifname}` shows it",
            )
        if vif.lock:
            host.dom0.firewall.check()
        _refuse_used_mac(host, vif, self._mac)

    def prepare(self, host: DeviceHost, address: Address) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def placed(self, host: DeviceHost, address: Address) -> None:
        pass

    def connect(self, host: DeviceHost, address: Address) -> Mapping[str, str]:
        link = host.dom0.links.wait_for(own_name(address), WAIT_SECONDS)
        if self._vif.vifname is not None and not self._vif.lock:
            _forget_guard(host, self._vif.vifname)
        return _way(host, self._vif.script).join(host, address, self._vif, self._mac, link)

    def release(self) -> None:
        pass


def disconnect(host: DeviceHost, address: Address, nodes: Mapping[str, str]) -> None:
    """Undo what tied the vif to Domain-0, whoever did it; `nodes` are its record's and its backend's.

    Whatever is gone already is no error.
    """
    # What it is called now, by the kernel's word: a name in the store may be another's by now.
    name = host.dom0.links.of_vif(address.domid, address.devid)
    try:
        _way_of(host, nodes).leave(host, address, nodes, name)
    finally:
        if "lock" in nodes:
            if name is not None:
                take_down(host.dom0.links, name)
            for guarded in {nodes.get("vifname", own_name(address)), own_name(address)}:
                host.dom0.firewall.unguard(guarded)


def is_bridged(host: DeviceHost, nodes: Mapping[str, str]) -> bool:
    """Whether the vif of that record is in a Linux bridge, by our own doing."""
    return isinstance(_way_of(host, nodes), Bridged)


def own_name(address: Address) -> str:
    """What netback calls the interface."""
    return f"vif{address.domid}.{address.devid}"


def take_down(links: Links, name: str) -> None:
    """Down, if it is there."""
    try:
        links.set_up(name, False)
    except NotFoundError:
        pass


def named(links: Links, vif: Vif, link: Link) -> str:
    """Give the interface the name that it is to have."""
    if vif.vifname is None:
        return link.name
    links.rename(link.name, vif.vifname)
    return vif.vifname


def _forget_guard(host: DeviceHost, name: str) -> None:
    """Whoever bore that name before may have been locked, and have gone without xentool being asked."""
    try:
        host.dom0.firewall.unguard(name)
    except HostError:
        pass  # where nothing can be filtered, nothing is


def _way_of(host: DeviceHost, nodes: Mapping[str, str]) -> Way:
    """How the vif of that record is tied."""
    script = nodes.get("script", "")
    return _way(host, script if RUN_SCRIPT in nodes else script.removeprefix(f"{SCRIPTS}/"))


def _way(host: DeviceHost, script: str | None) -> Way:
    """How the script called so ties: as one of Xen's own, or by being run."""
    name = script or "vif-bridge"
    if name in IN_PROCESS and not host.dom0.hooks(HOOKS):
        if name == "vif-bridge":
            return Bridged()
        if name == "vif-route":
            from xentool.devices.vif.routed import Routed

            return Routed()
        from xentool.devices.vif.openvswitch import Switched

        return Switched()
    from xentool.devices.vif.scripted import Scripted

    return Scripted(name)


class Bridged:
    """As a port of a Linux bridge."""

    def check(self, host: DeviceHost, vif: Vif) -> None:
        _bridge(host.dom0.links, vif)

    def join(self, host: DeviceHost, address: Address, vif: Vif, mac: str, link: Link) -> Mapping[str, str]:
        links = host.dom0.links
        bridge = _bridge(links, vif)
        name = named(links, vif, link)
        links.set_mac(name, BACKEND_MAC)
        mtu = vif.mtu or bridge.mtu
        if mtu != link.mtu:
            links.set_mtu(name, mtu)
        if mtu != (vif.mtu or DEFAULT_MTU):
            # What the frontend was told is the default; the guest must not send what the bridge drops.
            host.store.write(f"{address.front}/mtu", str(mtu))
        if vif.lock:
            host.dom0.firewall.guard(name, mac, vif.ips)
        if links.filters_bridged():
            from xentool.devices.vif.forwarding import accept

            accept(host, name, vif.ip)
        links.add_to_bridge(name, bridge.name)
        if vif.vlan is not None:
            links.set_port_vlan(name, vif.vlan)
        links.set_up(name)
        return CONNECTED

    def leave(self, host: DeviceHost, address: Address, nodes: Mapping[str, str], name: str | None) -> None:
        links = host.dom0.links
        if name is not None:
            take_down(links, name)
            links.release_from_bridge(name)
        if links.filters_bridged():
            from xentool.devices.vif.forwarding import withdraw

            withdraw(host, nodes.get("vifname") or own_name(address), nodes.get("ip"))


def _bridge(links: Links, vif: Vif) -> Link:
    """The bridge that the vif belongs to.

    Raises:
        NotFoundError: there is none called so.
        HostError: that is no bridge.
    """
    name = vif.bridge or DEFAULT_BRIDGE
    bridge = links.find(name)
    if bridge is None and name.startswith("xenbr"):
        # As vif-bridge: where the bridge bears the old name of the card behind it.
        bridge = links.find("eth" + name.removeprefix("xenbr"))
        bridge = bridge if bridge is not None and bridge.is_bridge else None
    if bridge is not None and bridge.is_bridge:
        return bridge
    there = ", ".join(links.bridges())
    hint = f"bridges here: {there}" if there else f"there is none here: `ip link add {name} type bridge`"
    if bridge is None:
        raise NotFoundError("attach vif", vif.devid, f"there is no bridge {name}", hint=hint)
    raise HostError(
        "attach vif",
        vif.devid,
        f"{name} is no bridge of Linux",
        hint=f"{hint}; for one of Open vSwitch: script=vif-openvswitch",
    )


def _refuse_used_mac(host: DeviceHost, vif: Vif, mac: str) -> None:
    """Raise if a vif on the same bridge has that MAC: neither would work. (xl lets it be.)"""
    store = host.store
    try:
        domids = store.directory("/libxl")
    except StoreError:
        return  # no domain ever
    tops = [f"/libxl/{domid}/device/vif" for domid in domids]
    records = [
        f"{top}/{devid}"
        for top, devids in zip(tops, store.directories(tops), strict=True)
        for devid in devids or ()
    ]
    macs = store.read_many([f"{record}/mac" for record in records])
    for record, other in zip(records, macs, strict=True):
        if other is None or other.decode("ascii", "replace").lower() != mac:
            continue
        _, _, domid, _, _, devid = record.split("/")
        bridge, name = store.read_many([f"{record}/bridge", f"/local/domain/{domid}/name"])
        if name is None or bridge != (vif.bridge or DEFAULT_BRIDGE).encode():
            continue  # what is left of a domain that has gone; or another network
        owner = name.decode("utf-8", "replace")
        raise InUseError(
            "attach vif",
            vif.devid,
            f"its MAC address {mac} is that of vif {devid} of domain {owner} ({domid})",
            hint="give it another mac, or leave mac out" if vif.mac else "give it a mac of its own",
        )
