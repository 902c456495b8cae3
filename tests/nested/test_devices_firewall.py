"""The virtual firewall-router and the rate limit, against a guest that sends whatever it likes."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, write_config
from tests.nested.traffic import DOM0_ADDRESS, QUIET, Capture, Guest, bridge, received_bytes, tap
from tests.nested.waiting import settled

OWN_MAC, OWN_IP = "00:16:3e:00:00:01", "10.17.1.1"
FOREIGN_MAC, FOREIGN_IP = "00:16:3e:00:00:66", "10.17.1.66"
BROADCAST, GROUP_OF_8021D = "ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:0e"
IPV4, ARP, IPV6, RARP, VLAN, SERVICE_VLAN = 0x0800, 0x0806, 0x86DD, 0x8035, 0x8100, 0x88A8
RATE_BITS = 4_000_000
TOLERANCE = 0.1
MEASUREMENTS = 5


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(source: str, ethertype: int, payload: bytes, target: str = BROADCAST) -> bytes:
    return mac_bytes(target) + mac_bytes(source) + struct.pack(">H", ethertype) + payload


def arp(sender_mac: str, sender_ip: str, operation: int = 1) -> bytes:
    """RFC 826's packet for Ethernet and IPv4, asking for (or, as 2, telling) an address."""
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, operation)
    sender, target = socket.inet_aton(sender_ip), socket.inet_aton("10.17.0.77")
    return head + mac_bytes(sender_mac) + sender + bytes(6) + target


def ipv4(source: str) -> bytes:
    """A UDP packet to everybody."""
    udp = struct.pack(">HHHH", 4000, 4001, 16, 0) + bytes(8)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    head += socket.inet_aton(source) + b"\xff" * 4
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + head[12:] + udp


def ipv6(source: str) -> bytes:
    address, everybody = (ipaddress.IPv6Address(text).packed for text in (source, "ff02::1"))
    return struct.pack(">IHBB", 0x60000000, 8, 59, 64) + address + everybody + bytes(8)


def tagged(tag: int, ethertype: int, payload: bytes) -> bytes:
    return struct.pack(">HH", tag, ethertype) + payload


SPOOFED = {
    "another's MAC": ethernet(FOREIGN_MAC, IPV4, ipv4(OWN_IP)),
    "another's MAC, to a group of 802.1D": ethernet(FOREIGN_MAC, 0x88CC, bytes(40), GROUP_OF_8021D),
    "another's IP": ethernet(OWN_MAC, IPV4, ipv4(FOREIGN_IP)),
    "Domain-0's IP": ethernet(OWN_MAC, IPV4, ipv4(DOM0_ADDRESS)),
    "another's IP in a VLAN": ethernet(OWN_MAC, VLAN, tagged(5, IPV4, ipv4("10.17.1.67"))),
    "another's IP in two VLANs": ethernet(
        OWN_MAC, SERVICE_VLAN, tagged(5, VLAN, tagged(6, IPV4, ipv4("10.17.1.68")))
    ),
    "ARP from another's MAC": ethernet(FOREIGN_MAC, ARP, arp(OWN_MAC, OWN_IP)),
    "ARP that names another's MAC": ethernet(OWN_MAC, ARP, arp(FOREIGN_MAC, OWN_IP)),
    "ARP that asks as another": ethernet(OWN_MAC, ARP, arp(OWN_MAC, FOREIGN_IP)),
    "ARP that tells Domain-0's address": ethernet(OWN_MAC, ARP, arp(OWN_MAC, DOM0_ADDRESS, 2)),
    "reverse ARP": ethernet(OWN_MAC, RARP, arp(OWN_MAC, FOREIGN_IP, 3)),
    "an IPv6 address that was not given": ethernet(OWN_MAC, IPV6, ipv6("2001:db8::66")),
}
HONEST = {
    "ARP": ethernet(OWN_MAC, ARP, arp(OWN_MAC, OWN_IP)),
    "IPv4": ethernet(OWN_MAC, IPV4, ipv4(OWN_IP)),
}
TIMES = 20


def counts(frames: list[bytes], kinds: dict[str, bytes]) -> dict[str, int]:
    """How many there are of each kind. Drivers pad frames and take tags out: what is inside counts."""
    return {
        name: sum(frame[:12] == kind[:12] and kind[-28:] in frame for frame in frames)
        for name, kind in kinds.items()
    }


@pytest.mark.once
def test_a_guest_under_lock_and_one_at_a_rate(dom0: Dom0, tmp_path: Path, traffic_ramdisk: str) -> None:
    with ExitStack() as stack:
        name = stack.enter_context(bridge(dom0))
        rated = stack.enter_context(bridge(dom0, "xenbr1", "10.18.0.1/16"))
        config = write_config(
            tmp_path / "liar.cfg", name="liar", type="pv", kernel=dom0.kernel, ramdisk=traffic_ramdisk,
            memory=128, extra=QUIET,
            vif=[
                f"bridge={name},mac={OWN_MAC},lock,ips={OWN_IP}",
                f"bridge={rated},rate={RATE_BITS // 1_000_000}Mb/s",
            ],
        )  # fmt: skip
        guest = stack.enter_context(Guest(dom0, config))
        guest.wait_until_up()
        guest.sh(f"ip address add {OWN_IP}/16 dev eth0; ip link set eth0 up")
        guest.sh("ip address add 10.18.1.1/16 dev eth1; ip link set eth1 up")
        # The kernel's own words are not to be counted, and a vif is up when its guest is connected.
        assert " 0% packet loss" in guest.sh(f"ping -c 2 -W 60 {DOM0_ADDRESS}")
        nothing_spoofed_arrives(dom0, guest, stack.enter_context(tap(dom0, name)), name)
        the_rate_is_kept(guest)
    assert dom0.run("nft", "list", "ruleset").stdout.count("10.17.1.1") == 0


def nothing_spoofed_arrives(dom0: Dom0, guest: Guest, other_port: str, bridge_name: str) -> None:
    """Not at another port, not at Domain-0; and the bridge has not learned the liar's MAC."""
    everything = SPOOFED | HONEST
    # A port forwards once the kernel has come to see that its link is up.
    assert settled(lambda: Path("/sys/class/net/tap-in/brport/state").read_text(), "3\n") == "3\n"
    with (
        Capture(f"vif{guest.domid}.0") as sent,
        Capture(other_port) as flooded,
        Capture(bridge_name) as dom0s,
    ):
        said = guest.python("frames", "eth0", TIMES, *(frame.hex() for frame in everything.values()))
        assert f"sent {TIMES * len(everything)}\n" in said
        # In order: once an honest answer is here, all that was sent before has been seen by the bridge.
        assert " 0% packet loss" in guest.sh(f"ping -c 2 -W 60 {DOM0_ADDRESS}")
        left, arrived, received = sent.frames(), flooded.frames(), dom0s.frames()
    assert counts(left, everything) == dict.fromkeys(everything, TIMES), "it did send them"
    expected = dict.fromkeys(SPOOFED, 0) | dict.fromkeys(HONEST, TIMES)
    assert counts(arrived, everything) == expected
    assert counts(received, everything) == expected
    assert FOREIGN_MAC not in dom0.run("bridge", "fdb", "show", "br", bridge_name).stdout


def the_rate_is_kept(guest: Guest) -> None:
    """The guest sends as fast as it can: never does more arrive than was allowed, and so much does.

    A machine that gives the guest no time for a while makes it send less, hence more than one measurement.
    """
    interface, seconds, rates = f"vif{guest.domid}.1", 4.0, list[float]()
    enough = threading.Event()
    with socket.create_server(("10.18.0.1", 5001)) as server:
        server.settimeout(150)
        sink = threading.Thread(target=drain, args=(server, enough))
        sink.start()
        guest.send("dd if=/dev/zero bs=64k 2>/dev/null | timeout 300 nc 10.18.0.1 5001; true")
        time.sleep(2)  # what it may send at once to begin with is gone, and TCP knows its pace
        while len(rates) < MEASUREMENTS and not (rates and abs(rates[-1] / RATE_BITS - 1) <= TOLERANCE):
            # The counter is read within the time: what comes while this process stands still had its time.
            begun, before = time.monotonic(), received_bytes(interface)
            time.sleep(seconds)
            after, ended = received_bytes(interface), time.monotonic()
            rates.append((after - before) * 8 / (ended - begun))
        enough.set()
        sink.join()
        guest.answer()
    print(f"rates: {', '.join(f'{rate / 1e6:.2f}' for rate in rates)} of {RATE_BITS / 1e6:.2f} Mb/s")
    assert max(rates) / RATE_BITS <= 1 + TOLERANCE, "more than was allowed"
    assert max(rates) / RATE_BITS >= 1 - TOLERANCE, "less than was allowed"


def drain(server: socket.socket, enough: threading.Event) -> None:
    """Read what one client sends, and hang up on it when there is enough."""
    connection, _ = server.accept()
    with connection:
        while not enough.is_set() and connection.recv(1 << 20):
            pass
