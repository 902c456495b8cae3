"""QEMU's xen-block, as far as the store sees it: of a qdisk's image nothing is read but its size.

Source: hw/block/xen-block.c, hw/xen/xen-bus.c of QEMU 7.2.
"""

from __future__ import annotations

import os

from xentool.devices.xenbus import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISED, INITIALISING, UNKNOWN
from xentool.mockhost.xenbus import Driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.mapping import FrameMapping
    from xentool.mockhost.qemu import Qemu
    from xentool.mockhost.xenbus import Bus

MAX_RING_PAGE_ORDER = 4
VDISK_CDROM, VDISK_READONLY = 1, 4
_SIZE_AT = {"qcow": (24, "big"), "qcow2": (24, "big"), "qed": (48, "little"), "vpc": (48, "big")}
"""Where in its header an image says how large the disk is, 8 bytes of that order (docs/interop of QEMU)."""
_MAGIC = {"qcow": b"QFI\xfb\0\0\0\1", "qcow2": b"QFI\xfb\0\0\0", "qed": b"QED\0", "vpc": b"conectix"}
_DRIVERS = {"aio": "raw", "vhd": "vpc"}


class QemuDevice(Driver):
    """What QEMU's devices have in common: their own nodes are watched, too."""

    def __init__(self, bus: Bus, node: str, qemu: Qemu) -> None:
        super().__init__(bus, node)
        self.qemu = qemu
        self.mapping: FrameMapping | None = None
        self.port = 0
        self._online = True

    def watch_own_end(self) -> None:
        for name in ("state", "online"):
            self.watch(f"{self.node}/{name}", self._own_end_changed)

    def _own_end_changed(self) -> None:
        """The toolstack closes us: at once, where no frontend is active; and takes us offline: then we go."""
        state, online = self.read_number(f"{self.node}/state"), self.is_online()
        if state is None:
            return
        self.state, self._online = state, online
        if state == CLOSING and self.other_state() not in (INITIALISED, CONNECTED, CLOSING):
            self.disconnect()
            self.switch_state(CLOSED)
        if self.state == CLOSED and not online:
            self.unregister()
            for path in (self.other, self.node):
                self.store.rm(path)

    def other_changed(self, state: int) -> None:
        if state in (INITIALISED, CONNECTED):
            if self.state != CONNECTED:
                self.connect()
        elif state == CLOSING:
            self.switch_state(CLOSING)
        elif state in (CLOSED, UNKNOWN):
            self.disconnect()
            self.switch_state(CLOSED)

    def connect(self) -> None:
        """The frontend is ready: map what it shares, and go to Connected."""
        raise NotImplementedError

    def map(self, reference: int, port: int) -> None:
        """The frontend's page and event channel. Raises `OSError`."""
        from xentool.units import DomId, Port

        mapping = self.qemu.map_ring(self.other_domid, [reference])
        try:
            self.port = self.qemu.events().bind_interdomain(DomId(self.other_domid), Port(port))
        except BaseException:
            mapping.close()
            raise
        self.mapping = mapping

    def notify(self) -> None:
        from xentool.units import Port

        self.qemu.events().notify(Port(self.port))

    def disconnect(self) -> None:
        from xentool.units import Port

        if self.mapping is not None:
            self.qemu.events().unbind(Port(self.port))
            self.mapping.close()
            self.mapping = None

    def remove(self) -> None:
        self.disconnect()


class Qdisk(QemuDevice):
    """One disk that QEMU serves."""

    def __init__(self, bus: Bus, node: str, qemu: Qemu) -> None:
        super().__init__(bus, node, qemu)
        self._image = -1

    def probe(self) -> bool:
        mode = self.read(f"{self.node}/mode") or "r"
        try:
            size = self._open(self.read(f"{self.node}/params") or "", read_only="w" not in mode)
        except (OSError, ValueError) as error:
            # QEMU makes no device then, and says so in its log alone.
            self.bus.log(f"{self.bus.title}: xen-qdisk {self.node}: {error}")
            return False
        is_cdrom = self.read(f"{self.node}/device-type") == "cdrom"
        info = (VDISK_CDROM if is_cdrom else 0) | (0 if "w" in mode else VDISK_READONLY)
        with self.store.batch() as batch:
            if self.read_number(f"{self.node}/discard-enable", 0):
                batch.write(f"{self.node}/feature-discard", "1")
                batch.write(f"{self.node}/discard-granularity", "512")
                batch.write(f"{self.node}/discard-alignment", "0")
            batch.write(f"{self.node}/feature-flush-cache", "1")
            batch.write(f"{self.node}/max-ring-page-order", str(MAX_RING_PAGE_ORDER))
            batch.write(f"{self.node}/info", str(info))
            batch.write(f"{self.node}/sector-size", "512")
            batch.write(f"{self.node}/sectors", str(size // 512))
            batch.write(f"{self.node}/hotplug-status", "connected")
            batch.write(f"{self.node}/online", "1")
        self.switch_state(INIT_WAIT)
        self.watch_own_end()
        return True

    def _open(self, params: str, *, read_only: bool) -> int:
        """Open FORMAT:PATH; the disk's size in bytes. Raises `OSError`, `ValueError`."""
        kind, _, path = params.partition(":")
        driver = _DRIVERS.get(kind, kind)
        if not path:
            return 0  # an empty drive
        flags = os.O_RDONLY if read_only else os.O_RDWR
        self._image = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        if driver == "raw":
            return os.fstat(self._image).st_size
        if driver not in _SIZE_AT:
            raise ValueError(f"Unknown driver '{driver}'")
        head = os.pread(self._image, 56, 0)
        if not head.startswith(_MAGIC[driver]):
            raise ValueError(f"Could not open '{path}': Image is not in {driver} format")
        at, order = _SIZE_AT[driver]
        return int.from_bytes(head[at : at + 8], "big" if order == "big" else "little")

    def other_changed(self, state: int) -> None:
        if state == INITIALISING and self.state == CLOSED and self._online:
            self.switch_state(INIT_WAIT)
        else:
            super().other_changed(state)

    def connect(self) -> None:
        self.disconnect()
        front = self.other
        reference = self.read_number(f"{front}/ring-ref")
        if reference is None:
            reference = self.read_number(f"{front}/ring-ref0")
        port = self.read_number(f"{front}/event-channel")
        if reference is None or port is None:
            self.bus.log(f"{self.bus.title}: {self.node}: the frontend has no ring")
            return
        try:
            self.map(reference, port)
        except OSError as error:
            self.bus.log(f"{self.bus.title}: {self.node}: failed to map the ring: {error}")
            return
        self.switch_state(CONNECTED)

    def remove(self) -> None:
        super().remove()
        if self._image >= 0:
            os.close(self._image)
            self._image = -1
