"""The client of a mock host: `port.Hypervisor` over a Unix socket.

Hypercall buffers lie in an arena that both sides map, and frames are mapped here
from the machine's memory file, once the mock host has checked and recorded it.
So only numbers travel. Everything goes when the connection closes.
"""

from __future__ import annotations

import errno
import os
from array import array
from contextlib import suppress

from xentool.errors import MockHostError
from xentool.hypervisor.mock import wire
from xentool.hypervisor.mock.arena import Arena
from xentool.hypervisor.mock.handles import RemoteEvents
from xentool.hypervisor.mock.mapping import map_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from types import TracebackType
    from typing import Self

    from xentool.hypervisor.mock.arena import ArenaBuffer
    from xentool.hypervisor.mock.mapping import FrameMapping
    from xentool.units import DomId

SOCKET_NAME = "hypervisor.sock"


class RemoteMock:
    """A connection to the mock host whose directory is `directory`.

    Raises:
        MockHostError: nobody answers there, or it speaks another version.
    """

    kind = "mock"

    def __init__(self, directory: str) -> None:
        import socket

        self._directory = directory
        path = os.path.join(directory, SOCKET_NAME)
        self._socket: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise MockHostError(
                "connect to the mock host",
                directory,
                f"nobody answers at {path}: {error.strerror}",
                hint="any command with --backend mock starts one; its log is mockhost.log in that directory",
            ) from error
        self._arena = Arena()
        self._memory_fd = -1
        self._sequence = 0
        self._lost = False
        try:
            _, descriptors = self._ask(wire.HELLO, wire.VERSION, send_fd=self._arena.fd)
        except OSError as error:
            self.close()
            raise MockHostError(
                "connect to the mock host",
                directory,
                "it speaks another version of its protocol than this xentool",
                hint="stop it, and let this xentool start its own",
            ) from error
        self._memory_fd = descriptors[0]

    def hypercall(self, number: int, *arguments: int) -> int:
        return self._ask(wire.HYPERCALL, number, *arguments)[0]

    def buffer(self, size: int) -> ArenaBuffer:
        return self._arena.allocate(size)

    def map_frames(self, domid: DomId, frames: array[int], *, writable: bool = True) -> FrameMapping:
        with self._words("Q", frames) as words:
            number = self._ask(wire.MAP_FRAMES, domid, words.address, len(frames), writable)[0]
        return self._map(number, frames, writable)

    def map_resource(self, domid: DomId, kind: int, index: int, frame: int, count: int) -> FrameMapping:
        frames = array("Q", bytes(8 * count))
        with self._words("Q", frames) as words:
            number = self._ask(wire.MAP_RESOURCE, domid, kind, index, frame, count, words.address)[0]
            frames = array("Q", words.view[: 8 * count].tobytes())
        return self._map(number, frames, writable=True)

    def map_grants(self, domid: DomId, references: array[int], *, writable: bool = True) -> FrameMapping:
        count = len(references)
        # The answer's frames, 8 bytes each, overwrite the references, 4 bytes each.
        with self._arena.allocate(8 * count) as words:
            words.view[: 4 * count] = array("I", references).tobytes()
            number = self._ask(wire.MAP_GRANTS, domid, words.address, count, writable)[0]
            frames = array("Q", words.view[: 8 * count].tobytes())
        return self._map(number, frames, writable)

    def event_channels(self) -> RemoteEvents:
        number, descriptors = self._ask(wire.EVENTS_OPEN)
        return RemoteEvents(self._ask_number, number, descriptors[0])

    def stop_host(self) -> None:
        """Tell the mock host to end; it is gone when the connection breaks."""
        self._ask(wire.STOP)

    def wait_until_gone(self) -> None:
        """Block until the mock host has closed the connection."""
        while self._socket is not None and self._socket.recv(1):
            pass

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1
        self._arena.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _words(self, code: str, numbers: array[int]) -> ArenaBuffer:
        data = numbers.tobytes() if numbers.typecode == code else array(code, numbers).tobytes()
        buffer = self._arena.allocate(len(data))
        buffer.view[: len(data)] = data
        return buffer

    def _map(self, number: int, frames: array[int], writable: bool) -> FrameMapping:
        try:
            return map_frames(self._memory_fd, frames, writable, lambda: self._forget(number))
        except BaseException:
            self._forget(number)
            raise

    def _forget(self, number: int) -> None:
        # A mock host that is gone has forgotten it by itself.
        if self._socket is not None:
            with suppress(MockHostError):
                self._ask(wire.UNMAP, number)

    def _ask_number(self, what: int, *numbers: int) -> int:
        return self._ask(what, *numbers)[0]

    def _ask(self, what: int, *numbers: int, send_fd: int | None = None) -> tuple[int, list[int]]:
        """One request and its answer: the result, and descriptors that came with it.

        Raises:
            OSError: the mock hypervisor's errno; EBADF after `close`.
            MockHostError: the mock host went away.
        """
        import socket

        if self._socket is None:
            raise self._gone() if self._lost else OSError(errno.EBADF, "this connection to Xen is closed")
        # Unsigned arguments travel as the same 64 bits, signed.
        words = [number - (1 << 64) if number >= 1 << 63 else number for number in numbers]
        self._sequence += 1
        packet = wire.REQUEST.pack(self._sequence, what, *words, *(0,) * (8 - len(words)))
        try:
            if send_fd is None:
                self._socket.send(packet)
            else:
                socket.send_fds(self._socket, [packet], [send_fd])
            while True:
                data, descriptors, _, _ = socket.recv_fds(
                    self._socket, wire.ANSWER.size, 1, socket.MSG_CMSG_CLOEXEC
                )
                if len(data) != wire.ANSWER.size:
                    raise self._gone()
                sequence, number, result = wire.ANSWER.unpack(data)
                if sequence == self._sequence:
                    break
                for descriptor in descriptors:
                    os.close(descriptor)
        except ConnectionError as error:
            raise self._gone() from error
        if number:
            raise OSError(number, os.strerror(number))
        return result, descriptors

    def _gone(self) -> MockHostError:
        self._lost = True
        self.close()
        return MockHostError(
            "ask the mock host",
            self._directory,
            "it went away in the middle of a call; its domains are lost",
            hint="the next command starts a fresh one; mockhost.log in that directory may say why",
        )


def connect(directory: str) -> RemoteMock:
    """A connection to the mock host that runs in `directory`. Raises `MockHostError`."""
    return RemoteMock(directory)
