"""A simulated guest that is a driver domain: backends' drivers, and who ties them to its system (`xl devd`).

It has a network and loop devices of its own; the images that it serves are this machine's.
A guest whose config says ``driver_domain = 1`` is one.

Source: tools/libs/light/libxl_device.c (libxl_device_events_handler, backend_watch_callback).
"""

from __future__ import annotations

from xentool.devices.xenbus import CLOSED, INIT_WAIT
from xentool.errors import StoreError, StoreGoneError, XentoolError
from xentool.hypervisor.mock.arena import Arena
from xentool.hypervisor.mock.session import Session
from xentool.mockhost.backends import close_bus, make_bus
from xentool.mockhost.blocks import BlockTable
from xentool.mockhost.network import DEFAULT_BRIDGE, Network
from xentool.mockhost.splitdriver import Room

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.mockhost.blocks import LoopDevice
    from xentool.mockhost.guest import Guest
    from xentool.store.client import StoreClient

_DEVD = "devd"
_DEPTH = 4  # backend/KIND/DOMID/DEVID


class DriverDomain(Room):
    """What runs in `guest`, on its own store connection."""

    def __init__(self, guest: Guest, store: StoreClient) -> None:
        self._arena = Arena()
        session = Session(guest.xen, self._arena, caller=guest.domain.domid)
        super().__init__(session, Network(), BlockTable())
        self._guest = guest
        self._store = store
        self._loops: dict[str, LoopDevice] = {}
        self._bus = make_bus(self, store, f"domain {guest.domain.domid}", guest.log)
        self._watch = store.watch("backend", _DEVD)

    def handle(self, path: str, token: str) -> None:
        """A watch event came."""
        try:
            if token == _DEVD:
                self._tie(path)
            else:
                self._bus.handle(path, token)
        except StoreGoneError:
            raise
        except (StoreError, OSError) as error:
            self._guest.log(f"domain {self._guest.domain.domid}: {path}: {error}")

    def _tie(self, path: str) -> None:
        """What devd does: tie a backend that waits, remove one that is closed for good."""
        names = path.split("/")
        if len(names) < _DEPTH or names[1] not in ("vif", "vbd"):
            return
        node = "/".join(names[:_DEPTH])
        state, online = self._store.read_many([f"{node}/state", f"{node}/online"])
        if state is None:
            self._untie(node)
        elif state == str(CLOSED).encode() and online == b"0":
            self._untie(node)
            self._store.rm(node)
        elif state == str(INIT_WAIT).encode() and self._store.try_read(f"{node}/hotplug-status") in (
            None,
            b"",
        ):
            try:
                self._tie_disk(node) if names[1] == "vbd" else self._tie_interface(node)
            except XentoolError as error:
                self._store.write(f"{node}/hotplug-error", str(error))
                self._store.write(f"{node}/hotplug-status", "error")
            else:
                self._store.write(f"{node}/hotplug-status", "connected")

    def _tie_interface(self, node: str) -> None:
        _, _, domid, devid = node.split("/")
        bridge = self._store.try_read(f"{node}/bridge") or DEFAULT_BRIDGE.encode()
        self.network.add_to_bridge(f"vif{domid}.{devid}", bridge.decode("utf-8", "replace"))
        self.network.set_up(f"vif{domid}.{devid}", up=True)

    def _tie_disk(self, node: str) -> None:
        params = self._store.read_text(f"{node}/params")
        mode = self._store.read_text(f"{node}/mode")
        device = self.blocks.attach(params, read_only="w" not in mode, direct_io=False)
        self._loops[node] = device
        self._store.write(f"{node}/physical-device", f"7:{device.number:x}")

    def _untie(self, node: str) -> None:
        device = self._loops.pop(node, None)
        if device is not None:
            self.blocks.put(device)

    def close(self) -> None:
        """The domain goes: nothing of other domains stays mapped."""
        close_bus(self._bus)
        self.blocks.close()
        self.session.close()
        self._arena.close()
