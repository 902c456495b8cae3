"""A network interface as a config asks for it, and xl's syntax for it.

    vif = [ 'bridge=xenbr0,mac=00:16:3e:74:34:32,rate=10Mb/s@20ms', '' ]
    xentool network-attach web bridge=xenbr0 lock ips=10.0.0.5;2001:db8::5

xl, when it cannot read a part of a config's vif, says so and makes the interface without that part;
here that is an error. Two keys are xentool's own: ``lock`` (the guest sends from its own MAC address only)
and ``ips`` (and from these addresses only; it implies ``lock``).

Source: xl-network-configuration(5); tools/xl/xl_parse.c (parse_nic_config).
"""

from __future__ import annotations

from xentool.errors import ConfigError
from xentool.values import Frozen, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

    from xentool.devices.vif.rate import Rate

KEYS = (
    "mac", "bridge", "gatewaydev", "type", "model", "vifname", "script", "ip", "backend", "rate", "devid",
    "mtu", "vlan", "trusted", "lock", "ips",
)  # fmt: skip

MAX_DEVID = 0xFFFF
"""So that "vif32751.65535" is still a name for an interface."""
MIN_MTU, MAX_MTU = 68, 65535 - 18
"""Of netback's interfaces (Linux: drivers/net/xen-netback/interface.c)."""
BACKEND_MAC = "fe:ff:ff:ff:ff:ff"
"""What the scripts give to every backend's own interface, so that no bridge takes it for its own."""
MAX_NAME = 15
"""Of a network interface (IFNAMSIZ less the NUL)."""
MAX_IPS = 3_000
"""Of the characters of ``ips``: one node of the store keeps them (XENSTORE_PAYLOAD_MAX, less its path)."""
NOT_NAMES = (".", "..", "all", "default")
"""Folders below /proc/sys/net/ipv4/conf that are no interface's; Linux itself refuses only the dots."""

_HEX = frozenset("0123456789abcdef")
_GUARDED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@")
"""What a name may have that stands in nftables' rules, and cannot be taken for more than a name there."""
_ON, _OFF = ("1", "yes", "true", "on"), ("0", "no", "false", "off")


class Vif(Frozen):
    """One entry of ``vif``. None: not said, so the default is used.

    `mac` is canonical (six lowercase pairs and colons), `type` "vif" or "ioemu", `backend` a domain's name
    or number, `ip` text for the script, `mtu` in bytes, `vlan` in xl's words ("10p/20-22u"); `ips` are
    canonical addresses or networks.
    """

    __slots__ = KEYS
    mac: str | None
    bridge: str | None
    gatewaydev: str | None
    type: str | None
    model: str | None
    vifname: str | None
    script: str | None
    ip: str | None
    backend: str | None
    rate: Rate | None
    devid: int | None
    mtu: int | None
    vlan: str | None
    trusted: bool | None
    lock: bool
    ips: tuple[str, ...]

    def __init__(
        self,
        *,
        mac: str | None = None,
        bridge: str | None = None,
        gatewaydev: str | None = None,
        type: str | None = None,  # noqa: A002 - xl's own name for it
        model: str | None = None,
        vifname: str | None = None,
        script: str | None = None,
        ip: str | None = None,
        backend: str | None = None,
        rate: Rate | None = None,
        devid: int | None = None,
        mtu: int | None = None,
        vlan: str | None = None,
        trusted: bool | None = None,
        lock: bool = False,
        ips: tuple[str, ...] = (),
    ) -> None:
        set_slots(self, locals())

    def __str__(self) -> str:
        """The entry in xl's syntax; what `parse_vif` makes this value of again."""
        parts = []
        for key in KEYS:
            value = getattr(self, key)
            if key == "trusted":
                parts += [] if value is None else ["trusted" if value else "untrusted"]
            elif key == "lock":
                parts += ["lock=1"] if value else []
            elif key == "ips":
                parts += ["ips=" + ";".join(value)] if value else []
            elif value is not None:
                parts.append(f"{key}={value}")
        return ",".join(parts)


def parse_vif(text: str, guest_type: str = "") -> Vif:
    """The interface that `text` asks for: ``key=value`` parts and flags with commas between them.

    The words of a ``network-attach`` are such parts: join them with commas. `guest_type` is that of a guest
    that is to be created; "": it runs, whatever it is.

    Raises:
        ConfigError: an unknown key, or a value that makes no sense; nothing is guessed.
    """
    pairs: list[tuple[str, object]] = []
    for word in text.split(","):
        key, equals, value = word.partition("=")
        if word.strip():
            pairs.append((key.strip(), value.strip() if equals else None))
    return _vif(pairs, text, guest_type)


def vif_of_mapping(mapping: Mapping[str, object], guest_type: str = "") -> Vif:
    """The interface that a YAML mapping asks for: the same keys; `ips` may be a list, flags true or false.

    Raises:
        ConfigError: as `parse_vif`.
    """
    shown = ",".join(f"{key}={value}" for key, value in mapping.items())
    return _vif(mapping.items(), shown, guest_type)


def _vif(pairs: Iterable[tuple[str, object]], text: str, guest_type: str) -> Vif:
    entry = _Entry(text)
    values: dict[str, object] = {}
    for name, given in pairs:
        entry.key = name
        key, value = _plain(entry, name, given)
        if key in values:
            entry.fail("is given twice", "keep one of them")
        values[key] = _READERS[key](entry, value)
    return _together(entry, values, guest_type)


def _plain(entry: _Entry, key: str, value: object) -> tuple[str, object]:
    """A key and its value, of what may have been written as a flag or by an old name."""
    if key == "netdev":
        key = "gatewaydev"
    elif key == "untrusted" and value is None:
        key, value = "trusted", "0"
    elif key in ("trusted", "lock") and value is None:
        value = "1"
    if key not in KEYS:
        entry.unknown(key)
    if value is None or (isinstance(value, str) and not value):
        entry.fail("has no value", f"write {key}=…, or leave {key} out")
    return key, value


def _together(entry: _Entry, values: dict[str, object], guest_type: str) -> Vif:
    if values.get("type") == "ioemu" and guest_type != "hvm":
        entry.key = "type"
        why = f"a {guest_type.upper()} guest has no emulated devices, so no ioemu interface"
        if not guest_type:  # its QEMU is told of none (libxl_device_nic_add), and xl leaves half of it there
            why = "an emulated interface comes with its guest, and is plugged into none that runs"
        entry.fail(why, "leave type out, or write type=vif")
    if "ips" in values and values.setdefault("lock", True) is False:
        entry.key = "ips"
        entry.fail(
            "only a locked interface is held to its addresses, and lock=0 says no", "leave lock=0 or ips out"
        )
    if values.get("lock") and "ips" not in values and "ip" in values:
        entry.key = "ip"
        values["ips"] = _addresses(entry, values["ip"])
    if values.get("lock") and not _GUARDED.issuperset(name := str(values.get("vifname", ""))):
        entry.key = "vifname"
        entry.fail(f"{name}: a locked interface's name has letters, digits and . _ - + @ alone")
    return Vif(**values)  # type: ignore[arg-type]  # each reader gives its own key's type


class _Entry:
    """The entry that is being read, for its errors."""

    __slots__ = ("key", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.key = ""

    def fail(self, reason: str, hint: str = "") -> NoReturn:
        raise ConfigError("read vif", f'"{_printable(self.text)}"', f"{self.key}: {reason}", hint=hint)

    def unknown(self, key: str) -> NoReturn:
        if key == "untrusted":
            self.fail("is a flag, and takes no value", "for example: bridge=xenbr0,untrusted")
        if key == "accel":
            self.fail("no longer has a meaning (xl ignores it)", "leave it out")
        if key == "forwarddev" or key.startswith("colo_"):
            self.fail("xentool does not do COLO", "leave it out, or use xl")
        if key[:1].isdigit():
            self.fail("is no key of a vif", "several addresses have a ; between them: ips=10.0.0.5;10.0.0.6")
        import difflib

        near = difflib.get_close_matches(key.lower(), (*KEYS, "untrusted"), 1)
        hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(KEYS)}, untrusted"
        self.key = _printable(key) or '""'
        self.fail("is no key of a vif", hint)

    def word(self, value: object) -> str:
        """The value as one line of plain text."""
        if not isinstance(value, str):
            if isinstance(value, bool) or not isinstance(value, int):
                self.fail("must be text")
            value = str(value)
        if not value.isascii() or not value.isprintable() or "," in value:
            self.fail("holds a character that it must not", "use plain ASCII text without commas")
        return value

    def number(self, value: object, lowest: int, highest: int) -> int:
        text = self.word(value)
        number = int(text) if text.isdecimal() and len(text) < 12 else -1
        if not lowest <= number <= highest:
            self.fail(f"{text} is not a number from {lowest} to {highest}")
        return number


def _printable(text: str) -> str:
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 120 else text[:119] + "…"


def _mac(entry: _Entry, value: object) -> str:
    text = entry.word(value).lower()
    groups = text.replace("-", ":").split(":")
    if len(groups) != 6 or not all(0 < len(group) <= 2 and _HEX.issuperset(group) for group in groups):
        entry.fail(
            f"{text} is not a MAC address: six pairs of hexadecimal digits with colons between them",
            "for example: mac=00:16:3e:74:34:32; without mac one is made",
        )
    mac = ":".join(group.zfill(2) for group in groups)
    if int(groups[0], 16) & 1:
        entry.fail(
            f"{mac} is a multicast address, which no interface can have",
            "the first byte must be even: 00:16:3e:… is Xen's own range",
        )
    if mac in (BACKEND_MAC, "00:00:00:00:00:00"):
        whose = "the one of every backend" if mac == BACKEND_MAC else "nobody's"
        entry.fail(f"{mac} is {whose}", "leave mac out to have one made")
    return mac


def _text(entry: _Entry, value: object) -> str:
    return entry.word(value)


def _bridge(entry: _Entry, value: object) -> str:
    text = entry.word(value)
    if "/" in text or " " in text or text.startswith("-") or len(text) > 255:
        entry.fail(
            f"{_printable(text)} is no name for a bridge", "`ip link show type bridge` lists those there are"
        )
    return text


def _interface(entry: _Entry, value: object) -> str:
    text = entry.word(value)
    if len(text) > MAX_NAME:
        entry.fail(f"{text} is longer than {MAX_NAME} characters, the most that an interface's name can have")
    if text in NOT_NAMES or text.startswith("-") or not frozenset("/:% ").isdisjoint(text):
        entry.fail(
            f"{text} is no name for an interface: no blanks, no / : %, no - in front",
            f"nor is it one of: {', '.join(NOT_NAMES)}",
        )
    return text


def _vifname(entry: _Entry, value: object) -> str:
    text = _interface(entry, value)
    head, dot, tail = text.removeprefix("vif").removesuffix("-emu").partition(".")
    if text.startswith("vif") and dot and head.isdecimal() and tail.isdecimal():
        entry.fail(
            f"{text} is the name of another domain's interface", "choose one that is not vifNUMBER.NUMBER"
        )
    if text.endswith("+"):
        entry.fail(f"to iptables {text} is every interface whose name begins so", "leave the last + out")
    return text


def _type(entry: _Entry, value: object) -> str:
    text = entry.word(value)
    if text not in ("vif", "ioemu"):
        entry.fail(f"{text} is no type of interface", 'there are "vif" and, for HVM guests, "ioemu"')
    return text


def _ip(entry: _Entry, value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(entry.word(item) for item in value)
    return " ".join(entry.word(value).split())


def _rate(entry: _Entry, value: object) -> Rate:
    from xentool.devices.vif.rate import parse_rate

    try:
        return parse_rate(entry.word(value))
    except ValueError as exc:
        entry.fail(str(exc), "for example: 10Mb/s (bits), 250KB/s (bytes), or 1MB/s@20ms")


def _devid(entry: _Entry, value: object) -> int:
    return entry.number(value, 0, MAX_DEVID)


def _mtu(entry: _Entry, value: object) -> int:
    return entry.number(value, MIN_MTU, MAX_MTU)


def _vlan(entry: _Entry, value: object) -> str:
    from xentool.dom0.vlan import parse_vlans

    text = entry.word(value)
    try:
        parse_vlans(text)
    except ValueError as exc:
        entry.fail(str(exc), "for example: vlan=10 (untagged), or vlan=10p/20/100-110")
    return text


def _flag(entry: _Entry, value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = entry.word(value).lower()
    if text not in _ON + _OFF:
        entry.fail(f"{text} is not 0 or 1")
    return text in _ON


def _addresses(entry: _Entry, value: object) -> tuple[str, ...]:
    from xentool.devices.vif.addresses import canonical_address

    if isinstance(value, (list, tuple)):
        words = [entry.word(item) for item in value]
    else:
        words = entry.word(value).replace(";", " ").split()
    found: list[str] = []
    for word in words:
        try:
            address = canonical_address(word)
        except ValueError as exc:
            entry.fail(str(exc), "for example: ips=10.0.0.5;2001:db8::5, or a network: ips=10.0.0.16/28")
        if address in found:
            entry.fail(f"{word} is given twice", "keep one of them")
        found.append(address)
    if not found:
        entry.fail("has no address in it", "for example: ips=10.0.0.5;2001:db8::5")
    if sum(map(len, found)) + len(found) > MAX_IPS:
        entry.fail(f"{len(found)} addresses are more than the store can keep", "write networks: 10.0.0.16/28")
    return tuple(found)


_READERS = {
    "mac": _mac, "bridge": _bridge, "gatewaydev": _interface, "type": _type, "model": _text,
    "vifname": _vifname, "script": _text, "ip": _ip, "backend": _text, "rate": _rate, "devid": _devid,
    "mtu": _mtu, "vlan": _vlan, "trusted": _flag, "lock": _flag, "ips": _addresses,
}  # fmt: skip
