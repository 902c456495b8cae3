"""A network of one's own: the calling thread in a new network namespace, a bridge, guests' interfaces."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
BRIDGE = "xenbr0"
VIF, GUEST = "vif1.0", "guest"
OTHER_VIF, OTHER_GUEST = "vif2.0", "other"
_WAIT_SECONDS = 90
_SETTINGS = {
    "ipv6/conf/default/disable_ipv6": "1",  # the interfaces themselves have nothing to say
    "bridge/bridge-nf-call-iptables": "0",  # which would look at checksums and cut off our marks
    "bridge/bridge-nf-call-ip6tables": "0",
    "bridge/bridge-nf-call-arptables": "0",
}
"""Below /proc/sys/net; a kernel without IPv6, or without br_netfilter, has none of them."""


def need_root() -> None:
    if os.geteuid():
        pytest.skip("network namespaces are root's")


@contextlib.contextmanager
def network_namespace() -> Iterator[None]:
    """The calling thread, and what it starts, in an empty network. PermissionError: not allowed here."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise PermissionError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        try:
            for path, value in _SETTINGS.items():
                with contextlib.suppress(FileNotFoundError):
                    Path("/proc/sys/net", path).write_text(value)
            yield
        finally:
            if libc.setns(before, CLONE_NEWNET):
                os._exit(70)  # nothing that follows would be true
    finally:
        os.close(before)


def command(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert not done.returncode, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def ip(*words: str) -> str:
    return command("ip", *words)


def make_bridge() -> None:
    ip("link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
    ip("link", "set", BRIDGE, "up")


def make_vif(vif: str, guest: str) -> None:
    """A vif as netback makes it, and instead of a guest the other end of a veth pair; both down."""
    ip("link", "add", vif, "type", "veth", "peer", "name", guest)


def plug(vif: str, guest: str) -> None:
    ip("link", "set", vif, "master", BRIDGE, "up")
    ip("link", "set", guest, "up")


class Tap:
    """A raw socket on an interface."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((name, 0))

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)

    def receive(self) -> bytes:
        readable, _, _ = select.select([self.socket], [], [], _WAIT_SECONDS)
        assert readable, "no frame came, not even the last one"
        return self.socket.recv(65536)

    def close(self) -> None:
        self.socket.close()


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """Frames sent on one CPU stay in their order: each CPU has a queue of its own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def arriving(sender: Tap, receivers: Sequence[Tap], frames: Sequence[bytes], last: bytes) -> list[set[int]]:
    """Send the frames: which of them (by index) come to each receiver. `last` must come, and ends it."""
    mark = struct.pack(">Q", time.monotonic_ns())
    with one_cpu():
        for index, frame in enumerate([*frames, last]):
            sender.send(frame + mark + struct.pack(">I", index))
    found = []
    for receiver in receivers:
        seen: set[int] = set()
        while len(frames) not in seen:
            frame = receiver.receive()
            if frame[-12:-4] == mark:
                seen.add(struct.unpack(">I", frame[-4:])[0])
        found.append(seen - {len(frames)})
    return found
