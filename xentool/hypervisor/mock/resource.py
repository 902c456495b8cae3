"""XENMEM_acquire_resource: the frames of a domain's grant table.

Source: xen/common/memory.c (acquire_resource), xen/common/grant_table.c (gnttab_acquire_resource).
"""

from __future__ import annotations

import errno

from xentool.abi import memory as abi
from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.xen import MockXen


def max_frames(xen: MockXen, domid: int, kind: int, index: int) -> int:
    """How many frames the whole resource has.

    Raises:
        Refused: ESRCH, EPERM (Domain-0 itself), EOPNOTSUPP (no such kind), EINVAL (no such resource).
    """
    domain = xen.domains.get(domid)
    if not domid:
        raise Refused(errno.EPERM)
    if kind in (abi.XENMEM_resource_ioreq_server, abi.XENMEM_resource_vmtrace_buf):
        raise Refused(errno.EINVAL)  # a PV domain has none
    if kind != abi.XENMEM_resource_grant_table:
        raise Refused(errno.EOPNOTSUPP)
    if index == abi.XENMEM_resource_grant_table_id_shared:
        return domain.grants.max_frames
    if index == abi.XENMEM_resource_grant_table_id_status:
        return (domain.grants.max_frames * 512 + 2047) // 2048
    raise Refused(errno.EINVAL)


def frames(xen: MockXen, domid: int, kind: int, index: int, frame: int, count: int) -> list[int]:
    """`count` frames from `frame` on; the grant table grows to have them. Raises `Refused`."""
    if frame >> 32 or (frame + count) >> 32:
        raise Refused(errno.EINVAL)
    max_frames(xen, domid, kind, index)
    # Version 1 tables, the only ones here, have no status frames.
    if not count or index != abi.XENMEM_resource_grant_table_id_shared:
        raise Refused(errno.EINVAL)
    table = xen.domains.get(domid).grants
    table.grow(frame + count)
    return table.frames[frame : frame + count]
