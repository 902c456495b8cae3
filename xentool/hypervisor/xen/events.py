"""Event channels of this domain, through libxenevtchn.

Source: xenevtchn.h.
"""

from __future__ import annotations

import errno

from xentool.hypervisor.xen.library import Library, failure
from xentool.units import DomId, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class XenEventChannels:
    """Implements `xentool.hypervisor.port.EventChannels` through /dev/xen/evtchn."""

    def __init__(self) -> None:
        self._library = Library("xenevtchn")

    def _ask(self, name: str, *arguments: int) -> int:
        if self._library.handle is None:
            raise OSError(errno.EBADF, "the event channels are closed")
        function = self._library.function(f"xenevtchn_{name}")
        while True:
            result = function(self._library.handle, *arguments)
            if result >= 0:
                return result
            error = failure()
            if error.errno != errno.EINTR:  # a signal, whose handler has run by now
                raise error

    def fileno(self) -> int:
        return self._ask("fd")

    def bind_interdomain(self, remote: DomId, remote_port: Port) -> Port:
        return Port(self._ask("bind_interdomain", remote, remote_port))

    def bind_virq(self, virq: int) -> Port:
        return Port(self._ask("bind_virq", virq))

    def alloc_unbound(self, remote: DomId) -> Port:
        return Port(self._ask("bind_unbound_port", remote))

    def notify(self, port: Port) -> None:
        self._ask("notify", port)

    def pending(self) -> Port:
        return Port(self._ask("pending"))

    def unmask(self, port: Port) -> None:
        self._ask("unmask", port)

    def unbind(self, port: Port) -> None:
        self._ask("unbind", port)

    def close(self) -> None:
        self._library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
