"""A program that plays QEMU for one PV guest of a mock host: ``SCRIPT -xen-domid D …``, as libxl starts QEMU.

A process of its own, like the real one: it can be missing, ended, killed. It serves the guest's
qdisks and channels in `qemudisk` and `qemuconsole`, has the sockets that its arguments ask for, and
ends with the mock host.

Source: QEMU's hw/xen/xen-bus.c, hw/i386/xen/xen-pvh.c, softmmu/vl.c (7.2).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from itertools import pairwise

from xentool.errors import MockHostError, StoreError, StoreGoneError, TimedOutError, XentoolError
from xentool.hypervisor.mock.remote import RemoteMock
from xentool.mockhost.life import store_socket
from xentool.mockhost.loop import Loop
from xentool.mockhost.xenbus import Bus
from xentool.store.client import StoreClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.hypervisor.mock.handles import RemoteEvents
    from xentool.hypervisor.mock.mapping import FrameMapping

SCRIPT_NAME = "mock-qemu"
_LEVELS = 3  # backend/KIND/DOMID/DEVID
_LEGACY_KINDS = ("console", "vkbd", "9pfs", "qusb", "vfb", "qnic")
"""What QEMU 7.2 says that it serves: all that it does not find by its newer bus (xen-legacy-backend.c)."""


def write_script(directory: str) -> None:
    """Make the program that `MockDaemons` starts, in the mock host's directory."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    text = (
        f"#!{sys.executable}\n"
        f"import sys\n"
        f"sys.path.insert(0, {root!r})\n"
        f"from xentool.mockhost.qemu import main\n"
        f"sys.exit(main({directory!r}, sys.argv[1:]))\n"
    )
    path = os.path.join(directory, SCRIPT_NAME)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o700)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def main(directory: str, words: Sequence[str]) -> int:
    """Serve until the mock host goes away, or a signal ends us."""
    try:
        domid, sockets = _parse(words)
        qemu = Qemu(directory, domid, sockets)
    except (XentoolError, ValueError, OSError) as error:
        sys.stderr.write(f"{SCRIPT_NAME}: {error}\n")
        return 1
    # Asked to end by a signal (libxl's is SIGHUP) it takes its sockets away, as QEMU does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        qemu.run()
    finally:
        qemu.close()
    return 0


def _parse(words: Sequence[str]) -> tuple[int, dict[str, str]]:
    """The domain, and the path of each chardev's socket, by its id ("" for one that is a pty)."""
    domid = -1
    chardevs: dict[str, str] = {}
    for word, value in pairwise(words):
        if word == "-xen-domid":
            domid = int(value)
        elif word == "-chardev":
            kind, *options = value.replace(",,", "\0").split(",")
            said = dict(option.replace("\0", ",").partition("=")[::2] for option in options)
            chardevs[said["id"]] = said.get("path", "") if kind == "socket" else ""
    if domid < 0:
        raise ValueError("no -xen-domid: it serves one domain")
    return domid, chardevs


class Qemu:
    """The process: its connections to the mock host, its sockets, and the backends of domain `domid`."""

    def __init__(self, directory: str, domid: int, chardevs: dict[str, str]) -> None:
        from xentool.mockhost.qemuconsole import QemuConsole
        from xentool.mockhost.qemudisk import Qdisk

        self.domid = domid
        self.chardevs = chardevs
        self.loop = Loop()
        self.store = StoreClient(store_socket(directory))
        self.hypervisor = RemoteMock(directory)
        self._events: RemoteEvents | None = None
        self.heard: dict[int, Callable[[], None]] = {}
        self.listeners = {name: _listen(path) for name, path in chardevs.items() if path}
        for name, listener in self.listeners.items():
            if not name.startswith("libxl-channel"):
                # There is no QMP here: who asks is hung up on.
                self.loop.watch(listener.fileno(), lambda _events, at=listener: _hang_up_on(at))  # type: ignore[misc]
        self._buses = [
            Bus(
                self.store,
                f"backend/{kind}/{domid}",
                _LEVELS,
                {kind: lambda bus, node, driver=driver: driver(bus, node, self)},  # type: ignore[misc]
                title="qemu",
                log=lambda text: print(text, flush=True),
            )
            for kind, driver in (("qdisk", Qdisk), ("console", QemuConsole))
        ]

    def events(self) -> RemoteEvents:
        """The event channels, opened when the first is bound."""
        if self._events is None:
            opened = self._events = self.hypervisor.event_channels()
            self.loop.watch(opened.fileno(), lambda _events: self._event(opened))
        return self._events

    def _event(self, events: RemoteEvents) -> None:
        port = events.pending()
        try:
            events.unmask(port)
        except MockHostError:
            self.loop.stop()  # the mock host has ended
            return
        except OSError:
            return  # it was unbound while the event was on its way
        heard = self.heard.get(port)
        if heard is not None:
            heard()

    def map_ring(self, domid: int, references: Sequence[int]) -> FrameMapping:
        """Raises `OSError`."""
        from array import array

        from xentool.units import DomId

        return self.hypervisor.map_grants(DomId(domid), array("I", references))

    def run(self) -> None:
        self.loop.watch(self.store.fileno(), lambda _events: self._look())
        self.loop.later(self._begin)
        self.loop.run()

    def close(self) -> None:
        """Remove the sockets. All else goes with the process."""
        for path in self.chardevs.values():
            if path and os.path.lexists(path):
                os.unlink(path)

    def _begin(self) -> None:
        """What is there already is served; then whoever started us is told."""
        self._look()
        try:
            top = f"device-model/{self.domid}"
            with self.store.batch() as batch:
                for kind in _LEGACY_KINDS:
                    batch.write(f"{top}/backends/{kind}", "", ("n0", f"n{self.domid}"))
                batch.write(f"{top}/state", "running")
            self._look()
        except StoreGoneError:
            self.loop.stop()

    def _look(self) -> None:
        try:
            while (event := self.store.next_event(0)) is not None:
                for bus in self._buses:
                    if event.token.startswith(f"{bus.root}/"):
                        self._handle(bus, event.path, event.token)
        except (StoreGoneError, OSError):
            self.loop.stop()  # the mock host has ended

    @staticmethod
    def _handle(bus: Bus, path: str, token: str) -> None:
        try:
            bus.handle(path, token)
        except StoreGoneError:
            raise
        except (StoreError, TimedOutError) as error:
            bus.log(f"{path}: {error}")


def _hang_up_on(listener: socket.socket) -> None:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        pass  # he has gone by himself


def _listen(path: str) -> socket.socket:
    """A socket at `path`; what was there goes, as QEMU does it."""
    if os.path.lexists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(path)
    listener.listen(1)
    return listener
