"""Domain-0's end of a ring that a domain was built with: a granted page and an event channel.

What xenstored and xenconsoled do to connect to a domain, without a descriptor
between: the event calls us.
"""

from __future__ import annotations

from array import array

from xentool.hypervisor.mock.mapping import map_frames
from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.mapping import FrameMapping
    from xentool.hypervisor.mock.session import Session


class RingBackend:
    """A shared page of `domid`, by grant `reference` or else by its frame, and our end of its `port`.

    `fired` is called when the domain sends an event.

    Raises:
        OSError: the page cannot be mapped or the port not be bound.
    """

    def __init__(
        self, session: Session, domid: int, reference: int, frame: int, port: int, fired: Callable[[], None]
    ) -> None:
        self._session = session
        self._fired = fired
        self._mapping = self._map(domid, reference, frame)
        self.page = self._mapping.view
        self.domid = domid
        try:
            self.local_port = session.xen.events.bind_interdomain(0, domid, port, bound=self._bound)
        except Refused as refused:
            self._mapping.close()
            raise OSError(refused.errno, "the event channel cannot be bound") from None

    def _map(self, domid: int, reference: int, frame: int) -> FrameMapping:
        session = self._session
        try:
            number, frames = session.map_grants(domid, array("I", [reference]), writable=True)
        except OSError:
            frames = [frame]
            number = session.map_frames(domid, frames, writable=True)
        return map_frames(session.xen.memory.fd, frames, True, lambda: session.unmap(number))

    def _bound(self, port: int) -> None:
        self._session.xen.domain_0_handles[port] = self

    def fired(self, _port: int) -> None:
        self._fired()

    def notify(self) -> None:
        """Send the domain an event. One that is gone hears nothing."""
        from contextlib import suppress

        with suppress(Refused):
            self._session.xen.events.send(0, self.local_port)

    def close(self) -> None:
        from contextlib import suppress

        xen = self._session.xen
        if xen.domain_0_handles.get(self.local_port) is self:
            del xen.domain_0_handles[self.local_port]
            with suppress(Refused):
                xen.events.close(0, self.local_port)
        self._mapping.close()
