"""C xenstored outside Xen: started for a replay, with tests/support/xenshim in Xen's place."""

from __future__ import annotations

import array
import fcntl
import itertools
import mmap
import os
import select
import shutil
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.store.replay.players import DYING, EXISTS, SECONDS, STATES, SocketPlayer, Wire
from tests.support.labfiles import LabPrograms
from xentool.abi import xs_wire as xs
from xentool.store.codec import Decoder

if TYPE_CHECKING:
    from xentool.store.codec import Message

SHIM = Path(__file__).parents[2] / "support" / "xenshim" / "shim.c"


class RingWire:
    """A guest's end of its ring. `others` makes all guests take what is for them: what one guest's requests
    cause counts against it until then."""

    def __init__(self, page: memoryview, kick: int, notified: int, others: Callable[[], None]) -> None:
        self._page = page
        self._kick = kick
        self._notified = notified
        self._others = others
        self._pending: list[Message] = []
        self._decoder = Decoder()
        self.seen = 0
        self._left = b""

    def send(self, data: bytes) -> None:
        self._left += data
        self._push()

    def _push(self) -> None:
        size = xs.XENSTORE_RING_SIZE
        consumed, produced = struct.unpack_from("<II", self._page, xs.RING_REQ_CONS_OFFSET)
        while self._left and (room := size - ((produced - consumed) & 0xFFFFFFFF)):
            start = produced % size
            part = self._left[: min(room, size - start)]
            self._page[start : start + len(part)] = part
            self._left = self._left[len(part) :]
            produced = (produced + len(part)) & 0xFFFFFFFF
        self._set(xs.RING_REQ_PROD_OFFSET, produced)
        os.write(self._kick, b"g")

    def _set(self, offset: int, value: int) -> None:
        # Not pack_into: that writes zeros first, and the daemon may look at any time.
        self._page[offset : offset + 4] = struct.pack("<I", value)

    def look(self) -> list[Message]:
        self.take()
        messages, self._pending = self._pending, []
        return messages

    def take(self) -> None:
        """Take what is in the ring, for the next look."""
        size = xs.XENSTORE_RING_SIZE
        while True:
            consumed, produced = struct.unpack_from("<II", self._page, xs.RING_RSP_CONS_OFFSET)
            waiting = (produced - consumed) & 0xFFFFFFFF
            if not waiting:
                return
            start = xs.RING_RSP_OFFSET + consumed % size
            part = bytes(self._page[start : start + min(waiting, xs.RING_RSP_OFFSET + size - start)])
            self._set(xs.RING_RSP_CONS_OFFSET, (consumed + len(part)) & 0xFFFFFFFF)
            self._pending += self._decoder.feed(part)
            self.seen += len(part)
            if waiting == size:
                os.write(self._kick, b"g")

    def receive(self) -> list[Message]:
        end = time.monotonic() + SECONDS
        while not (messages := self.look()):
            if self._left:
                self._push()
            if not select.select([self._notified], [], [], 0.02)[0]:
                if time.monotonic() > end:
                    indexes = struct.unpack_from("<7I", self._page, xs.RING_REQ_CONS_OFFSET)
                    raise AssertionError(f"the daemon does not answer a guest; its ring's fields: {indexes}")
                self._others()
                # A daemon that slows the guest down sleeps by a clock that runs too fast: wake it.
                os.write(self._kick, b"g")
            try:
                if not os.read(self._notified, 65536):
                    raise AssertionError("the daemon is gone")
            except BlockingIOError:
                pass
        return messages

    def close(self) -> None:
        self._page.release()


class XenstoredPlayer(SocketPlayer):
    """C xenstored, started for this, with tests/support/xenshim in Xen's place."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._folder = folder
        (folder / "port").write_text("1")
        self._domains = self._map(folder / "domains", 0x8000)
        self._rings = self._map(folder / "rings", 0x8000 * 4096)
        self._domains[0] = EXISTS
        events, self._kick = os.pipe()
        self._notified, notify = os.pipe()
        os.set_blocking(notify, False)
        os.set_blocking(self._notified, False)
        self._events = events
        self._errors = open(folder / "errors", "w+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            # Events wait for ever for who does not read them: a debugger's clock shall not matter.
            [*command, "-N", "-w", "watch-event=0"],
            env={
                "XENSTORED_RUNDIR": str(folder),
                "XENSTORED_ROOTDIR": str(folder),
                "XENSTORED_PATH": str(folder / "socket"),
                "XENSHIM_PORT": str(folder / "port"),
                "XENSHIM_DOMAINS": str(folder / "domains"),
                "XENSHIM_RINGS": str(folder / "rings"),
                "XENSHIM_EVENTS": str(events),
                "XENSHIM_NOTIFY": str(notify),
            },
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            pass_fds=(events, notify),
            cwd=folder,
        )
        os.close(notify)
        self._wait_for_socket(folder / "socket")
        super().__init__(str(folder / "socket"))

    def _map(self, path: Path, size: int) -> mmap.mmap:
        with open(path, "w+b") as file:
            file.truncate(size)
            return mmap.mmap(file.fileno(), size)

    def _wait_for_socket(self, path: Path) -> None:
        end = time.monotonic() + SECONDS
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(path))
                    return
                except OSError:
                    if self._process.poll() is not None or time.monotonic() > end:
                        self._process.kill()
                        self._process.wait()
                        raise AssertionError(f"xenstored does not start: {self.words()}") from None
            time.sleep(0.005)

    def words(self) -> str:
        """What the daemon printed."""
        return (self._folder / "errors").read_text(errors="replace")

    def connect_guest(self, domid: int) -> Wire:
        page = memoryview(self._rings)[domid * 4096 : (domid + 1) * 4096]
        return RingWire(page, self._kick, self._notified, self._take_all)

    def _take_all(self) -> None:
        for wire in self.wires.values():
            if isinstance(wire, RingWire):
                wire.take()

    def is_alive(self, domid: int) -> bool:
        return bool(self._domains[domid]) and not self._domains[domid] & DYING

    def happen(self, what: str, domid: int) -> None:
        if what == "create" and not self._domains[domid]:
            self._rings[domid * 4096 : (domid + 1) * 4096] = bytes(4096)
        self._domains[domid] = STATES[what]
        if what == "create":
            return
        os.write(self._kick, b"v")
        waiting = array.array("i", [1])
        while waiting[0]:
            # Each round of the daemon's loop takes one event.
            self.settle()
            fcntl.ioctl(self._events, termios.FIONREAD, waiting)

    def close(self) -> None:
        super().close()
        self._process.kill()
        self._process.wait()
        self._rings.close()
        self._domains.close()
        self._errors.close()
        for descriptor in (self._events, self._kick, self._notified):
            os.close(descriptor)


class Xenstored:
    """One release's daemon. `start` gives a new one, with an empty store."""

    def __init__(self, xen: str, folder: Path) -> None:
        self.xen = xen
        self._folder = folder
        self._numbers = itertools.count()
        shim = folder / "shim.so"
        compiler = shutil.which("gcc")
        assert compiler, "C xenstored's shim is built with gcc: apt-get install gcc libc6-dev"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", shim, SHIM, "-ldl"], check=True)
        self._command = LabPrograms(xen, folder / "programs").command("xenstored", shim)

    def start(self) -> XenstoredPlayer:
        folder = self._folder / f"run{next(self._numbers)}"
        folder.mkdir()
        return XenstoredPlayer(self._command, folder)
