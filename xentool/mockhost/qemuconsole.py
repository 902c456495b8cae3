"""QEMU's xen-console: a channel's ring on one side, a pty or a socket's peer on the other.

Source: hw/char/xen_console.c of QEMU 7.2; public/io/console.h.
"""

from __future__ import annotations

import os
from contextlib import suppress

from xentool.devices.xenbus import CONNECTED, INIT_WAIT
from xentool.mockhost.loop import READ
from xentool.mockhost.qemudisk import QemuDevice
from xentool.mockhost.ring import BrokenRingError, console_ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from xentool.mockhost.qemu import Qemu
    from xentool.mockhost.xenbus import Bus

_BACKLOG_LIMIT = 1 << 16


class QemuConsole(QemuDevice):
    """One channel. Number 0 is the primary console, which is another program's."""

    def __init__(self, bus: Bus, node: str, qemu: Qemu) -> None:
        super().__init__(bus, node, qemu)
        self._name = f"libxl-channel{node.rpartition('/')[2]}"
        self._pty: tuple[int, int] | None = None
        self._peer: socket.socket | None = None
        self._unsent = b""

    def probe(self) -> bool:
        if self.node.endswith("/0"):
            return False
        output = self.read(f"{self.other}/output")
        if output == "pty":
            import tty

            self._pty = os.openpty()
            master, slave = self._pty
            tty.setraw(slave)
            os.set_blocking(master, False)
            self.store.write(f"{self.other}/tty", os.ttyname(slave))
            self.qemu.loop.watch(master, lambda _events: self._typed())
        elif output == f"chardev:{self._name}" and self._name in self.qemu.listeners:
            listener = self.qemu.listeners[self._name]
            self.qemu.loop.watch(listener.fileno(), lambda _events: self._accept(listener))
        else:
            self.bus.log(f"{self.bus.title}: {self.node}: no chardev for its output {output!r}")
            return False
        self.switch_state(INIT_WAIT)
        self.watch_own_end()
        return True

    def connect(self) -> None:
        reference = self.read_number(f"{self.other}/ring-ref")
        port = self.read_number(f"{self.other}/port")
        if reference is None or port is None:
            return
        self.disconnect()
        try:
            self.map(reference, port)
        except OSError as error:
            self.bus.log(f"{self.bus.title}: {self.node}: failed to map the ring: {error}")
            return
        assert self.mapping is not None
        self._output = console_ring(self.mapping.view, "out")
        self._input = console_ring(self.mapping.view, "in")
        self.qemu.heard[self.port] = self._from_guest
        self.switch_state(CONNECTED)
        self._from_guest()

    def disconnect(self) -> None:
        self.qemu.heard.pop(self.port, None)
        super().disconnect()

    def _from_guest(self) -> None:
        with suppress(BrokenRingError):
            self._unsent = (self._unsent + self._output.read())[-_BACKLOG_LIMIT:]
            self.notify()
        self._flush()

    def _flush(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError, ConnectionError):
            while self._unsent:
                if self._pty is not None:
                    sent = os.write(self._pty[0], self._unsent)
                elif self._peer is not None:
                    sent = self._peer.send(self._unsent)
                else:
                    break
                self._unsent = self._unsent[sent:]

    def _typed(self) -> None:
        assert self._pty is not None
        with suppress(BlockingIOError):
            self._to_guest(os.read(self._pty[0], 1024))

    def _accept(self, listener: socket.socket) -> None:
        """One peer at a time: the next waits until this one has left."""
        with suppress(BlockingIOError):
            self._peer, _ = listener.accept()
            self._peer.setblocking(False)
            self.qemu.loop.forget(listener.fileno())
            self.qemu.loop.watch(self._peer.fileno(), lambda _events: self._peer_said(listener), READ)
            self._flush()

    def _peer_said(self, listener: socket.socket) -> None:
        assert self._peer is not None
        try:
            data = self._peer.recv(1024)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            self._to_guest(data)
            return
        self.qemu.loop.forget(self._peer.fileno())
        self._peer.close()
        self._peer = None
        self.qemu.loop.watch(listener.fileno(), lambda _events: self._accept(listener))

    def _to_guest(self, data: bytes) -> None:
        """What does not fit into the ring is lost, as on a serial line."""
        if self.mapping is not None:
            with suppress(BrokenRingError):
                self._input.write(data)
                self.notify()

    def remove(self) -> None:
        super().remove()
        if self._pty is not None:
            self.qemu.loop.forget(self._pty[0])
            for descriptor in self._pty:
                os.close(descriptor)
            self._pty = None
