"""How a client's bytes reach the store: a Unix socket or the kernel's device.

A transport sends frames, hands out whatever bytes have come back, and says when
there is nothing more to hope for. It knows nothing of messages but one thing:
the kernel's device takes exactly one of them per ``write``.

`_socket` instead of `socket`: every command opens the store, and the wrapper's
imports (enum, selectors) would cost more than the conversation.

Source: drivers/xen/xenbus/xenbus_dev_frontend.c (Linux), tools/libs/store/xs.c
for where the daemon is looked for.
"""

from __future__ import annotations

import os
from _struct import Struct  # what struct has it from; that module would cost its import

from xentool.errors import HostError, StoreGoneError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Protocol

    class Transport(Protocol):
        """What `StoreClient` speaks through."""

        @property
        def name(self) -> str:
            """Where it leads, for messages."""

        def send(self, frames: Sequence[bytes]) -> int:
            """Send some of `frames`, from the first on, without waiting; how many bytes went.

            0 where the other side takes no more just now.

            Raises:
                OSError: the other side is gone.
            """

        def receive(self, timeout_seconds: float | None) -> bytes | None:
            """What has come; waits up to `timeout_seconds` (None: for ever) for at least a byte.

            None where nothing came in time, ``b""`` where the other side is gone.
            """

        def wait_writable(self, timeout_seconds: float) -> bool:
            """Wait until something can be sent *or* received; False when the time is over."""

        def fileno(self) -> int:
            """A descriptor that polls readable when there is something to receive; -1 if there is none."""

        def close(self) -> None: ...


SOCKET_PATHS: Final = ("/run/xenstored/socket", "/var/run/xenstored/socket")
DEVICE_PATHS: Final = ("/dev/xen/xenbus", "/proc/xen/xenbus")

CONNECT_TIMEOUT_SECONDS: Final = 30.0
_TIMEVAL = Struct("=qq")
_NEVER = _TIMEVAL.pack(0, 0)
_MSG_DONTWAIT = 0x40
_MSG_NOSIGNAL = 0x4000
_RECEIVE_BYTES = 32768  # more in one buffer, and malloc tidies up each time that it is given back
_SEND_BYTES = 65536


def _timeval(timeout_seconds: float) -> bytes:
    """A struct timeval for a socket's option; there, 0 would mean for ever."""
    microseconds = max(1, int(min(timeout_seconds, 1e9) * 1_000_000))
    return _TIMEVAL.pack(*divmod(microseconds, 1_000_000))


def _milliseconds(timeout_seconds: float | None) -> int | None:
    return None if timeout_seconds is None else max(0, int(timeout_seconds * 1000 + 0.999))


def _poll(descriptor: int, events: int, timeout_seconds: float | None) -> int:
    """poll(2) on one descriptor: the events that came, 0 when the time is over."""
    import select

    poll = select.poll()
    poll.register(descriptor, events)
    ready = poll.poll(_milliseconds(timeout_seconds))
    return ready[0][1] if ready else 0


class SocketTransport:
    """A daemon's Unix socket.

    Raises:
        OSError: nobody listens there; BlockingIOError, nobody has taken the connection
            within `timeout_seconds` (a daemon that is stopped has a queue that fills).
    """

    __slots__ = ("_descriptor", "_socket", "_timeout", "name")

    def __init__(self, path: str, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS) -> None:
        import _socket

        self.name = path
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            # What bounds connect(2) on a Unix socket, see unix(7) and socket(7).
            self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, _timeval(timeout_seconds))
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._descriptor = self._socket.fileno()
        self._timeout: float | None = None

    def send(self, frames: Sequence[bytes]) -> int:
        data = frames[0] if len(frames) == 1 else b"".join(frames[: _frames_within(frames, _SEND_BYTES)])
        try:
            return self._socket.send(data, _MSG_DONTWAIT | _MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def receive(self, timeout_seconds: float | None) -> bytes | None:
        # The socket's own time-out costs one system call where poll(2) costs three: the answer is never
        # there yet when one looks first.
        try:
            if timeout_seconds == 0:
                return self._socket.recv(_RECEIVE_BYTES, _MSG_DONTWAIT)
            if timeout_seconds != self._timeout:
                from _socket import SO_RCVTIMEO, SOL_SOCKET

                value = _NEVER if timeout_seconds is None else _timeval(timeout_seconds)
                self._socket.setsockopt(SOL_SOCKET, SO_RCVTIMEO, value)
                self._timeout = timeout_seconds
            return self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def wait_writable(self, timeout_seconds: float) -> bool:
        return _poll(self._descriptor, 1 | 4, timeout_seconds) != 0

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        self._socket.close()


def _frames_within(frames: Sequence[bytes], limit: int) -> int:
    """How many of the first frames have at most `limit` bytes together; at least one."""
    total = 0
    for count, frame in enumerate(frames):
        total += len(frame)
        if total > limit:
            return max(count, 1)
    return len(frames)


class DeviceTransport:
    """The kernel's /dev/xen/xenbus: the way of a guest, or of a dom0 whose daemon is elsewhere.

    The driver keeps one message per ``write`` and forgets what follows it in the
    same call, and it keeps replies until they are read, so it always takes more.

    Raises:
        OSError: there is no such device.
    """

    __slots__ = ("_descriptor", "name")

    def __init__(self, path: str) -> None:
        self.name = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def send(self, frames: Sequence[bytes]) -> int:
        frame = frames[0]
        sent = os.write(self._descriptor, frame)
        while sent < len(frame):
            sent += os.write(self._descriptor, frame[sent:])
        return sent

    def receive(self, timeout_seconds: float | None) -> bytes | None:
        if not _poll(self._descriptor, 1, timeout_seconds):
            return None
        return os.read(self._descriptor, _RECEIVE_BYTES)

    def wait_writable(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - the device always takes one more
        return True

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_transport(path: str | None = None, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS) -> Transport:
    """The way to the store: `path` (a socket or device), else XENSTORED_PATH, else where daemons are.

    Raises:
        HostError: there is no way to a store on this machine, or not for this user.
        StoreGoneError: there is a socket, and nobody behind it.
        TimedOutError: there is somebody, who takes no more connections.
    """
    path = path or os.environ.get("XENSTORED_PATH")
    places = (path,) if path else (*SOCKET_PATHS, *DEVICE_PATHS)
    refused: OSError | None = None
    for place in places:
        try:
            kind = os.stat(place).st_mode & 0o170000
            if kind == 0o140000:
                return SocketTransport(place, timeout_seconds)
            # To ask is to write: never into a file that a slip leads to. (xenfs's device is one, too.)
            if kind != 0o020000 and place not in DEVICE_PATHS:
                raise HostError(
                    "open XenStore",
                    place,
                    "it is neither a socket nor a device",
                    hint="XENSTORED_PATH is the path of the daemon's socket, if it is not the usual one",
                )
            return DeviceTransport(place)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            continue
        except PermissionError as exc:
            raise HostError(
                "open XenStore", place, "permission denied", hint="run the command as root"
            ) from exc
        except ConnectionRefusedError as exc:
            refused = refused or exc
            refused.filename = refused.filename or place
        except BlockingIOError as exc:
            raise TimedOutError(
                "open XenStore",
                place,
                f"the daemon took no connection within {timeout_seconds:g} s",
                hint="is the daemon stopped, or the host overloaded?",
            ) from exc
        except OSError as exc:
            raise HostError("open XenStore", place, exc.strerror or str(exc)) from exc
    if refused is not None:
        raise StoreGoneError(
            "open XenStore",
            str(refused.filename),
            "ECONNREFUSED",
            "the socket is there, but no daemon answers",
            hint="start xenstored (systemctl start xenstored)",
        ) from refused
    raise HostError(
        "open XenStore",
        path or "",
        "there is no such socket or device"
        if path
        else "neither a XenStore daemon nor a kernel device is here",
        hint="is this a Xen host's Domain 0, and does xenstored run?",
    )
