"""The mock Domain-0's files and block devices, as the toolstack's processes see them."""

from __future__ import annotations

import os

from xentool.errors import MockHostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from xentool.dom0.port import BlockTarget, ClaimLock
    from xentool.mockhost.asking import Connection


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

    def overlapping(self, device: tuple[int, int]) -> Sequence[tuple[int, int]]:
        """Of the machine's devices; those of the mock host have no partitions."""
        from xentool.dom0.linux.blocks import LinuxBlocks

        return () if device[0] == 7 else LinuxBlocks().overlapping(device)

    def mounted(self) -> Mapping[tuple[int, int], bool]:
        """Nothing: what the machine has mounted has nothing to do with the mock host."""
        return {}

    def lock(self) -> ClaimLock:
        from xentool.dom0.linux.scriptlock import ScriptLock

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
