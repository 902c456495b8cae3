"""HYPERVISOR_sysctl.

Source: xen/common/sysctl.c (do_sysctl), xen/arch/x86/sysctl.c, xen/common/sched/cpupool.c; public/sysctl.h.
"""

from __future__ import annotations

import errno

from xentool.abi import sysctl as abi
from xentool.abi.domctl import XEN_SCHEDULER_CREDIT2, xen_domctl_getdomaininfo
from xentool.abi.versions import INTERFACES
from xentool.hypervisor.mock.bitmaps import write_bitmap
from xentool.hypervisor.mock.info import domain_info
from xentool.hypervisor.mock.mmu import Refused
from xentool.hypervisor.mock.policy import Policy
from xentool.units import PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.xen import MockXen

_U = abi.xen_sysctl.offset("u")
_MAX_NODE_ID = 63


def sysctl(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    view = arena.memory(arguments[0], abi.xen_sysctl.size)
    if abi.xen_sysctl.get(view, "interface_version") != INTERFACES[xen.version][1]:
        return -errno.EACCES
    operation = _OPERATIONS.get(abi.xen_sysctl.get(view, "cmd"))
    if operation is None:
        return -errno.ENOSYS
    operation(xen, arena, view[_U:])
    return 0


def _physinfo(xen: MockXen, _arena: Arena, u: memoryview) -> None:
    layout = abi.xen_sysctl_physinfo
    u[: layout.size] = layout.pack(
        threads_per_core=1,
        cores_per_socket=xen.cpus,
        nr_cpus=xen.cpus,
        max_cpu_id=xen.cpus - 1,
        nr_nodes=1,
        max_node_id=_MAX_NODE_ID,
        cpu_khz=xen.cpu_khz,
        capabilities=abi.XEN_SYSCTL_PHYSCAP_pv
        | abi.XEN_SYSCTL_PHYSCAP_gnttab_v1
        | abi.XEN_SYSCTL_PHYSCAP_gnttab_v2,
        total_pages=xen.memory.frame_count,
        free_pages=xen.free_pages(),
        outstanding_pages=xen.memory.outstanding_claims,
        max_mfn=xen.memory.frame_count - 1,
        hw_cap=xen.hardware_capabilities,
    )


def _sched_id(_xen: MockXen, _arena: Arena, u: memoryview) -> None:
    abi.xen_sysctl_sched_id.pack_into(u, sched_id=XEN_SCHEDULER_CREDIT2)


def _domain_list(xen: MockXen, arena: Arena, u: memoryview) -> None:
    layout, size = abi.xen_sysctl_getdomaininfolist, xen_domctl_getdomaininfo.size
    first, most, buffer, _ = layout.row(u)
    domains = [domain for domain in xen.domains.all() if domain.domid >= first][:most]
    if domains:
        arena.memory(buffer, size * len(domains))[:] = b"".join(map(domain_info, domains))
    layout.pack_into(u, num_domains=len(domains))


def _cpu_topology(xen: MockXen, arena: Arena, u: memoryview) -> None:
    layout = abi.xen_sysctl_cputopoinfo
    room, address = layout.row(u)
    count = xen.cpus
    if address:
        count = min(count, room)
        entries = [abi.xen_sysctl_cputopo.pack(core=cpu, socket=0, node=0) for cpu in range(count)]
        arena.memory(address, count * abi.xen_sysctl_cputopo.size)[:] = b"".join(entries)
    layout.pack_into(u, num_cpus=count)


def _numa(xen: MockXen, arena: Arena, u: memoryview) -> None:
    layout = abi.xen_sysctl_numainfo
    room, memory, distance = layout.row(u)
    count = 1
    if memory or distance:
        count = min(count, room)
        if memory and count:
            entry = abi.xen_sysctl_meminfo.pack(
                memsize=xen.memory.frame_count << PAGE_SHIFT, memfree=xen.free_pages() << PAGE_SHIFT
            )
            arena.memory(memory, len(entry))[:] = entry
        if distance and count:
            arena.memory(distance, 4)[:] = (10).to_bytes(4, "little")
    layout.pack_into(u, num_nodes=count)


def _cpupool(xen: MockXen, arena: Arena, u: memoryview) -> None:
    layout = abi.xen_sysctl_cpupool_op
    operation = layout.get(u, "op")
    if operation == abi.XEN_SYSCTL_CPUPOOL_OP_INFO:
        if layout.get(u, "cpupool_id"):  # the next one from there on: there is only 0
            raise Refused(errno.ENOENT)
        layout.pack_into(u, cpupool_id=0, sched_id=XEN_SCHEDULER_CREDIT2, n_dom=len(xen.domains.all()))
        write_bitmap(arena, layout.get(u, "bitmap"), layout.get(u, "nr_bits"), (1 << xen.cpus) - 1)
    elif operation == abi.XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
        write_bitmap(arena, layout.get(u, "bitmap"), layout.get(u, "nr_bits"), 0)
    else:
        raise Refused(errno.ENOSYS)


def _cpu_policy(_xen: MockXen, arena: Arena, u: memoryview) -> None:
    layout = abi.xen_sysctl_cpu_policy
    index, leaf_room, msr_room, leaves, msrs = layout.row(u)
    if index > abi.XEN_SYSCTL_cpu_policy_hvm_default:
        raise Refused(errno.EINVAL)
    if index in (abi.XEN_SYSCTL_cpu_policy_hvm_max, abi.XEN_SYSCTL_cpu_policy_hvm_default):
        raise Refused(errno.EOPNOTSUPP)
    leaf_count, msr_count = Policy().give(arena, leaves, leaf_room, msrs, msr_room)
    layout.pack_into(u, nr_leaves=leaf_count, nr_msrs=msr_count)


def _read_console(_xen: MockXen, _arena: Arena, u: memoryview) -> None:
    abi.xen_sysctl_readconsole.pack_into(u, count=0, index=0)


_OPERATIONS: dict[int, Callable[[MockXen, Arena, memoryview], None]] = {
    abi.XEN_SYSCTL_physinfo: _physinfo,
    abi.XEN_SYSCTL_sched_id: _sched_id,
    abi.XEN_SYSCTL_getdomaininfolist: _domain_list,
    abi.XEN_SYSCTL_cputopoinfo: _cpu_topology,
    abi.XEN_SYSCTL_numainfo: _numa,
    abi.XEN_SYSCTL_cpupool_op: _cpupool,
    abi.XEN_SYSCTL_get_cpu_policy: _cpu_policy,
    abi.XEN_SYSCTL_readconsole: _read_console,
}
