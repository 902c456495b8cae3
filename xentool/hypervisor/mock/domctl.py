"""HYPERVISOR_domctl.

Source: xen/common/domctl.c (do_domctl), xen/arch/x86/domctl.c (arch_do_domctl); public/domctl.h.
"""

from __future__ import annotations

import errno

from xentool.abi import domctl as abi
from xentool.abi.vcpu import vcpu_guest_context
from xentool.abi.versions import INTERFACES
from xentool.abi.xen import DOMID_FIRST_RESERVED
from xentool.hypervisor.mock import context, domctl_vcpu
from xentool.hypervisor.mock.create import create_domain
from xentool.hypervisor.mock.domains import Vcpu
from xentool.hypervisor.mock.info import domain_info
from xentool.hypervisor.mock.mmu import Refused
from xentool.hypervisor.mock.policy import Policy, PolicyError
from xentool.units import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.domains import Domain
    from xentool.hypervisor.mock.xen import MockXen

_U = abi.xen_domctl.offset("u")
_MAX_PAGES = (1 << 32) - 1


class Call:
    """A domctl that is being carried out: its union, and whom it is about."""

    __slots__ = ("arena", "domain", "u", "xen")

    def __init__(self, xen: MockXen, arena: Arena, domain: Domain, u: memoryview) -> None:
        self.xen = xen
        self.arena = arena
        self.domain = domain
        self.u = u

    def not_of_oneself(self, number: int = errno.EINVAL) -> None:
        """Domain-0 cannot pause itself, and so cannot do what needs a paused domain to itself."""
        if not self.domain.domid:
            raise Refused(number)


def domctl(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    view = arena.memory(arguments[0], abi.xen_domctl.size)
    command, version = abi.xen_domctl.get(view, "cmd"), abi.xen_domctl.get(view, "interface_version")
    if version != INTERFACES[xen.version][0]:
        return -errno.EACCES
    domid = abi.xen_domctl.get(view, "domain")
    if command == abi.XEN_DOMCTL_createdomain:
        abi.xen_domctl.pack_into(view, domain=create_domain(xen, domid, view[_U:]))
        return 0
    if command == abi.XEN_DOMCTL_getdomaininfo:
        return _get_domain_info(xen, view, domid)
    domain = xen.domains.get(domid)
    operation = _OPERATIONS.get(command) or domctl_vcpu.OPERATIONS.get(command)
    if operation is None:
        return -errno.ENOSYS
    operation(Call(xen, arena, domain, view[_U:]))
    return 0


def _get_domain_info(xen: MockXen, view: memoryview, domid: int) -> int:
    """Of the domain, or where there is none, of the next one up: the way to list them all."""
    domain = xen.domains.find(domid)
    if domain is None:
        if domid >= DOMID_FIRST_RESERVED:
            return -errno.EINVAL
        later = [other for other in xen.domains.all() if other.domid > domid]
        if not later:
            return -errno.ESRCH
        domain = later[0]
    abi.xen_domctl.pack_into(view, domain=domain.domid)
    info = domain_info(domain)
    view[_U : _U + len(info)] = info
    return 0


def _pause(call: Call) -> None:
    call.not_of_oneself()
    call.xen.domains.pause(call.domain)


def _unpause(call: Call) -> None:
    call.xen.domains.unpause(call.domain)


def _resume(call: Call) -> None:
    call.not_of_oneself()
    call.xen.domains.resume(call.domain)


def _destroy(call: Call) -> None:
    call.not_of_oneself()
    call.xen.domains.destroy(call.domain)


def _max_vcpus(call: Call) -> None:
    wanted = abi.xen_domctl_max_vcpus.get(call.u, "max")
    vcpus = call.domain.vcpus
    if not call.domain.domid or wanted != len(vcpus):
        raise Refused(errno.EINVAL)
    for at, vcpu in enumerate(vcpus):
        if vcpu is None:
            vcpus[at] = Vcpu(call.xen.cpus)


def _max_mem(call: Call) -> None:
    call.domain.max_pages = min(abi.xen_domctl_max_mem.get(call.u, "max_memkb") >> 2, _MAX_PAGES)


def _set_handle(call: Call) -> None:
    call.domain.handle = abi.xen_domctl_setdomainhandle.get(call.u, "handle")


def _set_address_size(call: Call) -> None:
    # The mock knows no 32-bit guests, as a Xen built without PV32 does not.
    size = abi.xen_domctl_address_size.get(call.u, "size")
    if size != 64:
        raise Refused(errno.EOPNOTSUPP if size == 32 else errno.EINVAL)


def _get_address_size(call: Call) -> None:
    abi.xen_domctl_address_size.pack_into(call.u, size=64)


def _set_time_offset(call: Call) -> None:
    call.domain.time_offset = abi.xen_domctl_settimeoffset.get(call.u, "time_offset_seconds")


def _set_tsc(call: Call) -> None:
    call.not_of_oneself()
    mode, khz, incarnation, elapsed = abi.xen_domctl_tsc_info.row(call.u)
    if mode > 2:
        raise Refused(errno.EINVAL)
    call.domain.tsc = (mode, khz or call.xen.cpu_khz, incarnation + 1, elapsed)


def _get_tsc(call: Call) -> None:
    call.not_of_oneself()
    mode, khz, incarnation, elapsed = call.domain.tsc
    abi.xen_domctl_tsc_info.pack_into(
        call.u, tsc_mode=mode, gtsc_khz=khz, incarnation=incarnation, elapsed_nsec=elapsed
    )


def _hypercall_page(call: Call) -> None:
    mfn = abi.xen_domctl_hypercall_init.get(call.u, "gmfn")
    memory = call.xen.memory
    if not memory.owned_by(mfn, call.domain.domid):
        raise Refused(errno.EINVAL)
    run = ((mfn, mfn + 1),)
    if not memory.get_writable(run):
        raise Refused(errno.EPERM)
    # push %rcx, %r11; mov $n, %eax; syscall; pop %r11, %rcx; ret
    stubs = [
        b"\x51\x41\x53\xb8" + number.to_bytes(4, "little") + b"\x0f\x05\x41\x5b\x59\xc3"
        for number in range(128)
    ]
    memory.page(mfn)[:] = b"".join(stub.ljust(32, b"\xcc") for stub in stubs)[:PAGE_SIZE]
    memory.put_writable(run)


def _page_types(call: Call) -> None:
    number, array = abi.xen_domctl_getpageframeinfo3.row(call.u)
    if number > 1024:
        raise Refused(errno.E2BIG)
    if not number:
        return
    words = call.arena.memory(array, 8 * number).cast("Q")
    memory, domid = call.xen.memory, call.domain.domid
    for at, mfn in enumerate(words):
        if not memory.owned_by(mfn, domid) or mfn in call.domain.xen_frames:
            kind = abi.XEN_DOMCTL_PFINFO_XTAB
        else:
            level = memory.kind[mfn]
            kind = level * abi.XEN_DOMCTL_PFINFO_L1TAB if 1 <= level <= 4 else abi.XEN_DOMCTL_PFINFO_NOTAB
            kind |= abi.XEN_DOMCTL_PFINFO_LPINTAB if mfn in memory.pinned else 0
        words[at] = kind


def _scheduler(call: Call) -> None:
    layout, domain = abi.xen_domctl_scheduler_op, call.domain
    command = layout.get(call.u, "cmd")
    if layout.get(call.u, "sched_id") != abi.XEN_SCHEDULER_CREDIT2:
        raise Refused(errno.EINVAL)
    if command == abi.XEN_DOMCTL_SCHEDOP_getinfo:
        layout.pack_into(call.u, weight=domain.sched_weight, cap=domain.sched_cap)
        return
    if command != abi.XEN_DOMCTL_SCHEDOP_putinfo:
        raise Refused(errno.EINVAL)
    weight, cap = layout.get(call.u, "weight"), layout.get(call.u, "cap")
    domain.sched_weight = weight or domain.sched_weight
    if cap > 100 * sum(vcpu is not None for vcpu in domain.vcpus):
        raise Refused(errno.EINVAL)
    domain.sched_cap = cap


def _get_policy(call: Call) -> None:
    layout = abi.xen_domctl_cpu_policy
    policy = call.domain.cpu_policy or Policy()
    fields = layout.unpack_from(call.u)
    leaves, msrs = policy.give(
        call.arena, fields["leaves"], fields["nr_leaves"], fields["msrs"], fields["nr_msrs"]
    )
    layout.pack_into(call.u, nr_leaves=leaves, nr_msrs=msrs)


def _set_policy(call: Call) -> None:
    from xentool.abi.cpu_policy import xen_cpuid_leaf, xen_msr_entry
    from xentool.hypervisor.mock.policy import MAX_LEAVES, MAX_MSRS

    call.not_of_oneself()
    if call.domain.creation_finished:
        raise Refused(errno.EEXIST)
    layout = abi.xen_domctl_cpu_policy
    fields = layout.unpack_from(call.u)
    if fields["nr_leaves"] > MAX_LEAVES or fields["nr_msrs"] > MAX_MSRS:
        raise Refused(errno.E2BIG)
    memory = call.arena.memory
    leaves = (
        memory(fields["leaves"], fields["nr_leaves"] * xen_cpuid_leaf.size) if fields["nr_leaves"] else b""
    )
    msrs = memory(fields["msrs"], fields["nr_msrs"] * xen_msr_entry.size) if fields["nr_msrs"] else b""
    try:
        call.domain.cpu_policy = (call.domain.cpu_policy or Policy()).merged(bytes(leaves), bytes(msrs))
    except PolicyError as error:
        layout.pack_into(call.u, err_leaf=error.leaf, err_subleaf=error.subleaf, err_msr=error.msr)
        raise Refused(error.errno) from None


def _set_context(call: Call) -> None:
    layout = abi.xen_domctl_vcpucontext
    number, address = layout.row(call.u)
    call.not_of_oneself()
    vcpu = domctl_vcpu.vcpu_of(call, number, errno.EINVAL)
    if not address:  # reset
        call.xen.domains.drop_tables(vcpu)
        vcpu.context, vcpu.initialised, vcpu.down = None, False, True
        return
    image = call.arena.memory(address, vcpu_guest_context.size).tobytes()
    context.set_context(call.xen, call.domain, vcpu, image)


def _get_context(call: Call) -> None:
    number, address = abi.xen_domctl_vcpucontext.row(call.u)
    vcpu = domctl_vcpu.vcpu_of(call, number, errno.EINVAL)
    image = context.context_of(call.domain, vcpu)
    call.arena.memory(address, len(image))[:] = image


def _paging_pool(_call: Call) -> None:
    raise Refused(errno.EOPNOTSUPP)  # only HVM has one


_OPERATIONS: dict[int, Callable[[Call], None]] = {
    abi.XEN_DOMCTL_pausedomain: _pause,
    abi.XEN_DOMCTL_unpausedomain: _unpause,
    abi.XEN_DOMCTL_resumedomain: _resume,
    abi.XEN_DOMCTL_destroydomain: _destroy,
    abi.XEN_DOMCTL_max_vcpus: _max_vcpus,
    abi.XEN_DOMCTL_max_mem: _max_mem,
    abi.XEN_DOMCTL_setdomainhandle: _set_handle,
    abi.XEN_DOMCTL_set_address_size: _set_address_size,
    abi.XEN_DOMCTL_get_address_size: _get_address_size,
    abi.XEN_DOMCTL_settimeoffset: _set_time_offset,
    abi.XEN_DOMCTL_settscinfo: _set_tsc,
    abi.XEN_DOMCTL_gettscinfo: _get_tsc,
    abi.XEN_DOMCTL_hypercall_init: _hypercall_page,
    abi.XEN_DOMCTL_getpageframeinfo3: _page_types,
    abi.XEN_DOMCTL_scheduler_op: _scheduler,
    abi.XEN_DOMCTL_get_cpu_policy: _get_policy,
    abi.XEN_DOMCTL_set_cpu_policy: _set_policy,
    abi.XEN_DOMCTL_setvcpucontext: _set_context,
    abi.XEN_DOMCTL_getvcpucontext: _get_context,
    abi.XEN_DOMCTL_get_paging_mempool_size: _paging_pool,
    abi.XEN_DOMCTL_set_paging_mempool_size: _paging_pool,
}
