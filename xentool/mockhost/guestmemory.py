"""What a simulated guest shares with its backends: pages out of its own memory, granted, and event channels.

It finds its pages as a kernel does, in the p2m that start_info names, and writes its grants into
its own grant table. The builder puts everything at the bottom of memory, so the top is free.
"""

from __future__ import annotations

from contextlib import suppress

from xentool.abi import grant_table as abi
from xentool.hypervisor.mock.memory import NO_TYPE, WRITABLE
from xentool.hypervisor.mock.mmu import Refused
from xentool.units import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.domains import Domain
    from xentool.hypervisor.mock.xen import MockXen

_GRANTS_PER_FRAME = PAGE_SIZE // 8


class NoSpaceLeftError(Exception):
    """The guest has no page, no grant or no event channel left."""


class Channel:
    """Pages granted to `backend`, by their references, and ports offered to it. `close` takes all back."""

    def __init__(self, memory: GuestMemory, backend: int, pages: int, ports: int) -> None:
        self._memory = memory
        self.pages: list[int] = []
        self.references: list[int] = []
        self.ports: list[int] = []
        try:
            for _ in range(pages):
                mfn = memory.take_page()
                self.pages.append(mfn)
                self.references.append(memory.grant(mfn, backend))
            for _ in range(ports):
                self.ports.append(memory.offer_port(backend))
        except NoSpaceLeftError:
            self.close()
            raise

    def close(self) -> None:
        for reference in self.references:
            self._memory.end_grant(reference)
        for mfn in self.pages:
            self._memory.give_page_back(mfn)
        for port in self.ports:
            self._memory.close_port(port)
        self.pages.clear()
        self.references.clear()
        self.ports.clear()


class GuestMemory:
    """The memory of `domain`, whose `page_count` pages the p2m at `p2m` (a virtual address) lists."""

    def __init__(self, xen: MockXen, domain: Domain, cr3: int, p2m: int, page_count: int) -> None:
        self._xen = xen
        self._domain = domain
        self._cr3 = cr3
        self._p2m = p2m
        self._next = page_count - 1
        self._free: list[int] = []

    def take_page(self) -> int:
        """A page that is not in use: its machine frame. Raises `NoSpaceLeftError`."""
        if self._free:
            return self._free.pop()
        xen = self._xen
        while self._next > 0:
            address = xen.mmu.walk(self._cr3, self._p2m + 8 * self._next)
            self._next -= 1
            if address is None:
                break
            mfn = xen.memory.words[address >> 3]
            if xen.memory.owned_by(mfn, self._domain.domid) and xen.memory.kind[mfn] in (NO_TYPE, WRITABLE):
                return mfn
        raise NoSpaceLeftError("no page is left")

    def page(self, channel: Channel) -> memoryview:
        """The first page of what is shared, zeroed."""
        page = self._xen.memory.page(channel.pages[0])
        page[:] = bytes(PAGE_SIZE)
        return page

    def give_page_back(self, mfn: int) -> None:
        self._free.append(mfn)

    def grant(self, mfn: int, to: int) -> int:
        """Let domain `to` map the frame and write to it; the grant's reference. Raises `NoSpaceLeftError`."""
        table = self._domain.grants
        reference = abi.GNTTAB_NR_RESERVED_ENTRIES
        while True:
            frame, at = divmod(reference, _GRANTS_PER_FRAME)
            if frame == len(table.frames):
                try:
                    table.grow(frame + 1)
                except Refused:
                    raise NoSpaceLeftError("no grant is left") from None
            words = self._xen.memory.table(table.frames[frame])
            if not words[at] & 0xFFFF:
                words[at] = abi.GTF_permit_access | to << 16 | mfn << 32
                return reference
            reference += 1

    def end_grant(self, reference: int) -> None:
        """End it; one that is still mapped stays in the table as long as the domain lives."""
        frame, at = divmod(reference, _GRANTS_PER_FRAME)
        words = self._xen.memory.table(self._domain.grants.frames[frame])
        if not words[at] & (abi.GTF_reading | abi.GTF_writing):
            words[at] = 0

    def offer_port(self, to: int) -> int:
        """An event channel that domain `to` may bind. Raises `NoSpaceLeftError`."""
        try:
            return self._xen.events.alloc_unbound(self._domain.domid, to)
        except Refused:
            raise NoSpaceLeftError("no event channel is left") from None

    def close_port(self, port: int) -> None:
        with suppress(Refused):
            self._xen.events.close(self._domain.domid, port)
