"""The backends of the mock host's Domain-0, and the bus that those of any backend domain are found on."""

from __future__ import annotations

from xentool.errors import StoreError, TimedOutError
from xentool.mockhost.blkback import Blkback
from xentool.mockhost.netback import Netback
from xentool.mockhost.splitdriver import Backend, Room
from xentool.mockhost.xenbus import Bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.session import Session
    from xentool.mockhost.blocks import BlockTable
    from xentool.mockhost.bounded import Log
    from xentool.mockhost.network import Network
    from xentool.mockhost.store import HostStore
    from xentool.store.client import StoreClient
    from xentool.store.watching import WatchEvent

_LEVELS = 3  # backend/KIND/DOMID/DEVID


def make_bus(room: Room, store: StoreClient, title: str, log: Callable[[str], None]) -> Bus:
    """The bus that the backends in `room` are found on."""
    return Bus(
        store,
        "backend",
        _LEVELS,
        {
            "vif": lambda bus, node: Netback(bus, node, room),
            "vbd": lambda bus, node: Blkback(bus, node, room),
        },
        title=title,
        log=log,
    )


class BackendRoom(Room):
    """All backends of Domain-0, on a store connection of their own."""

    def __init__(
        self, session: Session, store: HostStore, network: Network, blocks: BlockTable, log: Log
    ) -> None:
        super().__init__(session, network, blocks)
        self._log = log
        client = store.watching_client(self._handle)
        self._bus = make_bus(self, client, "Domain-0", log.line)

    def _handle(self, event: WatchEvent) -> None:
        try:
            self._bus.handle(event.path, event.token)
        except (StoreError, TimedOutError, OSError) as error:
            self._log.line(f"Domain-0: {event.path}: {error}")

    def close(self) -> None:
        """The machine goes: let go of what is mapped."""
        close_bus(self._bus)


def close_bus(bus: Bus) -> None:
    """Let go of all rings without telling anybody."""
    for device in bus.devices.values():
        if isinstance(device, Backend):
            device.unmap_rings()
    bus.close()
