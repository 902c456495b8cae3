"""A vif as a port of an Open vSwitch bridge, by that switch's own tool.

``bridge`` is BRIDGE[.VLAN][:TRUNK[:TRUNK]…]: the port's own VLAN, and those that it carries tagged;
``vlan`` says the same in xl's other words.

Source: tools/hotplug/Linux/vif-openvswitch; ovs-vsctl(8).
"""

from __future__ import annotations

from xentool.devices.paths import domain_path
from xentool.devices.vif.device import DEFAULT_BRIDGE
from xentool.devices.vif.hotplug import BACKEND_MAC, CONNECTED, named, own_name, take_down
from xentool.errors import ConfigError, HostError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.device import Address, DeviceHost
    from xentool.devices.vif.spec import Vif
    from xentool.dom0.port import Link

TOOL = "ovs-vsctl"
TIMEOUT_SECONDS = 30
BR_EXISTS_NO = 2
"""What ``ovs-vsctl br-exists`` exits with when there is none."""
MAX_VLAN = 4095


class Switched:
    """As vif-openvswitch does it."""

    def check(self, host: DeviceHost, vif: Vif) -> None:
        bridge, _ = parse_bridge(vif)
        code, said = _vsctl(host, vif.devid, ["br-exists", bridge])
        if code == 0:
            return
        if code != BR_EXISTS_NO:
            raise _failed("attach vif", vif.devid, code, said)
        _, listed = _vsctl(host, vif.devid, ["list-br"])
        there = ", ".join(listed.split())
        raise NotFoundError(
            "attach vif",
            vif.devid,
            f"Open vSwitch has no bridge {bridge}",
            hint=f"it has: {there}" if there else f"it has none: `ovs-vsctl add-br {bridge}` makes one",
        )

    def join(self, host: DeviceHost, address: Address, vif: Vif, mac: str, link: Link) -> Mapping[str, str]:
        links = host.dom0.links
        bridge, options = parse_bridge(vif)
        name = named(links, vif, link)
        links.set_mac(name, BACKEND_MAC)
        if vif.mtu is not None and vif.mtu != link.mtu:
            links.set_mtu(name, vif.mtu)
        if vif.lock:
            host.dom0.firewall.guard(name, mac, vif.ips, bridged=False)
        words = ["--", "--if-exists", "del-port", name, "--", "add-port", bridge, name, *options]
        for key, value in (*_identity(host, address), ("attached-mac", mac)):
            words += ["--", "set", "interface", name, f"external-ids:{key}={_quoted(value)}"]
        code, said = _vsctl(host, address.devid, words)
        if code:
            raise _failed(f"attach vif {address.devid} of domain", address.domid, code, said)
        links.set_up(name)
        return CONNECTED

    def leave(self, host: DeviceHost, address: Address, nodes: Mapping[str, str], name: str | None) -> None:
        if name is not None:
            take_down(host.dom0.links, name)
        if host.dom0.programs.find(TOOL) is None:
            return  # and no switch either
        # The switch keeps its port, by name, even when the interface is gone.
        port = nodes.get("vifname") or own_name(address)
        code, said = _vsctl(host, address.devid, ["--", "--if-exists", "del-port", port])
        if code:
            raise _failed(f"detach vif {address.devid} of domain", address.domid, code, said)


def parse_bridge(vif: Vif) -> tuple[str, list[str]]:
    """The bridge, and the port's ``tag=`` and ``trunks=``, of BRIDGE[.VLAN][:TRUNK…].

    Raises:
        ConfigError: it is not in that form.
    """
    text = vif.bridge or DEFAULT_BRIDGE
    if vif.vlan is not None:
        text = f"{text}{_port_vlans(vif, text)}"
    head, *trunks = text.split(":")
    bridge, dot, tag = head.partition(".")
    numbers = [tag, *trunks] if dot else trunks
    if not bridge or any(not number.isdecimal() or int(number) > MAX_VLAN for number in numbers):
        raise ConfigError(
            "attach vif",
            vif.devid,
            f"bridge={text} is not BRIDGE[.VLAN][:TRUNK[:TRUNK]…], as vif-openvswitch has it",
            hint="for example: bridge=ovsbr0.10:20:30",
        )
    options = [f"tag={int(tag)}"] if dot else []
    if trunks:
        options.append("trunks=" + ",".join(str(int(trunk)) for trunk in trunks))
    if dot and trunks:
        # Without it the switch takes a port with a tag for one that carries nothing else.
        options.append("vlan_mode=native-untagged")
    return bridge, options


def _port_vlans(vif: Vif, bridge: str) -> str:
    """xl's `vlan` as this switch's VLAN and trunks."""
    from xentool.dom0.vlan import parse_vlans

    vlans = parse_vlans(vif.vlan or "")
    if "." in bridge or ":" in bridge:
        raise ConfigError(
            "attach vif", vif.devid, "both bridge and vlan name VLANs", hint="leave one of them out"
        )
    if len(vlans.untagged) > 1:
        raise ConfigError(
            "attach vif",
            vif.devid,
            f"vlan={vif.vlan}: a port of Open vSwitch sends one VLAN untagged, its own",
            hint="mark one with p, and none with u",
        )
    return f".{vlans.pvid}" + "".join(f":{vlan}" for vlan in vlans.tagged)


def _identity(host: DeviceHost, address: Address) -> list[tuple[str, str]]:
    """Whose port it is, for people who look at the switch."""
    vm = host.store.try_read(f"{domain_path(address.domid)}/vm")
    if vm is None:
        return []
    top = vm.decode("utf-8", "replace")
    name, uuid = host.store.read_many([f"{top}/name", f"{top}/uuid"])
    pairs = (("xen-vm-name", name), ("xen-vm-uuid", uuid))
    return [(key, value.decode("utf-8", "replace")) for key, value in pairs if value]


def _quoted(text: str) -> str:
    """A string of the switch's database: in quotes, as JSON has it."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _vsctl(host: DeviceHost, devid: int | None, words: list[str]) -> tuple[int, str]:
    tool = host.dom0.programs.find(TOOL)
    if tool is None:
        raise HostError("plug vif", devid, f"this Domain-0 has no {TOOL}", hint="is Open vSwitch installed?")
    command = [tool, f"--timeout={TIMEOUT_SECONDS}", *words]
    return host.dom0.programs.run_script(command, {"LC_ALL": "C"}, TIMEOUT_SECONDS + 5)


def _failed(action: str, subject: object, code: int, said: str) -> HostError:
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else f"it exits with {code}"
    return HostError(
        action,
        subject,
        f"Open vSwitch refuses: {last}",
        hint="`ovs-vsctl show` shows the switch",
        detail=said,
    )
