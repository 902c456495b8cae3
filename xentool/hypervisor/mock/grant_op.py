"""HYPERVISOR_grant_table_op, as far as Domain-0 makes it for other domains.

Source: xen/common/grant_table.c (gnttab_setup_table, gnttab_query_size); public/grant_table.h.
"""

from __future__ import annotations

import errno
from array import array

from xentool.abi import grant_table as abi
from xentool.abi.xen import DOMID_SELF
from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.domains import Domain
    from xentool.hypervisor.mock.xen import MockXen


def grant_table_op(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    command, address, count = arguments[:3]
    if command == abi.GNTTABOP_setup_table:
        _one(count)
        _setup_table(xen, arena, address)
    elif command == abi.GNTTABOP_query_size:
        _one(count)
        _query_size(xen, arena, address)
    else:
        return -errno.ENOSYS
    return 0


def _one(count: int) -> None:
    if count != 1:
        raise Refused(errno.EINVAL)


def _domain(xen: MockXen, domid: int) -> Domain | None:
    return xen.domains.find(0 if domid == DOMID_SELF else domid)


def _setup_table(xen: MockXen, arena: Arena, address: int) -> None:
    layout = abi.gnttab_setup_table
    view = arena.memory(address, layout.size)
    count = layout.get(view, "nr_frames")
    frames = arena.memory(layout.get(view, "frame_list"), 8 * count) if count else None
    domain = _domain(xen, layout.get(view, "dom"))
    if domain is None:
        layout.pack_into(view, status=abi.GNTST_bad_domain)
        return
    try:
        domain.grants.grow(count)
    except Refused:
        layout.pack_into(view, status=abi.GNTST_general_error)
        return
    if frames is not None:
        frames[:] = array("Q", domain.grants.frames[:count]).tobytes()
    layout.pack_into(view, status=abi.GNTST_okay)


def _query_size(xen: MockXen, arena: Arena, address: int) -> None:
    layout = abi.gnttab_query_size
    view = arena.memory(address, layout.size)
    domain = _domain(xen, layout.get(view, "dom"))
    if domain is None:
        layout.pack_into(view, status=abi.GNTST_bad_domain)
        return
    layout.pack_into(
        view,
        nr_frames=len(domain.grants.frames),
        max_nr_frames=domain.grants.max_frames,
        status=abi.GNTST_okay,
    )
