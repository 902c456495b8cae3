"""The domctls about single vcpus, and about where they may run.

Source: xen/common/domctl.c, xen/common/sched/core.c (vcpu_affinity_domctl); public/domctl.h.
"""

from __future__ import annotations

import errno

from xentool.abi import domctl as abi
from xentool.hypervisor.mock.bitmaps import read_bitmap, write_bitmap
from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.domains import Vcpu
    from xentool.hypervisor.mock.domctl import Call

_MAX_NODES = 64


def vcpu_of(call: Call, number: int, absent: int) -> Vcpu:
    """A vcpu; EINVAL past the domain's number of them, `absent` for one that was not made yet."""
    if number >= len(call.domain.vcpus):
        raise Refused(errno.EINVAL)
    vcpu = call.domain.vcpus[number]
    if vcpu is None:
        raise Refused(absent)
    return vcpu


def _get_info(call: Call) -> None:
    layout = abi.xen_domctl_getvcpuinfo
    number = layout.get(call.u, "vcpu")
    vcpu = vcpu_of(call, number, errno.ESRCH)
    count = len(call.domain.vcpus)
    layout.pack_into(
        call.u,
        online=not vcpu.down,
        blocked=bool(call.domain.domid and call.domain.runnable and not vcpu.down),
        running=not call.domain.domid and not vcpu.down,
        cpu_time=call.domain.cpu_time_ns() // count,
        cpu=number % call.xen.cpus,
    )


def _affinity(call: Call) -> tuple[Vcpu, bool, bool]:
    layout = abi.xen_domctl_vcpuaffinity
    vcpu = vcpu_of(call, layout.get(call.u, "vcpu"), errno.ESRCH)
    flags = layout.get(call.u, "flags")
    hard, soft = bool(flags & abi.XEN_VCPUAFFINITY_HARD), bool(flags & abi.XEN_VCPUAFFINITY_SOFT)
    if (
        not flags
        or (hard and not layout.get(call.u, "hard_bitmap"))
        or (soft and not layout.get(call.u, "soft_bitmap"))
    ):
        raise Refused(errno.EINVAL)
    return vcpu, hard, soft


def _read(call: Call, which: str) -> int:
    layout = abi.xen_domctl_vcpuaffinity
    address, bits = layout.get(call.u, f"{which}_bitmap"), layout.get(call.u, f"{which}_nr_bits")
    return read_bitmap(call.arena, address, bits, call.xen.cpus)


def _write(call: Call, which: str, cpus: int) -> None:
    layout = abi.xen_domctl_vcpuaffinity
    address, bits = layout.get(call.u, f"{which}_bitmap"), layout.get(call.u, f"{which}_nr_bits")
    write_bitmap(call.arena, address, bits, cpus)


def _set_affinity(call: Call) -> None:
    """Set it, and tell what the scheduler will make of it."""
    vcpu, hard, soft = _affinity(call)
    before = vcpu.hard
    online = (1 << call.xen.cpus) - 1
    if hard:
        wanted = _read(call, "hard")
        if not wanted & online:
            raise Refused(errno.EINVAL)
        vcpu.hard = wanted
        _write(call, "hard", online & wanted)
    if soft:
        wanted = _read(call, "soft")
        if not wanted:
            vcpu.hard = before
            raise Refused(errno.EINVAL)
        vcpu.soft = wanted
        _write(call, "soft", online & wanted & vcpu.hard)


def _get_affinity(call: Call) -> None:
    vcpu, hard, soft = _affinity(call)
    if hard:
        _write(call, "hard", vcpu.hard)
    if soft:
        _write(call, "soft", vcpu.soft)


def _set_node_affinity(call: Call) -> None:
    address, bits = abi.xen_domctl_nodeaffinity.row(call.u)
    nodes = read_bitmap(call.arena, address, bits, _MAX_NODES)
    if not nodes & 1:  # there is one node, and it has to be among them
        raise Refused(errno.EINVAL)
    call.domain.node_affinity = nodes


def _get_node_affinity(call: Call) -> None:
    address, bits = abi.xen_domctl_nodeaffinity.row(call.u)
    write_bitmap(call.arena, address, bits, call.domain.node_affinity)


OPERATIONS: dict[int, Callable[[Call], None]] = {
    abi.XEN_DOMCTL_getvcpuinfo: _get_info,
    abi.XEN_DOMCTL_setvcpuaffinity: _set_affinity,
    abi.XEN_DOMCTL_getvcpuaffinity: _get_affinity,
    abi.XEN_DOMCTL_setnodeaffinity: _set_node_affinity,
    abi.XEN_DOMCTL_getnodeaffinity: _get_node_affinity,
}
