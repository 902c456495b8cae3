"""The frontend drivers of a simulated guest: netfront, blkfront and hvc, as far as the store sees them.

They find their devices below ``device/`` through the guest's own store ring, share real pages and
event channels with the backends, and follow them until they are closed.

On the guest's command line, ``mock.ignore-unplug`` makes them deaf to a backend that closes, and
``mock.hostile-devices=rewrite`` or ``=delete`` spoils every node that the guest may write, at
each step.

Source: drivers/net/xen-netfront.c, drivers/block/xen-blkfront.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from contextlib import suppress

from xentool.devices.xenbus import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISED, INITIALISING
from xentool.errors import StoreError, StoreGoneError, TimedOutError
from xentool.mockhost.guestmemory import Channel, GuestMemory, NoSpaceLeftError
from xentool.mockhost.ring import BrokenRingError, console_ring
from xentool.mockhost.xenbus import Bus, Driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.mockhost.guest import Guest

_LEVELS = 2  # device/KIND/DEVID
MAX_QUEUES = 8
"""MAX_QUEUES_DEFAULT of drivers/net/xen-netfront.c."""


class Frontend(Driver):
    """What the frontend drivers have in common. `name` is what the guest calls the device."""

    other_nodes = ("backend-id", "backend")
    name = ""

    def __init__(self, bus: Bus, node: str, yard: Frontends) -> None:
        super().__init__(bus, node)
        self.yard = yard
        self.devid = int(node.rpartition("/")[2])
        self.channels: list[Channel] = []

    def probe(self) -> bool:
        self.learn()
        self.yard.mischief(self.node)
        return True

    def learn(self) -> None:
        """Read what the toolstack says of the device."""

    def connect(self) -> bool:
        """The backend waits: set up what is shared and tell it where; whether that could be done."""
        raise NotImplementedError

    def share(self, folder: str, pages: dict[str, int], ports: tuple[str, ...]) -> None:
        """Share pages and event channels, and write them below `folder`. Raises `NoSpaceLeftError`.

        `pages` has how many pages each node is of: only one-page rings are made here.
        """
        channel = Channel(self.yard.memory, self.other_domid, sum(pages.values()), len(ports))
        self.channels.append(channel)
        with self.store.batch() as batch:
            for name, reference in zip(pages, channel.references, strict=True):
                batch.write(f"{folder}/{name}", str(reference))
            for name, port in zip(ports, channel.ports, strict=True):
                batch.write(f"{folder}/{name}", str(port))

    def queue_count(self) -> int:
        """As many queues as the backend offers and this guest has vcpus."""
        offered = self.read_number(f"{self.other}/multi-queue-max-queues", 1) or 1
        return max(1, min(offered, MAX_QUEUES, self.yard.vcpu_count))

    def queue_folders(self, count: int) -> list[str]:
        return [self.node] if count == 1 else [f"{self.node}/queue-{queue}" for queue in range(count)]

    def set_up(self, ready: int) -> None:
        """Connect and go to state `ready`, if this is the first time that the backend waits."""
        if self.state != INITIALISING:
            return
        try:
            done = self.connect()
        except NoSpaceLeftError as error:
            self.close_channels()
            self.fatal(errno.ENOMEM, f"allocating what is shared: {error}")
            return
        if done:
            self.yard.mischief(self.node)
            self.switch_state(ready)

    def close_down(self) -> None:
        """The backend closes: let go of the device, unless this guest refuses to."""
        if self.yard.ignores_unplug or self.state == CLOSED:
            return
        self.yard.mischief(self.node)
        self.switch_state(CLOSED)

    def close_channels(self) -> None:
        for channel in self.channels:
            channel.close()
        self.channels.clear()

    def remove(self) -> None:
        self.close_channels()
        self.yard.say(f"{self.name}: removed")


class Netfront(Frontend):
    """A network interface of the guest."""

    def __init__(self, bus: Bus, node: str, yard: Frontends) -> None:
        super().__init__(bus, node, yard)
        self.name = f"eth{self.devid}"
        self.mac = ""
        self.mtu = 1500

    def learn(self) -> None:
        self.mac = self.read(f"{self.node}/mac") or ""
        self.mtu = self.read_number(f"{self.node}/mtu", 1500) or 1500

    def connect(self) -> bool:
        if not self.read_number(f"{self.other}/feature-rx-copy", 0):
            return False
        if len(self.mac.split(":")) != 6:
            self.fatal(errno.ENOENT, f"parsing {self.node}/mac")
            return False
        split = self.read_number(f"{self.other}/feature-split-event-channels", 0)
        ports = ("event-channel-tx", "event-channel-rx") if split else ("event-channel",)
        count = self.queue_count()
        if self.read_number(f"{self.other}/feature-xdp-headroom", 0):
            self.store.write(f"{self.node}/xdp-headroom", "0")
        if self.read_number(f"{self.other}/multi-queue-max-queues") is not None:
            self.store.write(f"{self.node}/multi-queue-num-queues", str(count))
        for folder in self.queue_folders(count):
            self.share(folder, {"tx-ring-ref": 1, "rx-ring-ref": 1}, ports)
        with self.store.batch() as batch:
            for name in (
                "request-rx-copy",
                "feature-rx-notify",
                "feature-sg",
                "feature-gso-tcpv4",
                "feature-gso-tcpv6",
                "feature-ipv6-csum-offload",
            ):
                batch.write(f"{self.node}/{name}", "1")
        return True

    def other_changed(self, state: int) -> None:
        if state == INIT_WAIT:
            self.set_up(CONNECTED)
        elif state == CONNECTED and self.state == CONNECTED:
            self.yard.say(f"{self.name}: connected, {self.mac}")
        elif state in (CLOSING, CLOSED):
            self.close_down()


class Blkfront(Frontend):
    """A disk of the guest. `sectors` are of 512 bytes."""

    def __init__(self, bus: Bus, node: str, yard: Frontends) -> None:
        super().__init__(bus, node, yard)
        self.name = disk_name(self.devid)
        self.sectors = 0
        self.read_only = False
        self.is_cdrom = False

    def connect(self) -> bool:
        count = self.queue_count()
        if count > 1:
            self.store.write(f"{self.node}/multi-queue-num-queues", str(count))
        for folder in self.queue_folders(count):
            self.share(folder, {"ring-ref": 1}, ("event-channel",))
        with self.store.batch() as batch:
            batch.write(f"{self.node}/protocol", "x86_64-abi")
            batch.write(f"{self.node}/feature-persistent", "1")
        return True

    def other_changed(self, state: int) -> None:
        if state == INIT_WAIT:
            self.set_up(INITIALISED)
        elif state == CONNECTED:
            self._backend_connected()
        elif state in (CLOSING, CLOSED):
            self.close_down()

    def _backend_connected(self) -> None:
        """The backend says what the disk is; said again where its size has changed."""
        if self.state not in (INITIALISED, CONNECTED):
            return
        sectors = self.read_number(f"{self.other}/sectors")
        info = self.read_number(f"{self.other}/info")
        if sectors is None or info is None:
            self.fatal(errno.ENOENT, f"reading backend fields at {self.other}")
            return
        self.is_cdrom, self.read_only = bool(info & 1), bool(info & 4)
        if self.state == CONNECTED and sectors == self.sectors:
            return
        self.sectors = sectors
        self.switch_state(CONNECTED)
        self.yard.say(f"{self.name}: {sectors} sectors{', read-only' if self.read_only else ''}")


class Hvc(Frontend):
    """A channel: a console with a number that is not 0 (drivers/tty/hvc/hvc_xen.c). It says what it hears."""

    def __init__(self, bus: Bus, node: str, yard: Frontends) -> None:
        super().__init__(bus, node, yard)
        self.name = f"hvc{self.devid}"

    def probe(self) -> bool:
        super().probe()
        return self.devid != 0 and self._offer()

    def _offer(self) -> bool:
        """A console does not wait for its backend: it says at once where its ring is."""
        try:
            channel = Channel(self.yard.memory, self.other_domid, 1, 1)
        except NoSpaceLeftError as error:
            self.fatal(errno.ENOMEM, f"allocating what is shared: {error}")
            return False
        self.channels.append(channel)
        self.yard.attach_console(self.name, channel)
        with self.store.batch() as batch:
            batch.write(f"{self.node}/ring-ref", str(channel.references[0]))
            batch.write(f"{self.node}/port", str(channel.ports[0]))
        self.yard.mischief(self.node)
        self.switch_state(INITIALISED)
        return True

    def other_changed(self, state: int) -> None:
        if state in (INIT_WAIT, CONNECTED) and self.state == INITIALISED:
            self.switch_state(CONNECTED)
        elif state in (CLOSING, CLOSED):
            self.close_down()

    def remove(self) -> None:
        self.yard.detach_console(self.name)
        super().remove()


def disk_name(virtual_device: int) -> str:
    """What Linux calls the disk: IDE's and SCSI's numbers are names of Xen's disks as well.

    Source: docs/misc/vbd-interface.7.pandoc; xlbd_alloc_minors of xen-blkfront.c.
    """
    if virtual_device >> 28:
        disk, partition = virtual_device >> 8 & (1 << 20) - 1, virtual_device & 0xFF
    else:
        major, minor = virtual_device >> 8, virtual_device & 0xFF
        if major in (3, 22):
            disk, partition = minor >> 6 | (2 if major == 22 else 0), minor & 63
        else:
            disk, partition = minor >> 4, minor & 15
    letters = ""
    disk += 1
    while disk:
        disk, letter = divmod(disk - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return f"xvd{letters}{partition or ''}"


class Frontends:
    """All frontends of one guest, on its own store connection."""

    def __init__(self, guest: Guest, memory: GuestMemory) -> None:
        assert guest.store is not None
        self.memory = memory
        self._guest = guest
        self._store = guest.store
        words = dict(word.partition("=")[::2] for word in guest.command_line.split())
        self.ignores_unplug = "mock.ignore-unplug" in words
        self._hostile = words.get("mock.hostile-devices")
        self._echoes: dict[str, int] = {}
        self.bus = Bus(
            guest.store,
            "device",
            _LEVELS,
            {
                "vif": lambda bus, node: Netfront(bus, node, self),
                "vbd": lambda bus, node: Blkfront(bus, node, self),
                "console": lambda bus, node: Hvc(bus, node, self),
            },
            title=f"domain {guest.domain.domid}",
            log=guest.log,
        )

    @property
    def vcpu_count(self) -> int:
        return sum(1 for vcpu in self._guest.domain.vcpus if vcpu is not None and not vcpu.down)

    @property
    def interfaces(self) -> list[Netfront]:
        """By number."""
        found = [device for device in self.bus.devices.values() if isinstance(device, Netfront)]
        return sorted(found, key=lambda device: device.devid)

    @property
    def disks(self) -> list[Blkfront]:
        """By number."""
        found = [device for device in self.bus.devices.values() if isinstance(device, Blkfront)]
        return sorted(found, key=lambda device: device.devid)

    def attach_console(self, name: str, channel: Channel) -> None:
        """Somebody behind a channel: who writes to it hears the same again."""
        page = self.memory.page(channel)
        heard, said = console_ring(page, "in"), console_ring(page, "out")
        (port,) = channel.ports

        def echo() -> None:
            with suppress(BrokenRingError):
                data = heard.read()
                if data:
                    said.write(data)
                    self._guest.notify(port)

        self._echoes[name] = port
        self._guest.heard[port] = echo

    def detach_console(self, name: str) -> None:
        port = self._echoes.pop(name, 0)
        self._guest.heard.pop(port, None)

    def say(self, text: str) -> None:
        self._guest.print(f"xen: {text}\n")

    def handle(self, path: str, token: str) -> None:
        """A watch event came."""
        try:
            self.bus.handle(path, token)
        except StoreGoneError:
            raise
        except StoreError as error:
            # What the toolstack has just taken away cannot be written to.
            self._guest.log(f"domain {self._guest.domain.domid}: {path}: {error}")

    def mischief(self, node: str) -> None:
        """Spoil every node that this guest may write, if it is a hostile one."""
        if self._hostile is None:
            return
        try:
            names = self._store.directory(node)
        except StoreError:
            return
        for name in names:
            try:
                if self._hostile == "delete":
                    self._store.rm(f"{node}/{name}")
                else:
                    self._store.write(f"{node}/{name}", _spoiled(name))
            except (StoreError, TimedOutError):
                continue  # not the guest's to write
        if self._hostile == "delete":
            try:
                self._store.rm(node)
            except StoreError:
                return


def _spoiled(name: str) -> str:
    """What a hostile guest writes into a node."""
    if name == "backend":
        return "/local/domain/0"
    if name == "backend-id":
        return "32751"
    if name == "state":
        return "4"
    return "../../../../../etc/passwd" if name in ("mac", "virtual-device") else "4294967296"
