"""Event-channel handles (`port.EventChannels`), in-process and of a mock host.

Both read pending ports from a pipe that the hypervisor's side writes them to.
"""

from __future__ import annotations

import os
from contextlib import suppress

from xentool.errors import MockHostError
from xentool.hypervisor.mock import wire
from xentool.units import Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from xentool.hypervisor.mock.session import Session
    from xentool.units import DomId


class _Events:
    """What both kinds share; `_operate` carries out the operation of that name."""

    _read_fd = -1

    def _operate(self, operation: str, first: int, second: int = 0) -> int:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def fileno(self) -> int:
        return self._read_fd

    def bind_interdomain(self, remote: DomId, remote_port: Port) -> Port:
        return Port(self._operate("bind_interdomain", remote, remote_port))

    def bind_virq(self, virq: int) -> Port:
        return Port(self._operate("bind_virq", virq))

    def alloc_unbound(self, remote: DomId) -> Port:
        return Port(self._operate("alloc_unbound", remote))

    def notify(self, port: Port) -> None:
        self._operate("notify", port)

    def pending(self) -> Port:
        return Port(int.from_bytes(os.read(self._read_fd, 4), "little"))

    def unmask(self, port: Port) -> None:
        self._operate("unmask", port)

    def unbind(self, port: Port) -> None:
        self._operate("unbind", port)

    def close(self) -> None:
        if self._read_fd >= 0:
            os.close(self._read_fd)
            self._read_fd = -1
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalEvents(_Events):
    """A handle on a hypervisor in this process."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._number, handle = session.open_events()
        self._read_fd = handle.read_fd

    def _operate(self, operation: str, first: int, second: int = 0) -> int:
        return self._session.event_operation(self._number, operation, first, second)

    def _close(self) -> None:
        self._session.close_events(self._number)


class RemoteEvents(_Events):
    """A handle on the hypervisor of a mock host; `ask` sends a request and gives its result."""

    def __init__(self, ask: Callable[..., int], number: int, read_fd: int) -> None:
        self._ask = ask
        self._number = number
        self._read_fd = read_fd

    def _operate(self, operation: str, first: int, second: int = 0) -> int:
        return self._ask(wire.EVENTS, self._number, wire.EVENT_OPERATIONS.index(operation), first, second)

    def _close(self) -> None:
        # Over a connection that is closed or broken, the handle has gone with it.
        with suppress(OSError, MockHostError):
            self._ask(wire.EVENTS_CLOSE, self._number)
