"""The mock host's Domain-0, as the toolstack's processes see it: `xentool.dom0.port` on the mock.

Interfaces, bridges, guards and loop devices are tables in the mock host's process, asked through
a socket; files are the machine's own; programs really run, as whoever runs the command.
"""

from __future__ import annotations

import _thread
import os

from xentool.errors import MockHostError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from typing import Any

    from xentool.dom0.port import BlockTarget, ClaimLock, Programs
    from xentool.units import DomId

_ASK_SECONDS = 30.0


class MockDom0:
    """Implements `xentool.dom0.port.Dom0` on the mock host in `directory`.

    Connects when something is first asked. Safe for several threads, and across a fork.
    """

    def __init__(self, directory: str) -> None:
        self._connection = Connection(directory)

    @property
    def links(self) -> MockLinks:
        return MockLinks(self._connection)

    @property
    def firewall(self) -> MockFirewall:
        return MockFirewall(self._connection)

    @property
    def blocks(self) -> MockBlocks:
        return MockBlocks(self._connection)

    @property
    def programs(self) -> MockPrograms:
        return MockPrograms(self._connection)

    def close(self) -> None:
        """End the connection: loop devices that were not kept are gone. May be called twice."""
        self._connection.close()


class Connection:
    """The socket, and what is asked through it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._lock = _thread.allocate_lock()
        self._socket: socket.socket | None = None
        self._pid = 0
        self._number = 0
        self._lost = ""

    def __del__(self) -> None:
        self._drop()

    def ask(self, what: str, timeout_seconds: float = _ASK_SECONDS, **values: object) -> Any:  # noqa: ANN401 - JSON
        """Ask the mock host's Domain-0.

        Raises:
            TimedOutError: there was no answer in time.
            MockHostError: the mock host went away.
            XentoolError: what it answered.
        """
        with self._lock:
            try:
                if self._lost:
                    raise ConnectionResetError(self._lost)
                answer = self._exchange(what, timeout_seconds, values)
            except TimeoutError:
                raise TimedOutError("ask the mock host", self.directory, "it did not answer") from None
            except OSError as error:
                # Never to the next mock host: what this process holds was the last one's.
                self._lost = error.strerror or str(error)
                self._drop()
                raise MockHostError(
                    "ask the mock host",
                    self.directory,
                    f"it went away: {self._lost}",
                    hint="mockhost.log in that directory may say why",
                ) from error
        if "error" in answer:
            from xentool import errors

            name, *words, hint = answer["error"]
            raise getattr(errors, name)(*words, hint=hint)
        return answer["result"]

    def _exchange(self, what: str, timeout_seconds: float, values: dict[str, object]) -> dict[str, Any]:
        import json
        from time import monotonic

        from xentool.mockhost.dom0server import PACKET_BYTES

        end = monotonic() + timeout_seconds
        connection = self._connected()
        self._number += 1
        connection.settimeout(_ASK_SECONDS)
        connection.send(json.dumps({"n": self._number, "do": what, "with": values}).encode())
        while True:
            connection.settimeout(max(0.001, end - monotonic()))
            data = connection.recv(PACKET_BYTES)
            if not data:
                raise ConnectionResetError("the connection was closed")
            answer: dict[str, Any] = json.loads(data)
            # An earlier question may be answered after nobody waits for it any more.
            if answer["n"] == self._number:
                return answer

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._pid == os.getpid():
            return self._socket
        import socket

        from xentool.mockhost.dom0server import socket_path
        from xentool.mockhost.life import ensure_running

        self._drop()
        path = socket_path(ensure_running(self.directory))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.getpid()
        self._socket.connect(path)
        return self._socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        with self._lock:
            if self._socket is not None and self._pid == os.getpid():
                self._take_leave(self._socket)
            self._drop()

    @staticmethod
    def _take_leave(connection: socket.socket) -> None:
        """Wait until the mock host has heard that we go, and has let go of what we held."""
        import socket

        try:
            connection.settimeout(_ASK_SECONDS)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1):
                pass
        except OSError:
            pass  # it went first


class MockLink:
    """One `xentool.dom0.port.Link`."""

    __slots__ = ("bridge", "index", "is_bridge", "mtu", "name")

    def __init__(self, said: dict[str, Any]) -> None:
        self.name: str = said["name"]
        self.index: int = said["index"]
        self.mtu: int = said["mtu"]
        self.is_bridge: bool = said["is_bridge"]
        self.bridge: str | None = said["bridge"]


class MockLinks:
    """`xentool.dom0.port.Links`; and `all`, `add` and `delete`, which a sysadmin does with ip(8)."""

    def __init__(self, connection: Connection) -> None:
        self._ask = connection.ask

    def find(self, name: str) -> MockLink | None:
        said = self._ask("find", name=name)
        return None if said is None else MockLink(said)

    def bridges(self) -> Sequence[str]:
        return sorted(said["name"] for said in self.all() if said["is_bridge"])

    def of_vif(self, domid: DomId, devid: int) -> str | None:
        owner = f"/local/domain/0/backend/vif/{domid}/{devid}"
        return next((said["name"] for said in self.all() if said["owner"] == owner), None)

    def filters_bridged(self) -> bool:
        return False

    def wait_for(self, name: str, timeout_seconds: float) -> MockLink:
        try:
            return MockLink(self._ask("wait_for", timeout_seconds, name=name))
        except TimedOutError:
            raise TimedOutError(
                "wait for interface", name, f"it did not come within {timeout_seconds:g} s"
            ) from None

    def rename(self, name: str, new_name: str) -> None:
        self._ask("rename", name=name, new_name=new_name)

    def set_mtu(self, name: str, mtu: int) -> None:
        self._ask("set_mtu", name=name, mtu=mtu)

    def set_mac(self, name: str, mac: str) -> None:
        self._ask("set_mac", name=name, mac=mac)

    def set_up(self, name: str, up: bool = True) -> None:
        self._ask("set_up", name=name, up=up)

    def add_to_bridge(self, name: str, bridge: str) -> None:
        self._ask("add_to_bridge", name=name, bridge=bridge)

    def release_from_bridge(self, name: str) -> None:
        self._ask("release_from_bridge", name=name)

    def set_port_vlan(self, name: str, vlan: str) -> None:
        self._ask("set_port_vlan", name=name, vlan=vlan)

    def address(self, name: str) -> str | None:
        said = self._ask("find", name=name)
        return None if said is None else said["address"]

    def set_address(self, name: str, address: str) -> None:
        self._ask("set_address", name=name, address=address)

    def add_route(self, address: str, name: str, source: str | None = None) -> None:
        self._ask("add_route", address=address, name=name, source=source)

    def set_proxy_arp(self, name: str) -> None:
        self._ask("set_proxy_arp", name=name)

    def all(self) -> list[dict[str, Any]]:
        """Every interface with all that the mock host knows of it, by index."""
        said: list[dict[str, Any]] = self._ask("links")
        return said

    def add(
        self, name: str, *, is_bridge: bool = True, mtu: int = 1500, vlan_filtering: bool = False
    ) -> None:
        """A new bridge, up; or another interface. Raises `InUseError`, `HostError`."""
        self._ask("add", name=name, is_bridge=is_bridge, mtu=mtu, vlan_filtering=vlan_filtering)

    def delete(self, name: str) -> None:
        """Raises `NotFoundError`; `HostError` for a backend's."""
        self._ask("delete", name=name)


class MockFirewall:
    """`xentool.dom0.port.Firewall`: it notes what it would let through."""

    def __init__(self, connection: Connection) -> None:
        self._ask = connection.ask

    def check(self) -> None:
        """The mock host can always filter."""

    def guard(self, name: str, mac: str, addresses: Sequence[str], *, bridged: bool = True) -> None:
        from xentool.dom0.linux.ruleset import Lock, check_name

        check_name(name)
        lock = Lock(name, mac, addresses)
        self._ask("guard", name=name, mac=lock.mac, addresses=list(lock.addresses), bridged=bridged)

    def unguard(self, name: str) -> None:
        self._ask("unguard", name=name)

    def guarded(self) -> Mapping[str, Sequence[str]]:
        return {name: tuple(guard["addresses"]) for name, guard in self.guards().items()}

    def guards(self) -> dict[str, dict[str, Any]]:
        """Each guard with all that the mock host knows of it."""
        said: dict[str, dict[str, Any]] = self._ask("guards")
        return said


class MockTarget:
    """One `xentool.dom0.port.BlockTarget`."""

    __slots__ = ("identity", "kind", "path", "read_only", "size_bytes")

    def __init__(
        self, path: str, kind: str, size_bytes: int, identity: tuple[str, int, int], read_only: bool
    ) -> None:
        self.path = path
        self.kind = kind
        self.size_bytes = size_bytes
        self.identity = identity
        self.read_only = read_only


class MockLoop:
    """One `xentool.dom0.port.Loop`, held open by this process's connection."""

    def __init__(self, connection: Connection, said: dict[str, Any]) -> None:
        self._ask = connection.ask
        self._number: int = said["number"]
        self.path: str = said["path"]
        self.device = (7, self._number)
        kind, device, inode = said["identity"]
        self.identity: tuple[str, int, int] = (kind, device, inode)

    def keep(self) -> None:
        self._ask("keep_loop", number=self._number)

    def close(self) -> None:
        try:
            self._ask("close_loop", number=self._number)
        except MockHostError:
            pass  # it went away, and the loop device with it


class MockBlocks:
    """`xentool.dom0.port.Blocks`: ``/dev/loopN`` is the mock host's, all other paths are the machine's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ask = connection.ask

    def identify(self, path: str) -> tuple[str, int, int] | None:
        from xentool.dom0.linux.blocks import LinuxBlocks

        if self._loop(path) is not None:
            return self.describe(path).identity
        return LinuxBlocks().identify(path)

    def read(self, path: str, count: int, offset: int = 0) -> bytes:
        from xentool.dom0.linux.blocks import LinuxBlocks

        said = self._loop(path)
        return LinuxBlocks().read(path if said is None else said["image"], count, offset)

    def mounted(self) -> Mapping[tuple[int, int], bool]:
        """Nothing: what the machine has mounted has nothing to do with the mock host."""
        return {}

    def lock(self) -> ClaimLock:
        from xentool.dom0.linux.blocks import ScriptLock

        return ScriptLock(os.path.join(self._connection.directory, "hotplug"))

    def _loop(self, path: str) -> dict[str, Any] | None:
        """What the mock host says of a ``/dev/loopN`` of its own; None of any other path."""
        said: dict[str, Any] | None = None
        if path.startswith("/dev/loop"):
            said = self._ask("describe_loop", path=path)
        return said

    def describe(self, path: str) -> BlockTarget:
        said = self._loop(path)
        if said is None:
            return _describe(path)
        identity = ("device", 7, said["number"])
        return MockTarget(path, "device", said["size_bytes"], identity, said["read_only"])

    def attach_loop(self, path: str, *, read_only: bool, direct_io: bool) -> MockLoop:
        image = os.path.abspath(path)
        said = self._ask("attach_loop", image=image, read_only=read_only, direct_io=direct_io)
        return MockLoop(self._connection, said)

    def detach_loop(self, device_path: str, image: str) -> None:
        self._ask("detach_loop", path=device_path, image=os.path.abspath(image))

    def loops(self) -> Mapping[tuple[int, int], tuple[str, int, int]]:
        return {
            (7, said["number"]): (said["identity"][0], said["identity"][1], said["identity"][2])
            for said in self._ask("loops")
        }


def _describe(path: str) -> BlockTarget:
    """What of the real machine is there. A block device is looked up in sysfs, which anybody may read."""
    from xentool.dom0.linux.blocks import LinuxBlocks
    from xentool.errors import HostError, NotFoundError
    from xentool.mockhost.blocks import machine_device

    identity = LinuxBlocks().identify(path)
    if identity is None or identity[0] == "file":
        target = LinuxBlocks().describe(path)
        if not os.access(path, os.R_OK):
            raise HostError("look at", path, "you may not read it")
        return target
    if identity[1] == 7:
        raise NotFoundError("look at", path, "that loop device is not the mock host's")
    size, read_only = machine_device(identity[1], identity[2])
    return MockTarget(path, "device", size, identity, read_only)


class MockPrograms:
    """`xentool.dom0.port.Programs`: programs really run, and can tell by ``XENTOOL_MOCK=1`` where."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run_script(
        self, words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, str]:
        return _linux_programs().run_script(words, {**environment, "XENTOOL_MOCK": "1"}, timeout_seconds)

    def exists(self, path: str) -> bool:
        return _linux_programs().exists(path)

    def find(self, name: str) -> str | None:  # noqa: ARG002 - the machine's tools would change the machine
        return None

    def hooks(self, folder: str) -> Sequence[str]:  # noqa: ARG002 - likewise
        return ()


def _linux_programs() -> Programs:
    from xentool.dom0.linux import LinuxDom0

    programs: Programs = LinuxDom0().programs
    return programs
