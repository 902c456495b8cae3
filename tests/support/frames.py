"""Ethernet frames, honest and otherwise, byte by byte.

Checksums are zero: nothing on the way to a bridge's port looks at them.
"""

from __future__ import annotations

import socket
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP_REQUEST, ARP_REPLY = 1, 2
UDP, ICMPV6 = 17, 58
FRAGMENT, HOP_BY_HOP, DESTINATION_OPTIONS = 44, 0, 60
ROUTER_SOLICIT, ROUTER_ADVERT, NEIGHBOUR_SOLICIT, NEIGHBOUR_ADVERT, REDIRECT = 133, 134, 135, 136, 137
MLD2_REPORT, ECHO_REQUEST = 143, 128
SOURCE_LLA, TARGET_LLA, NONCE = 1, 2, 14


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(source: str, kind: int, payload: bytes, to: str = BROADCAST) -> bytes:
    return mac_bytes(to) + mac_bytes(source) + struct.pack(">H", kind) + payload


def tagged(frame: bytes, *tags: tuple[int, int]) -> bytes:
    """The frame behind VLAN tags, the outermost first: (tag protocol, VLAN)."""
    return frame[:12] + b"".join(struct.pack(">HH", *tag) for tag in tags) + frame[12:]


def arp(
    source: str,
    sender: str,
    target: str,
    *,
    operation: int = ARP_REQUEST,
    hardware: str | None = None,
    shape: tuple[int, int, int, int] = (1, 0x0800, 6, 4),
) -> bytes:
    """`hardware` is the sender's hardware address in the message, `shape` its htype, ptype, hlen and plen."""
    body = struct.pack(">HHBBH", *shape, operation) + mac_bytes(hardware or source)
    body += socket.inet_aton(sender) + bytes(6) + socket.inet_aton(target)
    return ethernet(source, 0x0806, body)


def ipv4(
    source: str, sender: str, target: str, payload: bytes = b"", *, protocol: int = 253, options: bytes = b""
) -> bytes:
    words = 5 + len(options) // 4
    length = words * 4 + len(payload)
    header = struct.pack(">BBHHHBBH", 0x40 | words, 0, length, 1, 0, 64, protocol, 0)
    return ethernet(
        source,
        0x0800,
        header + socket.inet_aton(sender) + socket.inet_aton(target) + options + payload,
    )


def udp(source_port: int, target_port: int, data: bytes = b"data") -> bytes:
    return struct.pack(">HHHH", source_port, target_port, 8 + len(data), 0) + data


def ipv6(source: str, sender: str, target: str, payload: bytes = b"", *, next_header: int = 59) -> bytes:
    header = struct.pack(">IHBB", 6 << 28, len(payload), next_header, 255)
    to = "33:33:" + ":".join(f"{byte:02x}" for byte in socket.inet_pton(socket.AF_INET6, target)[12:])
    addresses = socket.inet_pton(socket.AF_INET6, sender) + socket.inet_pton(socket.AF_INET6, target)
    return ethernet(source, 0x86DD, header + addresses + payload, to)


def icmpv6(kind: int, body: bytes = bytes(4)) -> bytes:
    """`body` is what follows type, code and checksum."""
    return struct.pack(">BBH", kind, 0, 0) + body


def neighbour(kind: int, target: str, *options: bytes) -> bytes:
    """A neighbour solicitation or advertisement."""
    return icmpv6(kind, bytes(4) + socket.inet_pton(socket.AF_INET6, target) + b"".join(options))


def option(kind: int, value: bytes) -> bytes:
    return bytes((kind, (len(value) + 2) // 8)) + value


def extension(next_header: int) -> bytes:
    """Eight bytes of padding: a hop-by-hop or destination options header."""
    return bytes((next_header, 0, 1, 4, 0, 0, 0, 0))


def fragment(next_header: int, offset: int = 0, *, more: bool = True) -> bytes:
    return struct.pack(">BBHI", next_header, 0, offset | more, 7)
