"""HYPERVISOR_sched_op: shutting another domain down.

Source: xen/common/sched/core.c (do_sched_op); public/sched.h.
"""

from __future__ import annotations

import errno

from xentool.abi import sched as abi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.xen import MockXen


def sched_op(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    if arguments[0] != abi.SCHEDOP_remote_shutdown:
        return -errno.ENOSYS
    layout = abi.sched_remote_shutdown
    view = arena.memory(arguments[1], layout.size)
    domain = xen.domains.get(layout.get(view, "domain_id"))
    if not domain.domid:
        return -errno.EPERM  # Xen would reboot the machine; a mock of one has nothing to gain by that
    xen.domains.shut_down(domain, layout.get(view, "reason") & 0xFF)
    return 0
