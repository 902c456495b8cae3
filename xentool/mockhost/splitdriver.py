"""What the backend drivers share: the domain that they are in, and a guest's rings, mapped and bound.

Source: drivers/xen/xenbus/xenbus_probe_backend.c of Linux.
"""

from __future__ import annotations

import errno
from array import array
from contextlib import suppress

from xentool.hypervisor.mock.mmu import Refused
from xentool.mockhost.xenbus import Driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.hypervisor.mock.session import Session
    from xentool.mockhost.blocks import BlockTable
    from xentool.mockhost.network import Network
    from xentool.mockhost.xenbus import Bus

MAX_QUEUES = 2
"""As many as Domain-0 has vcpus."""


class Ring:
    """Rings of `domid`: the pages behind grant `references`, mapped, and our ends of its `ports`.

    Raises:
        OSError: a page cannot be mapped, or a port not be bound; nothing is held then.
    """

    def __init__(self, session: Session, domid: int, references: Sequence[int], ports: Sequence[int]) -> None:
        self._session = session
        self._mapped = 0
        self._ports: list[int] = []
        try:
            number, _frames = session.map_grants(domid, array("I", references), writable=True)
            self._mapped = number
            for port in ports:
                bound = session.xen.events.bind_interdomain(session.caller, domid, port, bound=self._bound)
                self._ports.append(bound)
        except (OSError, Refused, OverflowError) as error:
            self.close()
            raise OSError(getattr(error, "errno", None) or errno.EINVAL, "cannot be mapped") from None

    def _bound(self, port: int) -> None:
        if not self._session.caller:
            self._session.xen.domain_0_handles[port] = self

    def fired(self, _port: int) -> None:
        """There is nothing behind the rings: no frame moves, no sector is read."""

    def close(self) -> None:
        xen = self._session.xen
        for port in self._ports:
            if not self._session.caller:
                if xen.domain_0_handles.get(port) is not self:
                    continue
                del xen.domain_0_handles[port]
            with suppress(Refused):
                xen.events.close(self._session.caller, port)
        self._ports.clear()
        if self._mapped:
            self._session.unmap(self._mapped)
            self._mapped = 0


class Room:
    """What the drivers of a backend domain work with. `session` maps as that domain."""

    def __init__(self, session: Session, network: Network, blocks: BlockTable) -> None:
        self.session = session
        self.network = network
        self.blocks = blocks


class Backend(Driver):
    """What the backend drivers have in common."""

    def __init__(self, bus: Bus, node: str, room: Room) -> None:
        super().__init__(bus, node)
        self.room = room
        self.rings: list[Ring] = []

    def requested_queues(self) -> int:
        """How many queues the frontend asks for. Raises `OSError` if that is more than there are."""
        count = self.read_number(f"{self.other}/multi-queue-num-queues", 1)
        if count is None or not 0 < count <= MAX_QUEUES:
            self.fatal(
                errno.EINVAL, f"guest requested {count} queues, exceeding the maximum of {MAX_QUEUES}."
            )
            raise OSError(errno.EINVAL, "too many queues")
        return count

    def queue_folders(self, count: int) -> list[str]:
        """Where the frontend writes what belongs to each queue."""
        return [self.other] if count == 1 else [f"{self.other}/queue-{queue}" for queue in range(count)]

    def map_ring(self, references: Sequence[int], ports: Sequence[int]) -> None:
        self.rings.append(Ring(self.room.session, self.other_domid, references, ports))

    def unmap_rings(self) -> None:
        for ring in self.rings:
            ring.close()
        self.rings.clear()

    def write_numbers(self, **numbers: int) -> None:
        """Nodes below our own, dashes for underscores."""
        with self.store.batch() as batch:
            for name, number in numbers.items():
                batch.write(f"{self.node}/{name.replace('_', '-')}", str(number))
