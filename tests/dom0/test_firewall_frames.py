"""What a locked guest can send: real frames, through a real bridge and the kernel's nftables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import frames as f
from tests.support import netns
from xentool.dom0.linux import firewall as firewall_module
from xentool.dom0.linux import ruleset
from xentool.dom0.linux.firewall import NftFirewall

MAC, OTHER = "00:16:3e:00:00:01", "00:16:3e:00:00:02"
OWN, NET, NET_MEMBER, THEIRS, PEER = "10.0.0.1", "10.0.1.0/24", "10.0.1.77", "10.0.0.9", "10.0.0.2"
OWN6, THEIRS6, PEER6 = "2001:db8::1", "2001:db8::9", "2001:db8::2"
LOCAL6 = "fe80::216:3eff:fe00:1"
LAST_TARGET = "10.0.0.200"
ALL_NODES, ALL_ROUTERS, MLD_ROUTERS, SOLICITED = "ff02::1", "ff02::2", "ff02::16", "ff02::1:ff00:1"
ADDRESSES = [OWN, NET, OWN6]
STP, PAE, LLDP = "01:80:c2:00:00:00", "01:80:c2:00:00:03", "01:80:c2:00:00:0e"
LAST = f.arp(MAC, OWN, LAST_TARGET)  # honest under every lock to OWN, or to no address

SLLA, SLLA_SPOOFED = (f.option(f.SOURCE_LLA, f.mac_bytes(mac)) for mac in (MAC, OTHER))
TLLA, TLLA_SPOOFED = (f.option(f.TARGET_LLA, f.mac_bytes(mac)) for mac in (MAC, OTHER))
NONCE = f.option(f.NONCE, b"noncen")


def icmp6(sender: str, target: str, message: bytes) -> bytes:
    return f.ipv6(MAC, sender, target, message, next_header=f.ICMPV6)


def solicit(sender: str, target: str, *options: bytes) -> bytes:
    return icmp6(sender, SOLICITED, f.neighbour(f.NEIGHBOUR_SOLICIT, target, *options))


def advert(target: str, *options: bytes, sender: str = OWN6) -> bytes:
    return icmp6(sender, ALL_NODES, f.neighbour(f.NEIGHBOUR_ADVERT, target, *options))


DISCOVER = f.udp(68, 67)
HONEST_IP = f.ipv4(MAC, OWN, PEER)

HONEST = {
    "ipv4": HONEST_IP,
    "ipv4 from its network": f.ipv4(MAC, NET_MEMBER, PEER),
    "dhcp renewal": f.ipv4(MAC, OWN, PEER, f.udp(68, 67), protocol=f.UDP),
    "dhcp discover": f.ipv4(MAC, "0.0.0.0", "255.255.255.255", DISCOVER, protocol=f.UDP),
    "arp request": f.arp(MAC, OWN, PEER),
    "arp reply": f.arp(MAC, OWN, PEER, operation=f.ARP_REPLY),
    "arp announcement": f.arp(MAC, OWN, OWN),
    "arp probe": f.arp(MAC, "0.0.0.0", OWN),
    "ipv6": f.ipv6(MAC, OWN6, PEER6),
    "ipv6 link-local": f.ipv6(MAC, LOCAL6, PEER6),
    "ping6": icmp6(OWN6, PEER6, f.icmpv6(f.ECHO_REQUEST)),
    "fragment": f.ipv6(MAC, OWN6, PEER6, f.fragment(f.UDP) + f.udp(1, 2), next_header=f.FRAGMENT),
    "later fragment": f.ipv6(MAC, OWN6, PEER6, f.fragment(f.UDP, 1480) + b"rest", next_header=f.FRAGMENT),
    "solicitation": solicit(OWN6, PEER6, SLLA),
    "solicitation, no option": solicit(OWN6, PEER6),
    "solicitation with nonce": solicit(OWN6, PEER6, NONCE),
    "address detection": solicit("::", OWN6),
    "address detection with nonce": solicit("::", OWN6, NONCE),
    "address detection, link-local": solicit("::", LOCAL6, NONCE),
    "advertisement": advert(OWN6, TLLA),
    "advertisement, link-local": advert(LOCAL6, TLLA, sender=LOCAL6),
    "advertisement, no option": advert(OWN6),
    "router solicitation": icmp6(LOCAL6, ALL_ROUTERS, f.icmpv6(f.ROUTER_SOLICIT, bytes(4) + SLLA)),
    "router solicitation, no option": icmp6(LOCAL6, ALL_ROUTERS, f.icmpv6(f.ROUTER_SOLICIT)),
    "router solicitation, no address": icmp6("::", ALL_ROUTERS, f.icmpv6(f.ROUTER_SOLICIT)),
    "multicast report, no address": f.ipv6(
        MAC,
        "::",
        MLD_ROUTERS,
        f.extension(f.ICMPV6) + f.icmpv6(f.MLD2_REPORT),
        next_header=f.HOP_BY_HOP,
    ),
}

ANY_LOCK = {
    "another mac": f.ipv4(OTHER, OWN, PEER),
    "a group's mac": f.ipv4("01:16:3e:00:00:01", OWN, PEER),
    "arp of another mac": f.arp(OTHER, OWN, PEER),
    "arp with another mac inside": f.arp(MAC, OWN, PEER, hardware=OTHER),
    "arp reply with another mac inside": f.arp(MAC, OWN, PEER, hardware=OTHER, operation=f.ARP_REPLY),
    "arp of another hardware": f.arp(MAC, OWN, PEER, shape=(6, 0x0800, 6, 4)),
    "arp of another protocol": f.arp(MAC, OWN, PEER, shape=(1, 0x0805, 6, 4)),
    "arp with long mac": f.arp(MAC, OWN, PEER, shape=(1, 0x0800, 8, 4)),
    "arp with long address": f.arp(MAC, OWN, PEER, shape=(1, 0x0800, 6, 16)),
    "vlan": f.tagged(HONEST_IP, (0x8100, 10)),
    "priority tag": f.tagged(HONEST_IP, (0x8100, 0xE000)),
    "arp in a vlan": f.tagged(f.arp(MAC, OWN, PEER, hardware=OTHER), (0x8100, 10)),
    "service vlan": f.tagged(HONEST_IP, (0x88A8, 10)),
    "vlan in a vlan": f.tagged(HONEST_IP, (0x8100, 10), (0x8100, 20)),
    "old service vlan": f.tagged(HONEST_IP, (0x9100, 10)),
}
"""What passes under no lock, with addresses or without."""

WITH_ADDRESSES = {
    "ipv4 of another": f.ipv4(MAC, THEIRS, PEER),
    "ipv4 beside its network": f.ipv4(MAC, "10.0.2.0", PEER),
    "ipv4 of nobody": f.ipv4(MAC, "0.0.0.0", PEER),
    "no dhcp from nobody": f.ipv4(MAC, "0.0.0.0", "255.255.255.255", f.udp(68, 69), protocol=f.UDP),
    "dhcp of nobody, not to all": f.ipv4(MAC, "0.0.0.0", PEER, DISCOVER, protocol=f.UDP),
    "dhcp server": f.ipv4(MAC, OWN, "255.255.255.255", f.udp(67, 68), protocol=f.UDP),
    "dhcp server, other port": f.ipv4(MAC, OWN, PEER, f.udp(6767, 68), protocol=f.UDP),
    "dhcp server, ip options": f.ipv4(MAC, OWN, PEER, f.udp(67, 68), protocol=f.UDP, options=b"\1" * 8),
    "arp for another": f.arp(MAC, THEIRS, PEER),
    "arp reply for another": f.arp(MAC, THEIRS, PEER, operation=f.ARP_REPLY),
    "arp probe for another": f.arp(MAC, "0.0.0.0", THEIRS),
    "arp reply of nobody": f.arp(MAC, "0.0.0.0", OWN, operation=f.ARP_REPLY),
    "reverse arp": f.ethernet(MAC, 0x8035, f.arp(MAC, OWN, PEER)[14:]),
    "ipv6 of another": f.ipv6(MAC, THEIRS6, PEER6),
    "link-local of another": f.ipv6(MAC, "fe80::216:3eff:fe00:2", PEER6),
    "ipv6 of nobody": f.ipv6(MAC, "::", PEER6),
    "router": icmp6(LOCAL6, ALL_NODES, f.icmpv6(f.ROUTER_ADVERT, bytes(12))),
    "router behind options": f.ipv6(
        MAC,
        LOCAL6,
        ALL_NODES,
        f.extension(f.DESTINATION_OPTIONS) + f.extension(f.ICMPV6) + f.icmpv6(f.ROUTER_ADVERT, bytes(12)),
        next_header=f.HOP_BY_HOP,
    ),
    "router in a first fragment": f.ipv6(
        MAC,
        LOCAL6,
        ALL_NODES,
        f.fragment(f.ICMPV6) + f.icmpv6(f.ROUTER_ADVERT, bytes(12)),
        next_header=f.FRAGMENT,
    ),
    "what a first fragment hides": f.ipv6(
        MAC, LOCAL6, ALL_NODES, f.fragment(f.DESTINATION_OPTIONS) + bytes(8), next_header=f.FRAGMENT
    ),
    "redirect": icmp6(LOCAL6, ALL_NODES, f.icmpv6(f.REDIRECT, bytes(36))),
    "dhcpv6 server": f.ipv6(MAC, LOCAL6, ALL_NODES, f.udp(547, 546), next_header=f.UDP),
    "solicitation of another": solicit(THEIRS6, PEER6, SLLA),
    "solicitation with another mac": solicit(OWN6, PEER6, SLLA_SPOOFED),
    "solicitation with another mac behind": solicit(OWN6, PEER6, SLLA, SLLA_SPOOFED),
    "solicitation with another mac behind a nonce": solicit(OWN6, PEER6, NONCE, SLLA_SPOOFED),
    "address detection of another's": solicit("::", THEIRS6, NONCE),
    "advertisement of another's": advert(THEIRS6, TLLA),
    "advertisement with another mac": advert(OWN6, TLLA_SPOOFED),
    "advertisement with another mac behind": advert(OWN6, TLLA, TLLA_SPOOFED),
    "router solicitation with another mac": icmp6(
        LOCAL6, ALL_ROUTERS, f.icmpv6(f.ROUTER_SOLICIT, bytes(4) + SLLA_SPOOFED)
    ),
    "mpls": f.ethernet(MAC, 0x8847, bytes(4) + HONEST_IP[14:]),
    "pppoe": f.ethernet(MAC, 0x8864, b"\x11\0\0\1\0\x1a\0\x21" + HONEST_IP[14:]),
    "802.2": f.ethernet(MAC, 46, b"\xaa\xaa\3" + bytes(43)),
}

GROUPS = {
    "lldp": f.ethernet(MAC, 0x88CC, bytes(46), LLDP),
    "bpdu": f.ethernet(MAC, 38, b"\x42\x42\3" + bytes(43), STP),
    "802.1x": f.ethernet(MAC, 0x888E, bytes(46), PAE),
    "ipv4 to a group of 802.1d": f.ethernet(MAC, 0x0800, HONEST_IP[14:], LLDP),
}


@pytest.fixture
def network() -> Iterator[None]:
    netns.need_root()
    with netns.network_namespace():
        netns.make_bridge()
        netns.make_vif(netns.VIF, netns.GUEST)
        netns.make_vif(netns.OTHER_VIF, netns.OTHER_GUEST)
        netns.plug(netns.OTHER_VIF, netns.OTHER_GUEST)
        yield


@pytest.fixture
def firewall() -> NftFirewall:
    return NftFirewall()


class Wire:
    """The guest's end, and where its frames may come out: another guest, and Domain-0's own stack."""

    def __init__(self) -> None:
        self.guest, self.other = netns.Tap(netns.GUEST), netns.Tap(netns.OTHER_GUEST)
        self.dom0 = netns.Tap(netns.BRIDGE)

    def passed(self, frames: dict[str, bytes]) -> set[str]:
        """The names of the frames that came anywhere."""
        names = list(frames)
        came = netns.arriving(self.guest, [self.other, self.dom0], list(frames.values()), LAST)
        return {names[index] for index in came[0] | came[1]}

    def close(self) -> None:
        for tap in (self.guest, self.other, self.dom0):
            tap.close()


@pytest.fixture
def wire(network: None) -> Iterator[Wire]:
    netns.plug(netns.VIF, netns.GUEST)
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture(params=[True, False], ids=["by name", "at the device"])
def bridged(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_what_an_unlocked_guest_sends_arrives(wire: Wire) -> None:
    """Without which the other tests would say nothing."""
    everything = HONEST | ANY_LOCK | WITH_ADDRESSES
    assert wire.passed(everything) == everything.keys() - {"a group's mac"}


def test_a_guest_locked_to_addresses(wire: Wire, firewall: NftFirewall, bridged: bool) -> None:
    firewall.guard(netns.VIF, MAC, ADDRESSES, bridged=bridged)
    assert wire.passed(HONEST | ANY_LOCK | WITH_ADDRESSES | GROUPS) == HONEST.keys()
    firewall.unguard(netns.VIF)
    assert "another mac" in wire.passed(ANY_LOCK)


def test_a_guest_locked_to_its_mac(wire: Wire, firewall: NftFirewall, bridged: bool) -> None:
    firewall.guard(netns.VIF, MAC, [], bridged=bridged)
    assert wire.passed(HONEST | ANY_LOCK | WITH_ADDRESSES | GROUPS) == (HONEST | WITH_ADDRESSES).keys()


def test_addresses_of_one_kind_leave_nothing_to_the_other(wire: Wire, firewall: NftFirewall) -> None:
    firewall.guard(netns.VIF, MAC, [OWN, NET])
    four = {name for name in HONEST if name.startswith(("ipv4", "arp", "dhcp"))}
    assert wire.passed(HONEST | WITH_ADDRESSES) == four


def by_name(firewall: NftFirewall, addresses: list[str]) -> None:
    """The guard as it is before the interface is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firewall_module, "_has_device", lambda _name: False)
        firewall.guard(netns.VIF, MAC, addresses)


@pytest.mark.parametrize("addresses", [ADDRESSES, []], ids=["addresses", "mac alone"])
def test_no_rule_is_superfluous(
    wire: Wire, firewall: NftFirewall, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = ruleset.lock_rules(netns.VIF, ruleset.Lock(netns.VIF, MAC, addresses))
    everything = HONEST | ANY_LOCK | WITH_ADDRESSES | GROUPS
    by_name(firewall, addresses)
    whole = wire.passed(everything)
    idle = []
    for index, rule in enumerate(rules):
        without = rules[:index] + rules[index + 1 :]
        without.insert(0, f"ether type arp arp daddr ip {LAST_TARGET} accept")  # it must still arrive
        monkeypatch.setattr(ruleset, "lock_rules", lambda _name, _lock, rules=without: rules)
        by_name(firewall, addresses)
        if wire.passed(everything) == whole:
            idle.append(rule)
    assert idle == []


def learned() -> str:
    return netns.command("bridge", "fdb", "show", "br", netns.BRIDGE)


@pytest.mark.parametrize("group", [LLDP, PAE])
def test_no_bridge_learns_another_mac_from_a_guest(wire: Wire, firewall: NftFirewall, group: str) -> None:
    """From frames to a bridge's own groups, which never come to its prerouting hook."""
    spoofed = {"spoofed": f.ethernet(OTHER, 0x88CC, bytes(46), group)}
    if group == LLDP:  # from which a bridge learns without calling any hook
        firewall.guard(netns.VIF, MAC, [])
    else:
        by_name(firewall, [])
    wire.passed(spoofed)
    assert MAC in learned()
    assert OTHER not in learned()
    firewall.unguard(netns.VIF)
    wire.passed(spoofed)
    assert OTHER in learned()


def test_a_guard_by_name_outlives_its_interface(network: None, firewall: NftFirewall) -> None:
    netns.ip("link", "del", netns.VIF)
    firewall.guard(netns.VIF, MAC, ADDRESSES)
    for _ in range(2):
        netns.make_vif(netns.VIF, netns.GUEST)
        netns.plug(netns.VIF, netns.GUEST)
        wire = Wire()
        assert wire.passed(ANY_LOCK) == set()
        wire.close()
        netns.ip("link", "del", netns.VIF)
    assert firewall.guarded() == {netns.VIF: (OWN, NET, OWN6)}


def test_one_guest_s_guard_is_none_of_the_other_s(wire: Wire, firewall: NftFirewall) -> None:
    firewall.guard(netns.OTHER_VIF, OTHER, [THEIRS])
    assert "another mac" in wire.passed(ANY_LOCK)
    firewall.guard(netns.VIF, MAC, ADDRESSES)
    firewall.unguard(netns.OTHER_VIF)
    assert wire.passed(ANY_LOCK) == set()


def test_a_guard_stays_at_an_interface_that_is_renamed_as_foreseen(
    network: None, firewall: NftFirewall
) -> None:
    firewall.guard(netns.VIF, MAC, ADDRESSES, bridged=False)
    firewall.guard("web0", MAC, ADDRESSES, bridged=False, awaited=True)
    netns.ip("link", "set", netns.VIF, "name", "web0")
    netns.plug("web0", netns.GUEST)
    wire = Wire()
    assert wire.passed(HONEST | ANY_LOCK | WITH_ADDRESSES) == HONEST.keys()
    firewall.unguard(netns.VIF)
    firewall.unguard("web0")
    assert "another mac" in wire.passed(ANY_LOCK)
    wire.close()
