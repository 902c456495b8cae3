"""xen-netback: a network backend of the mock host's Domain-0, which moves no frames.

Source: drivers/net/xen-netback/xenbus.c of Linux 6.1; public/io/netif.h.
"""

from __future__ import annotations

import errno

from xentool.devices.xenbus import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISED, INITIALISING, UNKNOWN
from xentool.errors import XentoolError
from xentool.mockhost.splitdriver import MAX_QUEUES, Backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.mockhost.network import Interface
    from xentool.mockhost.splitdriver import Room
    from xentool.mockhost.xenbus import Bus
    from xentool.store.watching import Watch

# From a state towards a wanted one: the next on the shortest way (set_backend_state).
_NEXT = {
    INITIALISING: {INIT_WAIT: INIT_WAIT, CONNECTED: INIT_WAIT, CLOSING: INIT_WAIT, CLOSED: CLOSED},
    CLOSED: {INIT_WAIT: INIT_WAIT, CONNECTED: INIT_WAIT, CLOSING: CLOSING},
    INIT_WAIT: {CONNECTED: CONNECTED, CLOSING: CLOSING, CLOSED: CLOSING},
    CONNECTED: {INIT_WAIT: CLOSING, CLOSING: CLOSING, CLOSED: CLOSING},
    CLOSING: {INIT_WAIT: CLOSED, CONNECTED: CLOSED, CLOSED: CLOSED},
}


class Netback(Backend):
    """One vif's backend. The interface is there from the probe to the removal, whatever it is called."""

    def __init__(self, bus: Bus, node: str, room: Room) -> None:
        super().__init__(bus, node, room)
        self._reached = INITIALISING  # may be ahead of `state` while hotplug is waited for
        self._interface: Interface | None = None
        self._hotplug: Watch | None = None

    def probe(self) -> bool:
        self.write_numbers(
            feature_sg=1,
            feature_gso_tcpv4=1,
            feature_gso_tcpv6=1,
            feature_ipv6_csum_offload=1,
            feature_rx_copy=1,
            feature_xdp_headroom=1,
            feature_rx_flip=0,
            feature_multicast_control=1,
            feature_dynamic_multicast_control=1,
            feature_split_event_channels=1,
            multi_queue_max_queues=MAX_QUEUES,
            feature_ctrl_ring=1,
        )
        if self.read(f"{self.node}/script") is None:
            self.fatal(errno.ENOENT, "reading script")
            return False
        handle = self.read_number(f"{self.node}/handle")
        if handle is None:
            self.fatal(errno.ENOENT, "reading handle")
            return False
        try:
            self._interface = self.room.network.add(
                f"vif{self.other_domid}.{handle}",
                owner=f"/local/domain/{self.room.session.caller}/{self.node}",
            )
        except XentoolError:
            self.fatal(errno.EEXIST, "creating interface")
            return False
        return True

    def other_changed(self, state: int) -> None:
        if state == INITIALISING:
            self._go(INIT_WAIT)
        elif state == INITIALISED:
            pass
        elif state in (CONNECTED, CLOSING):
            self._go(state)
        elif state in (CLOSED, UNKNOWN):
            self._go(CLOSED)
            if state == UNKNOWN or not self.is_online():
                self.unregister()
        else:
            self.fatal(errno.EINVAL, f"saw state {state} at frontend")

    def _go(self, state: int) -> None:
        while self._reached != state:
            step = _NEXT[self._reached][state]
            if step == CONNECTED:
                self._connect()
            elif self._reached == CONNECTED:
                self.unmap_rings()
            self._reached = step
            if self._hotplug is None:
                self.switch_state(step)

    def _connect(self) -> None:
        """Map the rings. What fails is complained of, and yet the state goes on to Connected, as Linux's."""
        mac = self.read(f"{self.node}/mac") or ""
        if len(mac.split(":")) != 6:
            self.fatal(errno.ENOENT, f"parsing {self.node}/mac")
            return
        try:
            for folder in self.queue_folders(self.requested_queues()):
                self._connect_queue(folder)
        except OSError:
            self.unmap_rings()
            return
        if self._hotplug is not None:
            self.unwatch(self._hotplug)
        self._hotplug = self.watch(f"{self.node}/hotplug-status", self._hotplug_changed)

    def _connect_queue(self, folder: str) -> None:
        sent, received = (self.read_number(f"{folder}/{way}-ring-ref") for way in ("tx", "rx"))
        if sent is None or received is None:
            self.fatal(errno.ENOENT, f"reading {folder}/ring-ref")
            raise OSError
        ports = [self.read_number(f"{folder}/event-channel-{way}") for way in ("tx", "rx")]
        if None in ports:
            ports = [self.read_number(f"{folder}/event-channel")]
        bound = [port for port in ports if port is not None]
        if not bound:
            self.fatal(errno.ENOENT, f"reading {folder}/event-channel(-tx/rx)")
            raise OSError
        try:
            self.map_ring([sent, received], bound)
        except OSError as error:
            number = error.errno or errno.EINVAL
            self.fatal(number, f"mapping shared-frames {sent}/{received} port tx {bound[0]} rx {bound[-1]}")
            raise

    def _hotplug_changed(self) -> None:
        """The state was held back until the toolstack said that the interface is tied."""
        if self.read(f"{self.node}/hotplug-status") == "connected" and self._hotplug is not None:
            self.unwatch(self._hotplug)
            self._hotplug = None
            self.switch_state(self._reached)

    def remove(self) -> None:
        self._go(CLOSED)
        self.unmap_rings()
        if self._interface is not None:
            if self.store.exists(self.node):
                self.store.rm(f"{self.node}/hotplug-status")
            self.room.network.remove(self._interface)
            self._interface = None
