"""What the older ioctls cannot do with network interfaces: waiting for one, routes, VLANs of bridge ports.

In the kernel's own messages, without pyroute2: importing that takes 3.6 s in the lab, twice the time of
the script that xl runs there; these are four messages.

Source: rtnetlink(7), netlink(7); linux/rtnetlink.h, linux/if_bridge.h.
"""

from __future__ import annotations

import os
from _socket import SOCK_CLOEXEC, SOCK_RAW, inet_pton, socket
from select import POLLIN, poll
from struct import pack, unpack_from
from time import monotonic

from xentool.errors import HostError, InUseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from xentool.dom0.vlan import PortVlans

    Found = TypeVar("Found")

AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6, AF_NETLINK = 0, 2, 7, 10, 16
NETLINK_ROUTE = 0
RTMGRP_LINK = 1
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
NLMSG_ERROR = 2
RTM_SETLINK, RTM_DELLINK, RTM_NEWROUTE = 19, 17, 24
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST = 254, 3, 253, 1
RTA_DST, RTA_OIF, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 6, 7
IFLA_AF_SPEC, IFLA_BRIDGE_VLAN_INFO = 26, 2
BRIDGE_VLAN_INFO_PVID, BRIDGE_VLAN_INFO_UNTAGGED = 2, 4
ROUTE_METRIC = 2
"""vif-route's for a vif; its emulated sibling, with 1, goes before it."""


def await_link(look: Callable[[], Found | None], timeout_seconds: float) -> Found | None:
    """What `look` finds, as soon as an interface has come that lets it; None if none does in time."""
    changes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
    try:
        changes.bind((0, RTMGRP_LINK))
        changes.setblocking(False)
        waiting = poll()
        waiting.register(changes.fileno(), POLLIN)
        deadline = monotonic() + timeout_seconds
        # Only after subscribing: what comes from now on is told.
        while (found := look()) is None:
            left = deadline - monotonic()
            if left <= 0 or not waiting.poll(left * 1000):
                return look()  # it may have come while it was us whom nobody let run
            _drain(changes)
        return found
    finally:
        changes.close()


def _drain(changes: socket) -> None:
    """Take what is there. Only that there was something matters, even if some of it was lost (ENOBUFS)."""
    try:
        while changes.recv(1 << 16):
            pass
    except OSError:
        pass


def add_route(index: int, address: str, source: str | None) -> None:
    """A route to an address or network out of the interface `index`, answered from `source` (of IPv4).

    Raises:
        InUseError: there is such a route.
        HostError: the kernel refuses it.
    """
    text, _, bits = address.partition("/")
    family = AF_INET6 if ":" in text else AF_INET
    packed = inet_pton(family, text)
    length = int(bits) if bits else len(packed) * 8
    body = pack("=8BI", family, length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST, 0)
    body += _attribute(RTA_DST, packed) + _attribute(RTA_OIF, pack("=I", index))
    if source is not None and family == AF_INET:
        body += _attribute(RTA_PREFSRC, inet_pton(family, source))
    body += _attribute(RTA_PRIORITY, pack("=I", ROUTE_METRIC))
    try:
        _request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body)
    except FileExistsError as exc:
        raise InUseError(
            "add a route to",
            address,
            "there is one already",
            hint=f"`ip route show {address}` shows where to",
        ) from exc
    except OSError as exc:
        raise HostError("add a route to", address, exc.strerror or str(exc)) from exc


def set_port_vlans(index: int, vlans: PortVlans, leave: Iterable[int]) -> None:
    """Put the bridge port `index` into these VLANs, and take it out of those to `leave`. Raises OSError."""
    out = [_vlan(vid, 0) for vid in leave]
    if out:
        _request(RTM_DELLINK, 0, _port(index, out))
    into = [_vlan(vid, 0) for vid in vlans.tagged]
    for vid in vlans.untagged:
        own = BRIDGE_VLAN_INFO_PVID if vid == vlans.pvid else 0
        into.append(_vlan(vid, BRIDGE_VLAN_INFO_UNTAGGED | own))
    # A page is what the kernel takes in one message; a VLAN is 8 bytes.
    for start in range(0, len(into), 400):
        _request(RTM_SETLINK, 0, _port(index, into[start : start + 400]))


def _vlan(vid: int, flags: int) -> bytes:
    return _attribute(IFLA_BRIDGE_VLAN_INFO, pack("=HH", flags, vid))


def _port(index: int, vlans: list[bytes]) -> bytes:
    return pack("=BxHiII", AF_BRIDGE, 0, index, 0, 0) + _attribute(IFLA_AF_SPEC, b"".join(vlans))


def _attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def _request(kind: int, flags: int, body: bytes) -> None:
    """One request, and the kernel's word on it. Raises OSError."""
    message = pack("=IHHII", 16 + len(body), kind, flags | NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body
    kernel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
    try:
        kernel.bind((0, 0))
        kernel.send(message)
        answer = kernel.recv(1 << 16)
    finally:
        kernel.close()
    _, answered, _, _, _ = unpack_from("=IHHII", answer)
    error = -unpack_from("=i", answer, 16)[0] if answered == NLMSG_ERROR else 0
    if error:
        raise OSError(error, os.strerror(error))
