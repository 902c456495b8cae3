"""The mock of Xen itself: one machine, its domains, and the hypercalls on them.

Source: xen/include/public/xen.h (hypercall numbers).
"""

from __future__ import annotations

import errno

from xentool.hypervisor.mock.arena import Fault
from xentool.hypervisor.mock.domains import Domain, Domains, Vcpu
from xentool.hypervisor.mock.events import EventChannels
from xentool.hypervisor.mock.grants import MAX_FRAMES, GrantTable
from xentool.hypervisor.mock.memory import WRITABLE, MachineMemory
from xentool.hypervisor.mock.mmu import Mmu, Refused
from xentool.units import GIB, PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.session import Listener, Session

    Handler = Callable[["MockXen", "Arena", tuple[int, ...]], int]

RELEASES = ("4.17", "4.18", "4.19", "4.20", "4.21")
DOMAIN_0_VCPUS = 2
_INVALID_MFN = (1 << 40) - 1


class MockXen:
    """A machine under a Xen of `release`, with Domain-0 on it.

    `memory_bytes` is the host's RAM, of which Domain-0 owns `domain_0_bytes`; there
    are `cpus` physical CPUs. None of the memory is used until it is written to.
    """

    def __init__(
        self,
        release: str = "4.17",
        *,
        memory_bytes: int = 16 * GIB,
        domain_0_bytes: int = GIB,
        cpus: int = 8,
    ) -> None:
        if release not in RELEASES:
            raise ValueError(f"the mock plays Xen {', '.join(RELEASES)}, not {release}")
        self.release = release
        major, minor = release.split(".")
        self.version = (int(major), int(minor))
        self.cpus = cpus
        self.cpu_khz = 2_400_000
        self.hardware_capabilities = (0x0789CBF5, 0x80202001, 0x28100800, 1, 0, 0x200, 0, 0x100)
        self.memory = MachineMemory(memory_bytes)
        self.mmu = Mmu(self.memory)
        self.events = EventChannels()
        self.domains = Domains(self.memory, self.mmu, self.events)
        self.domain_0_handles: dict[int, Listener] = {}
        self.sessions: set[Session] = set()
        self._handlers: dict[int, Handler] = {}
        self._start_domain_0(domain_0_bytes >> PAGE_SHIFT)

    def close(self) -> None:
        for session in list(self.sessions):
            session.close()
        self.memory.close()

    def hypercall(self, arena: Arena, number: int, *arguments: int) -> int:
        """What Xen would return to Domain-0: a result, or -errno."""
        handler = self._handlers.get(number) or self._load(number)
        if handler is None:
            return -errno.ENOSYS
        try:
            return handler(self, arena, (*arguments, 0, 0, 0, 0, 0)[:5])
        except Refused as refused:
            return -refused.errno
        except Fault:
            return -errno.EFAULT

    def new_domain(self, domain: Domain, *, max_port: int, max_grant_frames: int) -> None:
        """Give a domain what every one has, and let it be seen.

        Raises:
            Refused: ENOMEM.
        """
        domid = domain.domid
        domain.ports = self.events.add(domid, max_port)
        domain.grants = GrantTable(self.memory, domid, max_grant_frames, lambda: self._lend(domain))
        try:
            shared_info = self._lend(domain)
            if shared_info is None:
                raise Refused(errno.ENOMEM)
            domain.shared_info = shared_info
            domain.grants.grow(1)
        except Refused:
            self.events.remove(domid)
            for mfn in domain.xen_frames:
                self.memory.release(mfn, mfn + 1)
            raise
        self.domains.insert(domain)

    def bind_virq(self, domid: int, virq: int, vcpu: int = 0) -> int:
        """Raises `Refused`: EINVAL for no such VIRQ, ENOENT for no such vcpu, EEXIST."""
        from xentool.abi.xen import NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF

        if not 0 <= virq < NR_VIRQS or (vcpu and virq not in (VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF)):
            raise Refused(errno.EINVAL)
        vcpus = self.domains.get(domid).vcpus
        if vcpu >= len(vcpus) or vcpus[vcpu] is None:
            raise Refused(errno.ENOENT)
        return self.events.bind_virq(domid, virq)

    def resource_frames(self, domid: int, kind: int, index: int, frame: int, count: int) -> list[int]:
        """The frames of a resource of another domain (XENMEM_acquire_resource), grown where needed."""
        from xentool.hypervisor.mock.resource import frames

        return frames(self, domid, kind, index, frame, count)

    def check_foreign_frame(self, domid: int, mfn: int) -> None:
        """Raise what Xen says when Domain-0 maps `mfn` as a frame of `domid`, and it is not one."""
        if not self.memory.valid(mfn):
            raise Refused(errno.EINVAL if mfn == _INVALID_MFN else errno.EPERM)
        if self.memory.owner[mfn] != domid + 1:
            raise Refused(errno.EBUSY)

    def free_pages(self) -> int:
        """Frames that belong to nobody."""
        return self.memory.free.total

    def _lend(self, domain: Domain) -> int | None:
        """A zeroed frame of Xen's heap that the domain may use (share_xen_page_with_guest)."""
        mfn = self.memory.allocate_xen()
        if mfn is not None:
            self.memory.assign(((mfn, mfn + 1),), domain.domid)
            self.memory.kind[mfn] = WRITABLE
            self.memory.count[mfn] = 1
            domain.xen_frames.append(mfn)
        return mfn

    def _start_domain_0(self, pages: int) -> None:
        domain = Domain(0, handle=bytes(16), max_vcpus=min(DOMAIN_0_VCPUS, self.cpus), flags=0, ssidref=0)
        self.new_domain(domain, max_port=(1 << 32) - 1, max_grant_frames=MAX_FRAMES)
        runs = self.memory.free.take(9, pages >> 9, self.memory.frame_count)
        self.memory.assign(runs, 0)
        for start, end in runs:
            domain.pages.add(start, end)
        domain.max_pages = domain.total_pages
        for at in range(len(domain.vcpus)):
            vcpu = domain.vcpus[at] = Vcpu(self.cpus)
            vcpu.down, vcpu.initialised = False, True
        domain.ports.fired = self._domain_0_event
        domain.pause_count = 1
        self.domains.unpause(domain)

    def _domain_0_event(self, port: int) -> None:
        handle = self.domain_0_handles.get(port)
        if handle is not None:
            handle.fired(port)

    def _load(self, number: int) -> Handler | None:
        """The code of a hypercall, imported when it is first made."""
        from xentool.hypervisor.mock.table import handler_of

        handler = handler_of(number)
        if handler is not None:
            self._handlers[number] = handler
        return handler
