"""A store with a backend's driver and a guest's in it: no threads, they act whenever the toolstack waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

GUEST = 7


class Drivers:
    """What Linux does at both ends: `backend` takes new devices, `guest` follows the backend, or does not."""

    def __init__(self, server: Server) -> None:
        self.dom0 = StoreClient(transport=LocalTransport(server.connect()))
        self.backend = True
        self.guest_connects = True
        self.guest_closes = True
        self.failing: str | None = None
        self.seen: list[str] = []

    def act(self) -> None:
        for kind in self._list("/local/domain/0/backend"):
            for domid in self._list(f"/local/domain/0/backend/{kind}"):
                for devid in self._list(f"/local/domain/0/backend/{kind}/{domid}"):
                    self._step(f"/local/domain/0/backend/{kind}/{domid}/{devid}", f"{kind}/{domid}/{devid}")

    def _step(self, back: str, name: str) -> None:
        if not self.backend:
            return
        front = self._read(f"{back}/frontend")
        state, guest = self._read(f"{back}/state"), self._read(f"{front}/state")
        if state == "1":
            if self.failing is not None:
                self.dom0.write(f"/local/domain/0/error/backend/{name}/error", self.failing)
            self._go(back, "5" if self.failing is not None else "2")
        elif state == "2" and guest == "1" and self.guest_connects:
            self.dom0.write(f"{front}/state", "4")
            self._go(back, "4")
        elif state == "5" and guest and self.guest_closes and self.failing is None:
            self.dom0.write(f"{front}/state", "6")
            self._go(back, "6")
        elif state in ("2", "4", "5") and not guest:
            self._go(back, "6")

    def _go(self, back: str, state: str) -> None:
        self.seen.append(state)
        self.dom0.write(f"{back}/state", state)

    def _list(self, path: str) -> list[str]:
        return self.dom0.directory(path) if self.dom0.exists(path) else []

    def _read(self, path: str) -> str:
        return (self.dom0.try_read(path) or b"").decode()


class DrivenTransport(LocalTransport):
    """The toolstack's: before it finds that nothing has come, the drivers have their turn."""

    drivers: Drivers
    faults: int | None = None
    """Sends that still work; None: all."""

    def receive(self, timeout_seconds: float | None) -> bytes | None:
        message = super().receive(timeout_seconds)
        if message is None:
            self.drivers.act()
            message = super().receive(timeout_seconds)
        return message

    def send(self, frames: Sequence[bytes]) -> int:
        if self.faults is not None:
            self.faults -= 1
            if self.faults < 0:
                raise BrokenPipeError(32, "seeded")
        return super().send(frames)


class World:
    """A `DeviceHost` whose Domain-0 is not asked for anything."""

    run_directory = "/nonexistent"

    def __init__(self) -> None:
        self.server = Server()
        self.drivers = Drivers(self.server)
        self.connect()
        self.admin = self.drivers.dom0
        for path, permissions in (
            ("/local/domain/0/name", ["n0"]),
            (f"/local/domain/{GUEST}", ["n0", f"r{GUEST}"]),
            (f"/local/domain/{GUEST}/device", ["n0", f"r{GUEST}"]),
            (f"/local/domain/{GUEST}/device/suspend", ["n0", f"r{GUEST}"]),
            (f"/libxl/{GUEST}", ["n0"]),
            (f"/libxl/{GUEST}/device", ["n0"]),
            (f"/libxl/{GUEST}/type", ["n0"]),
        ):
            self.admin.write(path, "")
            self.admin.set_perms(path, permissions)

    def connect(self, faults: int | None = None) -> None:
        """A new connection of the toolstack's, which breaks after so many sends."""
        transport = DrivenTransport(self.server.connect())
        transport.drivers, transport.faults = self.drivers, faults
        self.store = StoreClient(transport=transport)

    @property
    def dom0(self) -> object:
        raise AssertionError("Domain-0 is not asked here")

    def guest(self) -> StoreClient:
        return StoreClient(transport=LocalTransport(self.server.connect(GUEST)))

    def tree(self) -> dict[str, bytes]:
        return self.admin.tree("/")
