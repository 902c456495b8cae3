"""A host for disks: a store with drivers, the machine's real files, and loop devices in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.devices.world import World
from tests.support.fakedaemons import FakeDaemons
from xentool.dom0.linux.blocks import LinuxBlocks, LinuxTarget
from xentool.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xentool.dom0.linux.blocks import Identity


class FakeLock:
    """Counts how often it is held."""

    def __init__(self, blocks: FakeBlocks) -> None:
        self._blocks = blocks
        assert blocks.locked == 0, "taken twice: that would wait for ever"
        blocks.locked += 1
        blocks.times_locked += 1

    def release(self) -> None:
        self._blocks.locked -= 1


class FakeLoop:
    def __init__(self, blocks: FakeBlocks, number: int, identity: Identity) -> None:
        self._blocks = blocks
        self.path = f"/dev/loop{number}"
        self.device = (7, number)
        self.identity = identity
        self.kept = False

    def keep(self) -> None:
        self.kept = True

    def close(self) -> None:
        if not self.kept:
            self._blocks.table.pop(self.device, None)


class FakeBlocks(LinuxBlocks):
    """Files are the machine's; ``/dev/loopN`` and the devices in `devices` (path: number) are made up."""

    def __init__(self) -> None:
        self.table: dict[tuple[int, int], tuple[Identity, bool]] = {}
        self.devices: dict[str, tuple[int, int]] = {}
        self.mounts: dict[tuple[int, int], bool] = {}
        self.locked = self.times_locked = 0
        self.full = False

    def describe(self, path: str) -> LinuxTarget:
        device = self.devices.get(path)
        if device is not None:
            return LinuxTarget(path, "device", 1 << 20, ("device", *device), False)
        return super().describe(path)

    def identify(self, path: str) -> Identity | None:
        device = self.devices.get(path)
        return ("device", *device) if device is not None else super().identify(path)

    def read(self, path: str, count: int, offset: int = 0) -> bytes:
        return b"\0" * count if path in self.devices else super().read(path, count, offset)

    def attach_loop(self, path: str, *, read_only: bool, direct_io: bool) -> FakeLoop:  # type: ignore[override]
        assert direct_io
        if self.full:
            raise HostError("attach a loop device to", path, "no loop device is free", hint="`losetup -a`")
        number = next(n for n in range(99) if (7, n) not in self.table)
        identity = super().describe(path).identity
        self.table[7, number] = (identity, read_only)
        self.devices[f"/dev/loop{number}"] = (7, number)
        return FakeLoop(self, number, identity)

    def detach_loop(self, device_path: str, image: str) -> None:
        device = self.devices.get(device_path)
        if device in self.table and self.table[device][0] == self.identify(image):
            del self.table[device]

    def loops(self) -> Mapping[tuple[int, int], Identity]:
        return {device: identity for device, (identity, _) in self.table.items()}

    def overlapping(self, device: tuple[int, int]) -> list[tuple[int, int]]:
        """The second disk's, 8:16, partitions are 8:17 and 8:18."""
        whole, parts = (8, 16), [(8, 17), (8, 18)]
        return parts if device == whole else [whole] if device in parts else []

    def mounted(self) -> Mapping[tuple[int, int], bool]:
        return self.mounts

    def lock(self) -> FakeLock:  # type: ignore[override]
        return FakeLock(self)


class FakePrograms:
    """Scripts that are there, what they were called with, and how they end."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.ran: list[tuple[list[str], dict[str, str]]] = []
        self.code = 0
        self.says = ""

    def exists(self, path: str) -> bool:
        return path in self.there

    def run_script(
        self, words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, str]:
        assert timeout_seconds == 40
        self.ran.append((list(words), dict(environment)))
        return self.code, self.says


class FakeDom0:
    def __init__(self) -> None:
        self.blocks = FakeBlocks()
        self.programs = FakePrograms()
        self.daemons = FakeDaemons()


class DiskWorld(World):
    """A `DeviceHost` with domains 7 (web), 8 (db) and 9 (mail)."""

    def __init__(self, run_directory: str = "/nonexistent") -> None:
        super().__init__()
        self.run_directory = run_directory
        self.fakes = FakeDom0()
        for domid, name in ((7, "web"), (8, "db"), (9, "mail")):
            for path, value in (("name", name), ("vm", f"/vm/{name}")):
                self.admin.write(f"/local/domain/{domid}/{path}", value)
            self.admin.write(f"/libxl/{domid}/device", "")

        self.fakes.daemons.on_spawn = self._qemu_runs

    def _qemu_runs(self, words: list[str], _pid: int) -> None:
        domid = words[words.index("-xen-domid") + 1]
        self.admin.write(f"/local/domain/0/device-model/{domid}/state", "running")

    @property
    def dom0(self) -> FakeDom0:
        return self.fakes

    @property
    def blocks(self) -> FakeBlocks:
        return self.fakes.blocks
