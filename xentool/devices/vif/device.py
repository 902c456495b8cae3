"""A network interface as a device: its nodes, as libxl writes them, and its entry in libxl's record.

Source: tools/libs/light/libxl_nic.c (libxl__set_xenstore_nic, libxl__device_nic_setdefault,
libxl__update_config_nic), libxl_types.idl (device_nic).
"""

from __future__ import annotations

from xentool.devices.device import Device
from xentool.devices.paths import SCRIPTS, script_path
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from xentool.devices.device import Hotplug
    from xentool.devices.vif.spec import Vif
    from xentool.units import DomId

    Json = str | int

KIND = "vif"
DEFAULT_SCRIPT = "vif-bridge"
DEFAULT_BRIDGE = "xenbr0"
DEFAULT_MTU = 1500
"""LIBXL_DEVICE_NIC_MTU_DEFAULT."""
IN_PROCESS = ("vif-bridge", "vif-route", "vif-openvswitch")
"""Xen's own scripts that `hotplug` need not run, if they are named so; by their paths, they are run."""
RUN_SCRIPT = "run-script"
"""The record's node that says: Xen's own script tied this vif, so let that script untie it."""
_MAC_KEY = b"xentool vif mac"


def vif_device(vif: Vif, uuid: str, *, backend: DomId = DOMAIN0, hotplug: Hotplug | None = None) -> Device:
    """An interface of the domain `uuid`. What it leaves open is as libxl has it, its MAC as `mac_of` says.

    `vif.devid` must be known. `backend` is the domain that `vif.backend` names; `hotplug` is what
    ties it there, None if that is not Domain-0. What only xentool knows of it (``lock``: the
    addresses, ``run-script``) is in the record alone.

    Raises:
        ConfigError: it is locked, but another domain's to guard.
    """
    devid = number_of(vif)
    if vif.lock and backend != DOMAIN0:
        from xentool.errors import ConfigError

        raise ConfigError(
            "attach vif",
            devid,
            f"it is to be locked, but its backend is domain {backend}, whose firewall is its own",
            hint="leave lock and ips out, or backend",
        )
    mac = mac_of(vif, uuid)
    script = script_path(vif.script or DEFAULT_SCRIPT)
    back = {"script": script}
    if vif.vifname is not None:
        back["vifname"] = vif.vifname
    back["mac"] = mac
    if vif.ip is not None:
        back["ip"] = vif.ip
    if vif.gatewaydev is not None:
        back["gatewaydev"] = vif.gatewaydev
    if vif.rate is not None:
        back["rate"] = vif.rate.words
    if vif.mtu not in (None, DEFAULT_MTU):
        back["mtu"] = str(vif.mtu)
    if vif.vlan is not None:
        back["vlan"] = vif.vlan
    back["bridge"] = vif.bridge or DEFAULT_BRIDGE
    back["handle"] = str(devid)
    back["type"] = "vif"
    # The backend waits with Connected until this says so.
    back["hotplug-status"] = ""
    record = {"lock": " ".join(vif.ips)} if vif.lock else {}
    if script == vif.script and script.removeprefix(f"{SCRIPTS}/") in IN_PROCESS:
        record[RUN_SCRIPT] = "1"
    front = {"handle": str(devid), "mac": mac, "trusted": "0" if vif.trusted is False else "1"}
    return Device(
        KIND,
        devid,
        f"vif {devid}",
        front=front,
        back=back,
        front_readonly={"mtu": str(vif.mtu or DEFAULT_MTU)},
        record=record,
        backend=backend,
        hotplug=hotplug,
    )


def with_defaults(vif: Vif, xl_conf: str) -> Vif:
    """The vif, with what it leaves open as the file `xl_conf` says, if there is one and it says something.

    xl does so before it looks at a config (xl.conf(5), vif.default.*): what the file says stands in
    libxl's record too.
    """
    try:
        with open(xl_conf, "rb") as file:
            raw = file.read(1 << 16)
    except OSError:
        return vif
    # As it comes, it has nothing but comments.
    if not any(line.lstrip().startswith((b"vif", b"defaultbridge")) for line in raw.splitlines()):
        return vif
    from xentool.devices.vif.defaults import defaults_of

    found = defaults_of(raw.decode("utf-8", "replace"))
    return vif.replace(**{key: value for key, value in found.items() if getattr(vif, key) is None})


def nic_entry(vif: Vif, uuid: str) -> dict[str, Json]:
    """The interface in libxl's record of the domain (``nics``), in libxl's order.

    As xl gave it, but for what libxl fills in when it is there: number, type and MAC.
    """
    entry: dict[str, Json] = {}
    if vif.backend is not None:
        entry["backend_domname"] = vif.backend
    entry["devid"] = number_of(vif)
    if vif.mtu:
        entry["mtu"] = vif.mtu
    for name in ("vlan", "model"):
        _text(entry, name, getattr(vif, name))
    entry["mac"] = mac_of(vif, uuid)
    for name, key in (("ip", "ip"), ("bridge", "bridge"), ("ifname", "vifname"), ("script", "script")):
        _text(entry, name, getattr(vif, key))
    entry["nictype"] = "vif"
    if vif.rate is not None:
        entry["rate_bytes_per_interval"] = vif.rate.credit_bytes
        entry["rate_interval_usecs"] = vif.rate.interval_us
    _text(entry, "gatewaydev", vif.gatewaydev)
    if vif.trusted is not None:
        entry["trusted"] = "True" if vif.trusted else "False"
    return entry


def _text(entry: dict[str, Json], name: str, value: str | None) -> None:
    if value is not None:
        entry[name] = value


def mac_of(vif: Vif, uuid: str) -> str:
    """The interface's MAC address: the one that is given, or one made of the domain's uuid and its number.

    So a domain that is made again has the same addresses, and its guest the same names for its cards.
    As libxl's, it is in Xen's range 00:16:3e, with 23 bits of its own.
    """
    if vif.mac is not None:
        return vif.mac
    from _blake2 import blake2s

    digest = blake2s(f"{uuid}/{number_of(vif)}".encode(), digest_size=3, key=_MAC_KEY).digest()
    return f"00:16:3e:{digest[0] & 0x7F:02x}:{digest[1]:02x}:{digest[2]:02x}"


def number_of(vif: Vif) -> int:
    """The interface's number, which must have been chosen."""
    if vif.devid is None:
        raise AssertionError(f"{vif} has no number yet")
    return vif.devid


def lowest_free(taken: Iterable[int]) -> int:
    """The lowest number that no device has."""
    numbers = set(taken)
    return next(number for number in range(len(numbers) + 1) if number not in numbers)
