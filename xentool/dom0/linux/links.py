"""Network interfaces of Linux: `xentool.dom0.port.Links`.

Each step of plugging a vif into a bridge is one of the old ioctls, which need neither a library nor
a parser: five of them take some 30 µs. What they cannot do is in `rtnetlink`.

Source: netdevice(7); linux/sockios.h, linux/if.h; net/bridge/br_ioctl.c of Linux.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, inet_aton, inet_ntoa, socket
from _struct import pack, unpack_from  # what struct has it from; that module would cost its import
from fcntl import ioctl

from xentool.errors import HostError, InUseError, NotFoundError, TimedOutError, XentoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.units import DomId

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCGIFADDR, SIOCSIFADDR, SIOCSIFNETMASK = 0x8915, 0x8916, 0x891C
SIOCGIFMTU, SIOCSIFMTU = 0x8921, 0x8922
SIOCSIFNAME, SIOCSIFHWADDR, SIOCGIFINDEX = 0x8923, 0x8924, 0x8933
SIOCBRADDIF, SIOCBRDELIF = 0x89A2, 0x89A3
IFF_UP = 1
ARPHRD_ETHER = 1
IFREQ = 40
"""sizeof(struct ifreq): 16 bytes of name, and a union."""

SYSFS = "/sys/class/net"
XEN_BACKENDS = "/sys/bus/xen-backend/devices"
BRIDGED_TO_IPTABLES = "/proc/sys/net/bridge/bridge-nf-call-iptables"
PROC_IPV4 = "/proc/sys/net/ipv4/conf"


class LinuxLink:
    """Implements `xentool.dom0.port.Link`."""

    __slots__ = ("bridge", "index", "is_bridge", "mtu", "name")

    def __init__(self, name: str, index: int, mtu: int, *, is_bridge: bool, bridge: str | None) -> None:
        self.name = name
        self.index = index
        self.mtu = mtu
        self.is_bridge = is_bridge
        self.bridge = bridge


class LinuxLinks:
    """Implements `xentool.dom0.port.Links` in this process's network namespace."""

    __slots__ = ("_kernel",)

    def __init__(self) -> None:
        self._kernel = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC).detach()

    def __del__(self) -> None:
        os.close(self._kernel)

    def find(self, name: str) -> LinuxLink | None:
        index = self._index(name)
        if index is None:
            return None
        try:
            (mtu,) = unpack_from("=i", self._ioctl(SIOCGIFMTU, name), 16)
        except OSError:
            return None  # gone since
        return LinuxLink(
            name, index, mtu, is_bridge=os.path.exists(f"{SYSFS}/{name}/bridge"), bridge=_bridge_of(name)
        )

    def bridges(self) -> Sequence[str]:
        try:
            names = os.listdir(SYSFS)
        except OSError:
            return []
        return sorted(name for name in names if os.path.exists(f"{SYSFS}/{name}/bridge"))

    def of_vif(self, domid: DomId, devid: int) -> str | None:
        # The kernel's own word: a name in the store may by now be another's.
        try:
            names = os.listdir(f"{XEN_BACKENDS}/vif-{domid}-{devid}/net")
        except OSError:
            return None
        return names[0] if names else None

    def filters_bridged(self) -> bool:
        return _read(BRIDGED_TO_IPTABLES) == "1"

    def wait_for(self, name: str, timeout_seconds: float) -> LinuxLink:
        found = self.find(name)
        if found is None:
            from xentool.dom0.linux.rtnetlink import await_link

            found = await_link(lambda: self.find(name), timeout_seconds)
        if found is None:
            raise TimedOutError(
                "wait for network interface",
                name,
                f"it did not come within {timeout_seconds:g} s",
                hint="`dmesg` may say what its driver met",
            )
        return found

    def rename(self, name: str, new_name: str) -> None:
        try:
            self._ioctl(SIOCSIFNAME, name, _name_bytes(new_name))
        except FileExistsError as exc:
            raise InUseError(
                "rename network interface",
                name,
                f"there is another one called {new_name}",
                hint=f"choose another name; `ip link show {new_name}` shows whose it is",
            ) from exc
        except OSError as exc:
            raise _failed("rename network interface", name, exc) from exc

    def set_mtu(self, name: str, mtu: int) -> None:
        try:
            self._ioctl(SIOCSIFMTU, name, pack("=i", mtu))
        except OSError as exc:
            hint = "its driver takes none so large, or so small" if exc.errno == errno.EINVAL else ""
            raise _failed(f"set the MTU {mtu} of network interface", name, exc, hint) from exc

    def set_mac(self, name: str, mac: str) -> None:
        address = bytes.fromhex(mac.replace(":", ""))
        try:
            self._ioctl(SIOCSIFHWADDR, name, pack("=H6s", ARPHRD_ETHER, address))
        except OSError as exc:
            hint = "it must be down" if exc.errno == errno.EBUSY else ""
            raise _failed(f"set the MAC address {mac} of network interface", name, exc, hint) from exc

    def set_up(self, name: str, up: bool = True) -> None:
        try:
            (flags,) = unpack_from("=H", self._ioctl(SIOCGIFFLAGS, name), 16)
            if bool(flags & IFF_UP) != up:
                self._ioctl(SIOCSIFFLAGS, name, pack("=H", flags ^ IFF_UP))
        except OSError as exc:
            raise _failed(f"bring {'up' if up else 'down'} network interface", name, exc) from exc

    def add_to_bridge(self, name: str, bridge: str) -> None:
        index = self._index(name)
        adding = f"add to bridge {bridge} network interface"
        if index is None:
            raise _missing(adding, name)
        try:
            self._ioctl(SIOCBRADDIF, bridge, pack("=i", index))
        except OSError as exc:
            if self._index(name) is None:  # gone since: to the kernel its number is an invalid argument
                raise _missing(adding, name) from exc
            there = _bridge_of(name)
            if exc.errno == errno.EBUSY and there == bridge:
                return
            action = f"add {name} to bridge"
            if exc.errno == errno.ENODEV:
                raise NotFoundError(
                    action, bridge, "there is no such bridge", hint=bridges_hint(self.bridges())
                ) from exc
            if exc.errno == errno.EOPNOTSUPP:
                raise HostError(
                    action, bridge, "that is no bridge", hint=bridges_hint(self.bridges())
                ) from exc
            if exc.errno == errno.EBUSY:
                raise InUseError(action, bridge, f"it is a port of {there or 'something else'}") from exc
            raise _failed(action, bridge, exc) from exc

    def release_from_bridge(self, name: str) -> None:
        bridge, index = _bridge_of(name), self._index(name)
        if bridge is None or index is None:
            return
        try:
            self._ioctl(SIOCBRDELIF, bridge, pack("=i", index))
        except OSError as exc:
            if exc.errno not in (errno.ENODEV, errno.EINVAL):  # gone, or its port no more
                raise _failed(f"take out of bridge {bridge} network interface", name, exc) from exc

    def set_port_vlan(self, name: str, vlan: str) -> None:
        from xentool.dom0.linux.rtnetlink import set_port_vlans
        from xentool.dom0.vlan import parse_vlans

        action = "set the VLANs of bridge port"
        bridge, index = _bridge_of(name), self._index(name)
        if bridge is None or index is None:
            raise HostError(action, name, "it is no port of a bridge")
        if not self._filters_vlans(bridge):
            raise HostError(
                action,
                name,
                f"its bridge {bridge} does not tell VLANs apart",
                hint=f"`ip link set {bridge} type bridge vlan_filtering 1`",
            )
        vlans = parse_vlans(vlan)
        default = _read(f"{SYSFS}/{bridge}/bridge/default_pvid")
        leave = {int(default)} - {0, *vlans.tagged, *vlans.untagged} if default.isdecimal() else ()
        try:
            set_port_vlans(index, vlans, leave)
        except OSError as exc:
            raise _failed(action, name, exc) from exc

    def _filters_vlans(self, bridge: str) -> bool:
        return _read(f"{SYSFS}/{bridge}/bridge/vlan_filtering") == "1"

    def address(self, name: str) -> str | None:
        try:
            return inet_ntoa(self._ioctl(SIOCGIFADDR, name)[20:24])
        except OSError:
            return None

    def set_address(self, name: str, address: str) -> None:
        def sockaddr(text: str) -> bytes:
            return pack("=HH4s8x", AF_INET, 0, inet_aton(text))

        try:
            self._ioctl(SIOCSIFADDR, name, sockaddr(address))
            self._ioctl(SIOCSIFNETMASK, name, sockaddr("255.255.255.255"))
        except OSError as exc:
            raise _failed(f"give the address {address} to network interface", name, exc) from exc

    def add_route(self, address: str, name: str, source: str | None = None) -> None:
        from xentool.dom0.linux.rtnetlink import add_route

        index = self._index(name)
        if index is None:
            raise _missing(f"add a route to {address} through network interface", name)
        add_route(index, address, source)

    def set_proxy_arp(self, name: str) -> None:
        for setting in ("proxy_arp", "forwarding"):
            try:
                with open(f"{PROC_IPV4}/{name}/{setting}", "w") as file:
                    file.write("1\n")
            except OSError as exc:
                raise _failed(f"set {setting} of network interface", name, exc) from exc

    def _index(self, name: str) -> int | None:
        try:
            (index,) = unpack_from("=i", self._ioctl(SIOCGIFINDEX, name), 16)
        except OSError:
            return None
        return int(index)

    def _ioctl(self, request: int, name: str, value: bytes = b"") -> bytes:
        """The struct ifreq as the kernel leaves it. Raises OSError."""
        raw = _name_bytes(name)
        if not os.path.exists(f"{SYSFS}/{name}"):
            # Asked for a name that is not there, the kernel first runs modprobe, which takes its time.
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return ioctl(self._kernel, request, (raw + value).ljust(IFREQ, b"\0"))


def bridges_hint(there: Sequence[str]) -> str:
    """Which bridges there are, as a hint."""
    if not there:
        return "there is no bridge at all: `ip link add NAME type bridge` makes one"
    return f"the bridges there are: {', '.join(there)}"


def _name_bytes(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogateescape")
    if not 0 < len(raw) < 16 or b"/" in raw or b"\0" in raw:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    return raw.ljust(16, b"\0")


def _bridge_of(name: str) -> str | None:
    """The bridge that the interface is a port of; not any other master (a bond, Open vSwitch)."""
    try:
        return os.path.basename(os.readlink(f"{SYSFS}/{name}/brport/bridge"))
    except OSError:
        return None


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _missing(action: str, name: str) -> NotFoundError:
    return NotFoundError(action, name, "there is no such interface", hint="`ip link` lists those there are")


def _failed(action: str, name: str, exc: OSError, hint: str = "") -> XentoolError:
    if exc.errno in (errno.ENODEV, errno.ENOENT, errno.ENXIO):
        return _missing(action, name)
    if exc.errno in (errno.EPERM, errno.EACCES):
        hint = "are you root?"
    return HostError(action, name, exc.strerror or str(exc), hint=hint)
