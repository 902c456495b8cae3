"""The mock as a hypervisor in this process: `port.Hypervisor` for unit tests.

    with MockHypervisor() as hypervisor:
        ...

Several of them can share one machine, as several processes do on a real host:
``MockHypervisor(xen)``.
"""

from __future__ import annotations

import errno

from xentool.hypervisor.mock.arena import Arena
from xentool.hypervisor.mock.handles import LocalEvents
from xentool.hypervisor.mock.mapping import map_frames
from xentool.hypervisor.mock.session import Session
from xentool.hypervisor.mock.xen import MockXen
from xentool.units import GIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from xentool.hypervisor.mock.arena import ArenaBuffer
    from xentool.hypervisor.mock.mapping import FrameMapping
    from xentool.units import DomId


class MockHypervisor:
    """One caller of a mock machine: `xen`, or a new one of `release` with `memory_bytes` and `cpus`."""

    kind = "mock"

    def __init__(
        self,
        xen: MockXen | None = None,
        *,
        release: str = "4.17",
        memory_bytes: int = 16 * GIB,
        domain_0_bytes: int = GIB,
        cpus: int = 8,
    ) -> None:
        self._owns_machine = xen is None
        self.xen = xen or MockXen(
            release, memory_bytes=memory_bytes, domain_0_bytes=domain_0_bytes, cpus=cpus
        )
        self.arena = Arena()
        self.session = Session(self.xen, self.arena)
        self._open = True

    def hypercall(self, number: int, *arguments: int) -> int:
        if not self._open:
            raise OSError(errno.EBADF, "the hypervisor is closed")
        return self.session.hypercall(number, *arguments)

    def buffer(self, size_bytes: int) -> ArenaBuffer:
        return self.arena.allocate(size_bytes)

    def map_frames(self, domid: DomId, frames: array[int], *, writable: bool = True) -> FrameMapping:
        return self._map(self.session.map_frames(domid, frames, writable), frames, writable)

    def map_resource(self, domid: DomId, kind: int, index: int, frame: int, count: int) -> FrameMapping:
        number, frames = self.session.map_resource(domid, kind, index, frame, count)
        return self._map(number, frames, writable=True)

    def map_grants(self, domid: DomId, references: array[int], *, writable: bool = True) -> FrameMapping:
        number, frames = self.session.map_grants(domid, references, writable)
        return self._map(number, frames, writable)

    def event_channels(self) -> LocalEvents:
        return LocalEvents(self.session)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.session.close()
            self.arena.close()
            if self._owns_machine:
                self.xen.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _map(self, number: int, frames: Sequence[int], writable: bool) -> FrameMapping:
        def forget() -> None:
            if self._open:
                self.session.unmap(number)

        try:
            return map_frames(self.xen.memory.fd, frames, writable, forget)
        except BaseException:
            forget()
            raise
