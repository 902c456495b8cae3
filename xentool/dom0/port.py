"""The port to Domain-0's own system, as the devices' code needs it.

`linux` is the real one; the mock host has another, with links and loop devices
that exist in its tables alone, but with the machine's real files. Every method
raises `xentool.errors.XentoolError` and nothing else on purpose. Undoing
methods (`detach`, `unguard`, `release_…`) find it no error that nothing is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xentool.units import DomId


class Link(Protocol):
    """A network interface of Domain-0. `mtu` is in bytes; `bridge` names the one that it is a port of."""

    name: str
    index: int
    mtu: int
    is_bridge: bool
    bridge: str | None


class Links(Protocol):
    """Network interfaces, bridges and routes (Linux: ioctl and rtnetlink)."""

    def find(self, name: str) -> Link | None:
        """The interface called so, or None."""

    def bridges(self) -> Sequence[str]:
        """The names of all bridges."""

    def of_vif(self, domid: DomId, devid: int) -> str | None:
        """What the interface of that vif's backend is called now, if it is there."""

    def filters_bridged(self) -> bool:
        """Whether iptables has a say in what goes through bridges (br_netfilter)."""

    def wait_for(self, name: str, timeout_seconds: float) -> Link:
        """The interface, once it is there. TimedOutError if it never comes. Never polls."""

    def rename(self, name: str, new_name: str) -> None: ...

    def set_mtu(self, name: str, mtu: int) -> None: ...

    def set_mac(self, name: str, mac: str) -> None: ...

    def set_up(self, name: str, up: bool = True) -> None: ...

    def add_to_bridge(self, name: str, bridge: str) -> None:
        """Make it a port of the bridge. NotFoundError: no such bridge. No error if it is one already."""

    def release_from_bridge(self, name: str) -> None: ...

    def set_port_vlan(self, name: str, vlan: str) -> None:
        """Put a bridge's port into the VLANs in xl's words ("10p/20-22/30u"), out of the default one.

        HostError: its bridge does not tell VLANs apart."""

    def address(self, name: str) -> str | None:
        """The interface's IPv4 address, if it has one."""

    def set_address(self, name: str, address: str) -> None:
        """Give it that IPv4 address, and no network."""

    def add_route(self, address: str, name: str, source: str | None = None) -> None:
        """A host or network route out of the interface. `address` is an IP address, or NET/BITS."""

    def set_proxy_arp(self, name: str) -> None:
        """Answer ARP on the interface for what is routed elsewhere, and forward what comes from it (IPv4)."""


class Firewall(Protocol):
    """The virtual firewall-router: what may leave a guest through its interface (nftables)."""

    def check(self) -> None:
        """Raise HostError if this Domain-0 cannot filter (no nftables)."""

    def guard(
        self, name: str, mac: str, addresses: Sequence[str], *, bridged: bool = True, awaited: bool = False
    ) -> None:
        """Let nothing out of the guest behind the interface `name` but frames from `mac` and, if there are
        addresses or networks, from those alone, ARP and neighbour discovery included. What was there goes.

        One that will be in a Linux bridge (`bridged`) is guarded by its name, even before there is an
        interface called so. What no bridge lets itself be told is guarded at the interface: call it
        (again) when it is there, and named so, and not up yet. Any other (routed, Open vSwitch) is
        guarded at the interface alone, and must be there; unless it is there under another name, guarded by
        that one, and this one is `awaited`: somebody is to rename it, and it is to be guarded all the while.

        Raises:
            ConfigError: a name, MAC or address that is none.
            NotFoundError: not bridged, not awaited, and there is no such interface.
        """

    def unguard(self, name: str) -> None: ...

    def guarded(self) -> Mapping[str, Sequence[str]]:
        """The interfaces whose guard is whole, and their addresses: ADDRESS, NET/BITS or FIRST-LAST."""


class BlockTarget(Protocol):
    """What a path names: ``kind`` is "file" or "device".

    `identity` is one for all paths to the same thing: ("file", st_dev, st_ino) or ("device", major, minor).
    """

    path: str
    kind: str
    size_bytes: int
    identity: tuple[str, int, int]
    read_only: bool


class Loop(Protocol):
    """A loop device held open. `path` is ``/dev/loopN``, `device` (major, minor), `identity` its file's."""

    path: str
    device: tuple[int, int]
    identity: tuple[str, int, int]

    def keep(self) -> None:
        """From now on it stays although nobody has it open: the store says whose it is."""

    def close(self) -> None:
        """Let go of it. One that was not kept, and that nobody else has open, is gone."""


class ClaimLock(Protocol):
    """Held from its making on: Domain-0's lock on who uses which disk."""

    def release(self) -> None:
        """Let go of it; no error if it was."""


class Blocks(Protocol):
    """Image files, block devices, loop devices."""

    def describe(self, path: str) -> BlockTarget:
        """What is there. NotFoundError, HostError (unreadable, neither file nor block device)."""

    def identify(self, path: str) -> tuple[str, int, int] | None:
        """The identity of what is there, whatever it is; None if nothing is."""

    def read(self, path: str, count: int, offset: int = 0) -> bytes:
        """At most `count` bytes of the file or device. NotFoundError, HostError (unreadable)."""

    def attach_loop(self, path: str, *, read_only: bool, direct_io: bool) -> Loop:
        """A new loop device on the file. HostError: none free, or the file cannot be opened so."""

    def detach_loop(self, device_path: str, image: str) -> None:
        """Free the loop device, if it is still that image's."""

    def loops(self) -> Mapping[tuple[int, int], tuple[str, int, int]]:
        """The identity of the file, or block device, behind each loop device (major, minor)."""

    def overlapping(self, device: tuple[int, int]) -> Sequence[tuple[int, int]]:
        """What shares blocks with the device (major, minor): its partitions, or the disk it is a part of."""

    def mounted(self) -> Mapping[tuple[int, int], bool]:
        """The devices (major, minor) that Domain-0 itself has mounted, and whether for writing.

        A disk of which a partition is mounted counts as mounted, and not for writing.
        """

    def lock(self) -> ClaimLock:
        """Wait for the lock under which Xen's own block script and we check and claim disks."""


class Programs(Protocol):
    """Programs that Domain-0 runs for a domain: hotplug scripts, QEMU."""

    def run_script(
        self, words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, str]:
        """Run it to its end: its exit code and what it printed, the last 64 KiB.

        `environment` is added to this process's own. A program that a signal killed exits with 128 + it.

        NotFoundError: no such program. HostError: it cannot be run.
        TimedOutError: it hung; it and what it started were ended; `detail` is what it printed.
        """

    def exists(self, path: str) -> bool:
        """Whether there is such a program, and it may be run."""

    def find(self, name: str) -> str | None:
        """The path of Domain-0's own tool of that name, if it has it."""


class Daemon(Protocol):
    """A program that runs, whoever started it."""

    pid: int

    def fileno(self) -> int:
        """A descriptor that polls readable once the program has ended."""

    def end(self, timeout_seconds: float) -> None:
        """Ask it to end, kill it if it has not within the time; it is gone when this returns."""

    def close(self) -> None:
        """Let go of it; it runs on."""


class Daemons(Protocol):
    """Programs that stay as long as a domain does: QEMU."""

    log_directory: str
    """Where Xen's tools write logs."""
    socket_directory: str
    """Where they make sockets to talk to each other."""

    def qemu(self) -> str | None:
        """The path of a QEMU that knows Xen, if Domain-0 has one."""

    def spawn(self, words: Sequence[str], environment: Mapping[str, str], log_path: str) -> int:
        """Start a program in a session of its own, and leave it alone: its pid.

        `environment` is added to this process's own. What it prints goes to a new log at that path
        (one that is there is kept as ``.1``), up to some MiB. HostError: it cannot be run.
        """

    def find(self, marks: Sequence[str], pid: int | None = None) -> Daemon | None:
        """The running program that has `marks` side by side among its arguments: that one, or any at all."""

    def printed(self, log_path: str, *, ended: bool) -> str:
        """What stands in a log, the last 64 KiB; all of it, of a program that has ended."""


class Dom0(Protocol):
    """All of it."""

    @property
    def links(self) -> Links: ...
    @property
    def firewall(self) -> Firewall: ...
    @property
    def blocks(self) -> Blocks: ...
    @property
    def programs(self) -> Programs: ...
    @property
    def daemons(self) -> Daemons: ...

    def hooks(self, folder: str) -> Sequence[str]:
        """The scripts NAME.hook in the folder that may be run; none if there is no such folder."""
