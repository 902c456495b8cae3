"""xen-blkback: a block backend of the mock host's Domain-0, which opens its device, and moves no sectors.

Source: drivers/block/xen-blkback/xenbus.c of Linux 6.1; public/io/blkif.h.
"""

from __future__ import annotations

import errno

from xentool.devices.xenbus import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISED, INITIALISING, UNKNOWN
from xentool.errors import StoreError, XentoolError
from xentool.mockhost.splitdriver import MAX_QUEUES, Backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.mockhost.blocks import BlockDevice
    from xentool.mockhost.splitdriver import Room
    from xentool.mockhost.xenbus import Bus

MAX_INDIRECT_SEGMENTS = 256
MAX_RING_PAGE_ORDER = 4
SECTOR_BYTES = 512
PROTOCOLS = ("x86_64-abi", "x86_32-abi")
VDISK_CDROM, VDISK_READONLY = 1, 4
"""public/io/blkif.h"""


class Blkback(Backend):
    """One vbd's backend; `device` is open from when hotplug named it."""

    def __init__(self, bus: Bus, node: str, room: Room) -> None:
        super().__init__(bus, node, room)
        self._device: BlockDevice | None = None
        self._is_cdrom = False

    def probe(self) -> bool:
        self.write_numbers(
            feature_max_indirect_segments=MAX_INDIRECT_SEGMENTS, multi_queue_max_queues=MAX_QUEUES
        )
        self.watch(f"{self.node}/physical-device", self._physical_device_changed)
        self.write_numbers(max_ring_page_order=MAX_RING_PAGE_ORDER)
        self.switch_state(INIT_WAIT)
        return True

    def _physical_device_changed(self) -> None:
        text = self.read(f"{self.node}/physical-device")
        if text is None or self._device is not None:
            return
        try:
            major, minor = (int(number, 16) for number in text.split(":"))
        except ValueError:
            self.fatal(errno.EINVAL, "reading physical-device")
            return
        mode = self.read(f"{self.node}/mode")
        if mode is None:
            self.fatal(errno.ENOENT, "reading mode")
            return
        self._is_cdrom = self.read(f"{self.other}/device-type") == "cdrom"
        try:
            self._device = self.room.blocks.open(major, minor, writing="w" in mode)
        except XentoolError as error:
            self.bus.log(f"{self.bus.title}: {self.node}: {error}")
            # Linux says this whatever the cause (xen_vbd_create).
            self.fatal(errno.ENOENT, "creating vbd structure")
            return
        self._read_only = "w" not in mode
        self._update()

    def other_changed(self, state: int) -> None:
        if state == INITIALISING:
            if self.state == CLOSED:
                self.switch_state(INIT_WAIT)
        elif state in (INITIALISED, CONNECTED):
            if self.state != CONNECTED:
                self._connect_rings()
                self._update()
        elif state == CLOSING:
            self.switch_state(CLOSING)
        elif state in (CLOSED, UNKNOWN):
            if state == CLOSED:
                self.unmap_rings()
                self.switch_state(CLOSED)
            if state == UNKNOWN or not self.is_online():
                self.unregister()
        else:
            self.fatal(errno.EINVAL, f"saw state {state} at frontend")

    def _connect_rings(self) -> None:
        self.unmap_rings()
        protocol = self.read(f"{self.other}/protocol")
        if protocol is not None and protocol not in PROTOCOLS:
            self.fatal(errno.ENOSYS, f"unknown fe protocol {protocol}")
            return
        try:
            for folder in self.queue_folders(self.requested_queues()):
                self._connect_queue(folder)
        except OSError:
            self.unmap_rings()

    def _connect_queue(self, folder: str) -> None:
        port = self.read_number(f"{folder}/event-channel")
        if port is None:
            self.fatal(errno.EINVAL, f"reading {folder}/event-channel")
            raise OSError
        order = self.read_number(f"{self.other}/ring-page-order")
        if order is not None and order > MAX_RING_PAGE_ORDER:
            self.fatal(
                errno.EINVAL,
                f"{folder}/request {order} ring page order exceed max:{MAX_RING_PAGE_ORDER}",
            )
            raise OSError
        names = ["ring-ref"] if order is None else [f"ring-ref{page}" for page in range(1 << order)]
        references = []
        for name in names:
            reference = self.read_number(f"{folder}/{name}")
            if reference is None:
                self.fatal(errno.EINVAL, f"reading {folder}/{name}")
                raise OSError
            references.append(reference)
        try:
            self.map_ring(references, [port])
        except OSError as error:
            self.fatal(error.errno or errno.EINVAL, f"mapping ring-ref port {port}")
            raise

    def _update(self) -> None:
        """Connect, once both the device and the frontend are there."""
        if self._device is None or not self.rings or self.state == CONNECTED:
            return
        info = (VDISK_CDROM if self._is_cdrom else 0) | (VDISK_READONLY if self._read_only else 0)
        try:
            self.write_numbers(feature_flush_cache=1)
            if self.read_number(f"{self.node}/discard-enable", 1):
                self.write_numbers(
                    discard_granularity=4096, discard_alignment=0, discard_secure=0, feature_discard=1
                )
            self.write_numbers(
                feature_barrier=1,
                feature_persistent=1,
                sectors=self._device.size_bytes // SECTOR_BYTES,
                info=info,
                sector_size=SECTOR_BYTES,
                physical_sector_size=SECTOR_BYTES,
            )
        except StoreError as error:
            self.fatal(errno.EIO, f"writing {self.node}: {error.reason}")
            return
        self.switch_state(CONNECTED)

    def remove(self) -> None:
        self.unmap_rings()
        if self._device is not None:
            self._device.close()
            self._device = None
