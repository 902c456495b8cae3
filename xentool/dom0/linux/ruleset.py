"""The virtual firewall-router's rules, in nftables' words: what may leave a guest.

Pure text, made of values that were checked here: an interface's name, a MAC, IP addresses.

Two tables of our own, both called ``xentool``:

- ``bridge``, for interfaces in a Linux bridge. A chain per interface, found by its name through a
  verdict map, so that a frame costs the same with one guest or a thousand. The name is matched when
  a frame comes: the rules stand before the interface does, and still do when it goes and comes back.
- ``netdev``, the interface's own ingress hook, before all else in the kernel. It needs an interface
  that is there, and goes with it; since Linux 6.16 it needs none, and is for the name. Those that are
  routed, or in an Open vSwitch, whose frames no bridge hook sees, have their whole chain here, from
  before they are up. Those in a bridge have the MAC alone:

From frames to the group addresses of 802.1D a bridge learns their sender's MAC without calling its
prerouting hook; hence a base chain on ``input``. From LLDP's it learns without calling any (br_input.c
of Linux, br_handle_frame); hence the ingress hook. Without them one frame from a guest draws another's
traffic to it.

Source: nft(8); RFC 826, 5227 (ARP); RFC 4861, 7113, 7527 (neighbour discovery); RFC 2131, 8415 (DHCP).
"""

from __future__ import annotations

from xentool.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Interval = tuple[int, int]

TABLE = "xentool"
MAP = "interfaces"
FAMILIES = ("bridge", "netdev")

# Before the bridge's own destination NAT (-300), so that nothing has been rewritten yet.
_PRIORITY = -310
_GROUPS = "ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00"
BASE_RULES = {
    "prerouting": f"iifname vmap @{MAP}",
    "input": f"{_GROUPS} iifname vmap @{MAP}",
}
"""The rule of each base chain of the bridge table. What is on its way to Domain-0 itself may have got the
tag of its port's VLAN since prerouting, where it was judged: `input` looks at the groups' frames alone."""

_IFNAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@")
_IFNAME_BYTES = 15  # IFNAMSIZ - 1 (linux/if.h)
_HEX = frozenset("0123456789abcdef")
_SIZES = {4: 4, 6: 16}


class Lock:
    """What one guest's interface may send: frames from `mac`; with addresses, from these alone.

    `v4` and `v6` are sorted intervals (first, last) that do not touch.
    """

    __slots__ = ("mac", "v4", "v6")

    def __init__(self, name: str, mac: str, addresses: Sequence[str]) -> None:
        """Check the values.

        Raises:
            ConfigError: the MAC or an address is none.
        """
        self.mac = _checked_mac(name, mac)
        found: dict[int, list[Interval]] = {4: [], 6: []}
        for address in addresses:
            version, interval = _parse_address(name, address)
            found[version].append(interval)
        self.v4, self.v6 = _merged(found[4]), _merged(found[6])

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses, each as ADDRESS, NET/BITS, or FIRST-LAST where several have merged."""
        return tuple(
            interval_text(version, first, last)
            for version, intervals in ((4, self.v4), (6, self.v6))
            for first, last in intervals
        )


def guard_commands(name: str, lock: Lock) -> list[str]:
    """The commands that put an interface in a bridge under `lock`, there or not yet; to be run in one go."""
    lines = [*skeleton_commands(), *_chain_commands("bridge", name, lock, lock_rules(name, lock))]
    return [*lines, f'add element bridge {TABLE} {MAP} {{ "{name}" : goto {chain_name(name)} }}']


def device_commands(name: str, lock: Lock, *, bridged: bool) -> list[str]:
    """The commands that guard an interface that is there on its own hook: wholly, or what no bridge can."""
    rules = sender_rules(lock) if bridged else lock_rules(name, lock)
    base = base_name(name)
    hook = f'type filter hook ingress device "{name}" priority {_PRIORITY}; policy accept;'
    return [
        f"add table netdev {TABLE}",
        *_chain_commands("netdev", name, lock, rules),
        f"add chain netdev {TABLE} {base} {{ {hook} }}",
        f"flush chain netdev {TABLE} {base}",
        f"add rule netdev {TABLE} {base} goto {chain_name(name)}",
    ]


def _chain_commands(family: str, name: str, lock: Lock, rules: list[str]) -> list[str]:
    lines = _empty_parts(family, name)
    for version, intervals in ((4, lock.v4), (6, lock.v6)):
        if intervals:
            texts = ", ".join(interval_text(version, *interval) for interval in intervals)
            lines.append(f"add element {family} {TABLE} {set_name(name, version)} {{ {texts} }}")
    return lines + [f"add rule {family} {TABLE} {chain_name(name)} {rule}" for rule in rules]


def unguard_commands(name: str, family: str) -> list[str]:
    """The commands that take an interface's rules away; its table must be there, its rules need not.

    Nftables knows no "delete if there" before 1.0.7 and Linux 6.3: what is added first can be deleted.
    """
    chain = chain_name(name)
    lines = _empty_parts(family, name)
    if family == "bridge":
        lines += [
            *skeleton_commands(),
            f'add element bridge {TABLE} {MAP} {{ "{name}" : goto {chain} }}',
            f'delete element bridge {TABLE} {MAP} {{ "{name}" }}',
        ]
    else:
        lines += [f"{verb} chain netdev {TABLE} {base_name(name)}" for verb in ("add", "flush", "delete")]
    lines += [f"delete chain {family} {TABLE} {chain}"]
    lines += [f"delete set {family} {TABLE} {set_name(name, version)}" for version in _SIZES]
    return lines


def skeleton_commands() -> list[str]:
    """The bridge table without any interface. Said again with each guard, so that it is what it should be."""
    lines = [f"add table bridge {TABLE}", f"add map bridge {TABLE} {MAP} {{ type ifname : verdict; }}"]
    for hook, rule in BASE_RULES.items():
        kind = f"type filter hook {hook} priority {_PRIORITY}; policy accept;"
        lines += [
            f"add chain bridge {TABLE} {hook} {{ {kind} }}",
            f"flush chain bridge {TABLE} {hook}",
            f"add rule bridge {TABLE} {hook} {rule}",
        ]
    return lines


def _empty_parts(family: str, name: str) -> list[str]:
    check_name(name)
    chain = chain_name(name)
    lines = [f"add chain {family} {TABLE} {chain}", f"flush chain {family} {TABLE} {chain}"]
    for version in _SIZES:
        own = set_name(name, version)
        lines += [
            f"add set {family} {TABLE} {own} {{ type ipv{version}_addr; flags interval; }}",
            f"flush set {family} {TABLE} {own}",
        ]
    return lines


def lock_rules(name: str, lock: Lock) -> list[str]:
    """The rules of an interface's chain, in their order; what ends in none of them may pass."""
    rules = sender_rules(lock)
    arp = f"ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp saddr ether {lock.mac}"
    if not (lock.v4 or lock.v6):
        return [
            *rules,
            f"{_GROUPS} drop",
            # A tagged frame may hide anything, ARP too, and reach other VLANs: no rule looks behind a tag.
            "ether type { 8021q, 8021ad, 0x9100 } drop",
            f"{arp} accept",
            "ether type arp drop",
        ]
    # "ether type" is said each time: what nftables would put there by itself does look behind a VLAN tag.
    if lock.v4:
        rules += _rules_v4(arp, f"@{set_name(name, 4)}")
    if lock.v6:
        rules += _rules_v6(lock, f"@{set_name(name, 6)}")
    return [*rules, "drop"]


def sender_rules(lock: Lock) -> list[str]:
    """The rule of the sender's MAC, always the first."""
    return [f"ether saddr != {lock.mac} drop"]


def _rules_v4(arp: str, own: str) -> list[str]:
    return [
        f"{arp} arp saddr ip {own} accept",
        # Probing for somebody else's address would look like a conflict to its owner (RFC 5227, 2.1.1).
        f"{arp} arp operation request arp saddr ip 0.0.0.0 arp daddr ip {own} accept",
        # A DHCP server's, or a relay's, words to a client: clients look at the destination port alone.
        "ether type ip udp dport 68 drop",
        f"ether type ip ip saddr {own} accept",
        "ether type ip ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
    ]


def _rules_v6(lock: Lock, own: str) -> list[str]:
    mac = lock.mac.replace(":", "")
    link_local = link_local_of(lock.mac)
    targets = ", ".join(
        f"{first:#034x}" if first == last else f"{first:#034x}-{last:#034x}"
        for first, last in _merged([*lock.v6, (link_local, link_local)])
    )
    target = f"@th,64,128 {{ {targets} }}"  # nftables before 1.0.9 has no name for the target address
    ip6 = "ether type ip6"
    listener = "{ nd-router-solicit, mld-listener-report, mld2-listener-report }"
    options = (
        # Neighbour discovery's messages without options, or with one that tells our own MAC, or a nonce.
        ("nd-router-solicit", 8, f"@th,64,64 0x0101{mac}"),
        ("nd-neighbor-solicit", 24, f"@th,192,64 0x0101{mac}"),
        ("nd-neighbor-solicit", 24, "@th,192,16 0x0e01"),
        ("nd-neighbor-advert", 24, f"@th,192,64 0x0201{mac}"),
    )
    rules = [
        # A header that comes after the fragment header can be pushed out of the first fragment: nobody
        # could see then what it is that it hides (RFC 7112, 7113).
        f"{ip6} frag nexthdr {{ 0, 43, 44, 51, 60, 135, 139, 140 }} drop",
        # Without an address yet: is mine free (the nonce is RFC 7527's), who routes, what I listen to.
        f"{ip6} ip6 saddr :: ip6 daddr ff02::1:ff00:0/104 icmpv6 type nd-neighbor-solicit {target} accept",
        f"{ip6} ip6 saddr :: ip6 daddr ff02::/16 icmpv6 type {listener} accept",
        f"{ip6} ip6 saddr != {own} ip6 saddr != {_text(6, link_local)} drop",
        # What routers and DHCP servers alone say.
        f"{ip6} icmpv6 type {{ nd-router-advert, nd-redirect }} drop",
        f"{ip6} udp dport 546 drop",
        f"{ip6} icmpv6 type nd-neighbor-advert {_other_than(target)} drop",
    ]
    for kind, length, option in options:
        plain = f"{ip6} icmpv6 type {kind} ip6 length {length} accept"
        if plain not in rules:
            rules.append(plain)
        rules.append(f"{ip6} icmpv6 type {kind} ip6 length {length + 8} {option} accept")
    rules += [
        f"{ip6} icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} drop",
        f"{ip6} accept",
    ]
    return rules


def _other_than(match: str) -> str:
    field, _, values = match.partition(" ")
    return f"{field} != {values}"


def check_name(name: str) -> None:
    """Refuse what is no interface's name, or one that nftables could take for more than a name."""
    if not 0 < len(name) <= _IFNAME_BYTES or not _IFNAME.issuperset(name) or name in (".", ".."):
        raise ConfigError(
            "guard interface",
            repr(name),
            "a guarded interface's name has 1 to 15 of the characters A-Z a-z 0-9 . _ - + @",
            hint="choose another vifname",
        )


def chain_name(name: str) -> str:
    """The interface's chain: nftables' names know fewer characters; "/" is in no interface's name."""
    return f"if/{_escaped(name)}"


def base_name(name: str) -> str:
    """The base chain on the interface's own ingress hook."""
    return f"dev/{_escaped(name)}"


def set_name(name: str, version: int) -> str:
    return f"ip{version}/{_escaped(name)}"


def _escaped(name: str) -> str:
    return name.replace("+", "/2b").replace("@", "/40")


def unescaped(name: str) -> str:
    return name.replace("/2b", "+").replace("/40", "@")


def _checked_mac(name: str, mac: str) -> str:
    parts = mac.lower().split(":")
    if len(parts) != 6 or any(len(part) != 2 or not _HEX.issuperset(part) for part in parts):
        raise ConfigError(
            "guard interface", name, f"{mac!r} is no MAC address", hint="write 00:16:3e:xx:xx:xx"
        )
    if int(parts[0], 16) & 1:
        raise ConfigError("guard interface", name, f"{mac} is a group's address, no interface's")
    return ":".join(parts)


def link_local_of(mac: str) -> int:
    """The IPv6 address that a kernel makes of its MAC (RFC 4291, appendix A: modified EUI-64)."""
    number = int(mac.replace(":", ""), 16) ^ 1 << 41
    return 0xFE80 << 112 | number >> 24 << 40 | 0xFFFE << 24 | number & 0xFFFFFF


def _parse_address(name: str, text: str) -> tuple[int, Interval]:
    """ADDRESS, NET/BITS, or FIRST-LAST."""
    head, slash, bits_text = text.partition("/")
    head, dash, tail = head.partition("-")
    version, first = _number(name, head, text)
    width = _SIZES[version] * 8
    if dash:
        other, last = _number(name, tail, text)
        if other != version or last < first or slash:
            raise ConfigError("guard interface", name, f"{text!r} is no range of IP addresses")
        return version, (first, last)
    if not slash:
        return version, (first, first)
    bits = int(bits_text) if bits_text.isascii() and bits_text.isdigit() and len(bits_text) < 4 else 999
    if bits > width:
        raise ConfigError(
            "guard interface", name, f"{text!r} has no number of bits up to {width} after its /"
        )
    size = 1 << (width - bits)
    if first % size:
        net = _text(version, first - first % size)
        raise ConfigError(
            "guard interface",
            name,
            f"{text} is an address in a network, not the network",
            hint=f"write {head} for the one address, {net}/{bits} for all of the network",
        )
    return version, (first, first + size - 1)


def _number(name: str, address: str, text: str) -> tuple[int, int]:
    from _socket import AF_INET, AF_INET6, inet_pton

    version = 6 if ":" in address else 4
    try:
        packed = inet_pton(AF_INET6 if version == 6 else AF_INET, address)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            "guard interface", name, f"{text!r} is no IP address", hint="write ADDRESS or NET/BITS"
        ) from exc
    return version, int.from_bytes(packed, "big")


def _merged(intervals: Sequence[Interval]) -> list[Interval]:
    """Sorted, and without overlaps, which nftables refuses."""
    result: list[Interval] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def interval_text(version: int, first: int, last: int) -> str:
    """ADDRESS, NET/BITS, or FIRST-LAST."""
    size = last - first + 1
    if size == 1:
        return _text(version, first)
    if size & (size - 1) == 0 and first % size == 0:
        return f"{_text(version, first)}/{_SIZES[version] * 8 - size.bit_length() + 1}"
    return f"{_text(version, first)}-{_text(version, last)}"


def _text(version: int, address: int) -> str:
    from _socket import AF_INET, AF_INET6, inet_ntop

    return inet_ntop(AF_INET6 if version == 6 else AF_INET, address.to_bytes(_SIZES[version], "big"))
