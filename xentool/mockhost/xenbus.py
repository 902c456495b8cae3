"""What Linux's xenbus does for drivers at either end: finds devices, follows the other end, keeps the state.

A `Bus` watches one folder of the store ("backend" in Domain-0, "device" in a guest) and has a
`Driver` object for each device in it whose kind it knows. Like Linux, it takes up a device only
in state Initialising, and puts a driver's complaints below ``error/``.

Source: drivers/xen/xenbus/xenbus_probe.c, xenbus_client.c of Linux 6.1; public/io/xenbus.h.
"""

from __future__ import annotations

import errno

from xentool.devices.paths import is_number
from xentool.devices.xenbus import CLOSED, CLOSING, INITIALISING, UNKNOWN
from xentool.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xentool.store.client import StoreClient
    from xentool.store.watching import Watch


class Driver:
    """A driver's side of one device. `node` is its own end, `other` the other one, of domain `other_domid`.

    Drivers override `probe`, `other_changed` and `remove`.
    """

    other_nodes = ("frontend-id", "frontend")

    def __init__(self, bus: Bus, node: str) -> None:
        self.bus = bus
        self.store = bus.store
        self.node = node
        self.state = INITIALISING
        self.other = ""
        self.other_domid = 0
        self.registered = True
        self._watches: list[Watch] = []

    # -- what drivers do -------------------------------------------------------

    def probe(self) -> bool:
        """A new device: whether the driver takes it."""
        raise NotImplementedError

    def other_changed(self, state: int) -> None:
        """The other end's state may have changed."""
        raise NotImplementedError

    def remove(self) -> None:
        """The device goes: let go of everything."""
        raise NotImplementedError

    # -- what drivers use -------------------------------------------------------

    def switch_state(self, state: int) -> None:
        """Tell the other end. A device whose node is gone is being torn down, and is not resurrected."""
        if state == self.state:
            return
        if self.store.exists(f"{self.node}/state"):
            self.store.write(f"{self.node}/state", str(state))
        self.state = state

    def error(self, number: int, text: str) -> None:
        """Complain where the toolstack looks for it."""
        self.bus.log(f"{self.bus.title}: {self.node}: {text} ({errno.errorcode.get(number, number)})")
        self.store.write(f"error/{self.node}/error", f"{number} {text}")

    def fatal(self, number: int, text: str) -> None:
        """Complain, and give the device up."""
        self.error(number, text)
        self.switch_state(CLOSING)

    def watch(self, path: str, changed: Callable[[], None]) -> Watch:
        """Call `changed` now, soon, and whenever something changes there, while the device is registered."""
        watch = self.bus.watch(path, changed)
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
            self.bus.unwatch(watch)

    def read(self, path: str) -> str | None:
        """The value of a node; None if there is none, or it may not be read."""
        try:
            value = self.store.try_read(path)
        except StoreError:
            return None
        return None if value is None else value.decode("ascii", "replace")

    def read_number(self, path: str, default: int | None = None) -> int | None:
        """A node that holds an unsigned number; `default` if it holds none."""
        text = self.read(path)
        if text is None or not text.isascii() or not text.isdigit() or len(text) > 10:
            return default
        return int(text)

    def is_online(self) -> bool:
        return bool(self.read_number(f"{self.node}/online", 0))

    def unregister(self) -> None:
        """The device leaves the bus."""
        if not self.registered:
            return
        self.registered = False
        for watch in self._watches:
            self.bus.unwatch(watch)
        self._watches.clear()
        self.bus.forget(self)
        self.remove()
        self.switch_state(CLOSED)

    # -- what the bus does --------------------------------------------------------

    def start(self) -> None:
        """Find the other end, and let the driver take the device."""
        number, path = (f"{self.node}/{name}" for name in self.other_nodes)
        domid, other = self.read_number(number), self.read(path)
        if domid is None or other is None:
            self.fatal(errno.ENOENT, f"reading other end details from {self.node}")
            return
        if not other or not self._is_there(other):
            self.fatal(errno.ENOENT, f"unable to read other end from {self.node}.  missing or inaccessible.")
            return
        self.other, self.other_domid = other, domid
        if self.probe():
            self.watch(f"{other}/state", self._other_changed)

    def _is_there(self, path: str) -> bool:
        try:
            return self.store.exists(path)
        except StoreError:
            return False

    def other_state(self) -> int:
        """XenbusState of the other end; Unknown if it has none, or none that we know."""
        text = self.read(f"{self.other}/state")
        return (
            int(text)
            if text is not None and text.isascii() and text.isdigit() and len(text) < 10
            else UNKNOWN
        )

    def _other_changed(self) -> None:
        self.other_changed(self.other_state())


class Bus:
    """Devices below `root`, `levels` names deep, and the drivers by kind. `title` names it in the log."""

    def __init__(
        self,
        store: StoreClient,
        root: str,
        levels: int,
        drivers: Mapping[str, Callable[[Bus, str], Driver]],
        *,
        title: str,
        log: Callable[[str], None],
    ) -> None:
        self.store = store
        self.root = root
        self.title = title
        self.log = log
        self.devices: dict[str, Driver] = {}
        self._levels = levels
        self._drivers = drivers
        self._called: dict[str, Callable[[], None]] = {}
        self._token = f"{root}/"
        self._number = 0
        self._watch = store.watch(root, self._token)

    def handle(self, path: str, token: str) -> None:
        """A watch event came."""
        if token == self._token:
            self._changed(path)
            return
        called = self._called.get(token)
        if called is not None:
            called()

    def watch(self, path: str, changed: Callable[[], None]) -> Watch:
        self._number += 1
        token = f"{self._token}{self._number}"
        self._called[token] = changed
        return self.store.watch(path, token)

    def unwatch(self, watch: Watch) -> None:
        if self._called.pop(watch.token, None) is not None:
            watch.unwatch()

    def forget(self, device: Driver) -> None:
        if self.devices.get(device.node) is device:
            del self.devices[device.node]

    def _changed(self, path: str) -> None:
        """Something changed at or below the root: a device came or went, perhaps several."""
        names = path.split("/")
        depth = self._levels + 1
        if not self.store.exists(path):
            for node, device in list(self.devices.items()):
                if node == path or node.startswith(f"{path}/"):
                    device.unregister()
            return
        if len(names) < depth:
            self._look_below(path, depth - len(names))
            return
        node = "/".join(names[:depth])
        driver = self._drivers.get(names[1])
        if (
            driver is None
            or not is_number(names[depth - 1])
            or node in self.devices
            or self.store.try_read(f"{node}/state") != b"1"
        ):
            return
        device = self.devices[node] = driver(self, node)
        device.start()

    def _look_below(self, path: str, depth: int) -> None:
        """Take up what is there already: at the start, and where a folder was written in one go."""
        for name in self.store.directory(path):
            below = f"{path}/{name}"
            if depth > 1:
                self._look_below(below, depth - 1)
            else:
                self._changed(below)

    def close(self) -> None:
        """Forget everything without telling anybody: the machine goes."""
        self.devices.clear()
        self._called.clear()
