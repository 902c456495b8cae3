"""The domains of the mock: their state, and how they come and go.

A domain that was destroyed while somebody still maps its frames stays as a
dying one, with those frames, until the last mapping closes; as on Xen.

Source: xen/common/domain.c, xen/include/xen/sched.h, public/domctl.h.
"""

from __future__ import annotations

import errno
from itertools import chain
from time import monotonic_ns

from xentool.abi.xen import DOMID_FIRST_RESERVED, VIRQ_DOM_EXC
from xentool.hypervisor.mock.memory import SEGMENT_DESCRIPTORS
from xentool.hypervisor.mock.mmu import Refused
from xentool.hypervisor.mock.ranges import Ranges, runs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xentool.hypervisor.mock.events import EventChannels, Ports
    from xentool.hypervisor.mock.grants import GrantTable
    from xentool.hypervisor.mock.memory import MachineMemory
    from xentool.hypervisor.mock.mmu import Mmu
    from xentool.hypervisor.mock.policy import Policy

SHUTDOWN_CODE_INVALID = 0xFF


class Vcpu:
    """A virtual CPU. `context` is the vcpu_guest_context it was given, None until then."""

    __slots__ = ("context", "down", "gdt", "hard", "initialised", "kernel_l4", "soft", "user_l4")

    def __init__(self, cpus: int) -> None:
        self.context: bytes | None = None
        self.initialised = False
        self.down = True
        self.kernel_l4 = 0
        self.user_l4 = 0
        self.gdt: list[int] = []
        self.hard = self.soft = (1 << cpus) - 1


class Domain:
    """One domain, by Xen's names (struct domain)."""

    def __init__(self, domid: int, *, handle: bytes, max_vcpus: int, flags: int, ssidref: int) -> None:
        self.domid = domid
        self.handle = handle
        self.flags = flags
        self.ssidref = ssidref
        self.vcpus: list[Vcpu | None] = [None] * max_vcpus
        self.max_pages = 0
        self.outstanding_pages = 0
        self.pages = Ranges()
        self.xen_frames: list[int] = []  # shared_info and grant frames: lent to the domain by Xen
        self.shared_info = 0
        self.pause_count = 1
        self.creation_finished = False
        self.shutting_down = False
        self.shutdown_code = SHUTDOWN_CODE_INVALID
        self.dying = False
        self.debugged = False
        self.e820 = b""
        self.returned: set[int] = set()  # frames given back while somebody still had them
        self.tsc = (0, 0, 0, 0)
        self.time_offset = 0
        self.suspend_port = 0
        self.cpupool = 0
        self.sched_weight, self.sched_cap = 256, 0
        self.vm_assist = 0
        self.ran_ns = 0
        self.running_since: int | None = None
        self.cpu_policy: Policy | None = None
        self.emulation_flags = self.misc_flags = 0
        self.node_affinity = 1
        self.ports: Ports
        self.grants: GrantTable

    @property
    def is_hvm(self) -> bool:
        return bool(self.flags & 1)

    @property
    def total_pages(self) -> int:
        return self.pages.total

    @property
    def runnable(self) -> bool:
        """Whether its vcpus could run now."""
        return not (self.pause_count or self.shutting_down or self.dying)

    def cpu_time_ns(self) -> int:
        """The time its vcpus ran; a mock guest is busy for a thousandth of its life."""
        ran = self.ran_ns
        if self.running_since is not None:
            ran += (monotonic_ns() - self.running_since) // 1000
        return ran


class Domains:
    """All domains by domid, and the one that was created last."""

    def __init__(self, memory: MachineMemory, mmu: Mmu, events: EventChannels) -> None:
        self._memory = memory
        self._mmu = mmu
        self._events = events
        self._by_domid: dict[int, Domain] = {}
        self._rover = 0
        # What the mock host hangs its simulated guests on.
        self.on_run: Callable[[Domain, bool], None] | None = None
        self.on_gone: Callable[[Domain], None] | None = None
        self.on_exception: Callable[[], None] | None = None

    def all(self) -> list[Domain]:
        """By domid."""
        return [self._by_domid[domid] for domid in sorted(self._by_domid)]

    def find(self, domid: int) -> Domain | None:
        return self._by_domid.get(domid)

    def get(self, domid: int, number: int = errno.ESRCH) -> Domain:
        """Raises `Refused` with `number` if there is none."""
        domain = self._by_domid.get(domid)
        if domain is None:
            raise Refused(number)
        return domain

    def choose_domid(self, wanted: int) -> int:
        """`wanted`, or for one out of range the next free one after the last chosen so."""
        if 0 < wanted < DOMID_FIRST_RESERVED:
            if wanted in self._by_domid:
                raise Refused(errno.EEXIST)
            return wanted
        domid = self._rover + 1
        while domid != self._rover:
            if domid == DOMID_FIRST_RESERVED:
                domid = 1
            if domid not in self._by_domid:
                self._rover = domid
                return domid
            domid += 1
        raise Refused(errno.ENOMEM)

    def insert(self, domain: Domain) -> None:
        self._by_domid[domain.domid] = domain

    def pause(self, domain: Domain) -> None:
        domain.pause_count += 1
        self._account(domain)

    def unpause(self, domain: Domain) -> None:
        """Raises `Refused` with EINVAL if nobody paused it."""
        if not domain.pause_count:
            raise Refused(errno.EINVAL)
        domain.pause_count -= 1
        first = not domain.pause_count and not domain.creation_finished
        if first:
            domain.creation_finished = True
        self._account(domain)
        if domain.runnable and self.on_run is not None:
            self.on_run(domain, first)

    def shut_down(self, domain: Domain, reason: int) -> None:
        """The domain stops, for `reason` (SHUTDOWN_*); Domain-0 hears of it by VIRQ_DOM_EXC."""
        if domain.shutdown_code == SHUTDOWN_CODE_INVALID:
            domain.shutdown_code = reason
        if domain.shutting_down:
            return
        domain.shutting_down = True
        self._account(domain)
        self._tell_domain_0()

    def resume(self, domain: Domain) -> None:
        domain.shutting_down = False
        domain.shutdown_code = SHUTDOWN_CODE_INVALID
        self._account(domain)
        if domain.runnable and self.on_run is not None:
            self.on_run(domain, False)

    def destroy(self, domain: Domain) -> None:
        """Take everything from it, and the domain itself unless its frames are still mapped."""
        if domain.dying:
            return
        domain.dying = True
        domain.pause_count += 1
        self._account(domain)
        self._memory.outstanding_claims -= domain.outstanding_pages
        domain.outstanding_pages = 0
        self._events.remove(domain.domid)
        if self.on_gone is not None:
            self.on_gone(domain)
        memory = self._memory
        # Nothing of the domain runs any more: its page tables need no taking apart, only forgetting.
        for start, end in domain.pages:
            self._free_run(domain, start, end)
        memory.pinned = {mfn for mfn in memory.pinned if memory.owner[mfn] and mfn not in domain.pages}
        domain.returned.clear()
        for mfn in list(domain.xen_frames):
            if not memory.refs[mfn]:
                memory.release(mfn, mfn + 1)
                domain.xen_frames.remove(mfn)
        self.bury(domain)
        self._tell_domain_0()

    def _free_run(self, domain: Domain, start: int, end: int) -> None:
        memory = self._memory
        kept: tuple[tuple[int, int], ...] = ()
        if memory.refs[start:end].tobytes().strip(b"\0"):
            counts = enumerate(memory.refs[start:end].tolist(), start)
            kept = tuple(runs_of([mfn for mfn, references in counts if references]))
        for kept_start, kept_end in (*kept, (end, end)):
            if kept_start > start:
                domain.pages.remove(start, kept_start)
                memory.release(start, kept_start)
            start = kept_end

    def let_go(self, domid: int, runs: Iterable[tuple[int, int]]) -> None:
        """Frames of `domid` were unmapped: those that only the mapping kept alive are freed now."""
        domain = self._by_domid.get(domid)
        if domain is None or not (domain.dying or domain.returned):
            return
        memory = self._memory
        for mfn in chain.from_iterable(range(start, end) for start, end in runs):
            if memory.refs[mfn] or memory.owner[mfn] != domid + 1:
                continue
            if not domain.dying and (mfn not in domain.returned or memory.count[mfn]):
                continue
            domain.returned.discard(mfn)
            if mfn in domain.pages:
                domain.pages.remove(mfn, mfn + 1)
            elif mfn in domain.xen_frames:
                domain.xen_frames.remove(mfn)
            else:
                continue
            memory.release(mfn, mfn + 1)
        self.bury(domain)

    def give_back(self, domain: Domain, mfn: int) -> None:
        """The domain lets go of a frame, which is freed when nobody else has it either."""
        memory = self._memory
        if memory.refs[mfn] or memory.count[mfn]:
            domain.returned.add(mfn)
            return
        domain.pages.remove(mfn, mfn + 1)
        memory.release(mfn, mfn + 1)

    def bury(self, domain: Domain) -> None:
        """Forget a dying domain that holds nothing any more."""
        if domain.dying and not domain.pages.total and not domain.xen_frames:
            self._by_domid.pop(domain.domid, None)

    def drop_tables(self, vcpu: Vcpu) -> None:
        """Give back the references that a vcpu's context holds."""
        for mfn in (vcpu.kernel_l4, vcpu.user_l4, *vcpu.gdt):
            if mfn:
                self._mmu.put_type(mfn)
        vcpu.kernel_l4 = vcpu.user_l4 = 0
        vcpu.gdt = []

    def take_gdt(self, domain: Domain, frames: list[int]) -> None:
        """Count `frames` as a descriptor table of the domain; all or none, EINVAL."""
        taken: list[int] = []
        try:
            for mfn in frames:
                self._mmu.get_type(mfn, SEGMENT_DESCRIPTORS, domain.domid)
                taken.append(mfn)
        except Refused:
            for mfn in taken:
                self._mmu.put_type(mfn)
            raise Refused(errno.EINVAL) from None

    def _account(self, domain: Domain) -> None:
        now = monotonic_ns()
        if domain.running_since is not None:
            domain.ran_ns += (now - domain.running_since) // 1000
            domain.running_since = None
        if domain.runnable:
            domain.running_since = now

    def _tell_domain_0(self) -> None:
        """VIRQ_DOM_EXC: a domain shut down, or is gone."""
        self._events.raise_virq(0, VIRQ_DOM_EXC)
        if self.on_exception is not None:
            self.on_exception()
