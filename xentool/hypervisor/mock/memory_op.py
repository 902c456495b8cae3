"""HYPERVISOR_memory_op: reservations, claims, memory maps, resources.

The reservation calls say how many extents they did, whatever stopped them: too
little memory, the domain's limit, a bad argument; only a short count tells.

Source: xen/common/memory.c (do_memory_op), xen/common/page_alloc.c (assign_pages,
domain_set_outstanding_pages), xen/arch/x86/mm.c (arch_memory_op); public/memory.h.
"""

from __future__ import annotations

import errno
from array import array

from xentool.abi import memory as abi
from xentool.abi.start_info import shared_info
from xentool.abi.xen import DOMID_SELF
from xentool.hypervisor.mock import resource
from xentool.hypervisor.mock.arena import Fault
from xentool.hypervisor.mock.mmu import Refused
from xentool.units import PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.domains import Domain
    from xentool.hypervisor.mock.xen import MockXen

_EXTENT_SHIFT = 6  # MEMOP_EXTENT_SHIFT: above it, the command says where a preempted call goes on
_MAX_EXTENTS = 0xFFFF_FFFF >> _EXTENT_SHIFT
_MAX_ORDER = 18  # CONFIG_CTLDOM_MAX_ORDER, what Domain-0 may ask for
_MAX_NODES = 64
_E820_MAX = 1024


def memory_op(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    command, address = arguments[0] & (1 << _EXTENT_SHIFT) - 1, arguments[1]
    if command in (abi.XENMEM_increase_reservation, abi.XENMEM_populate_physmap):
        return _allocate(xen, arena, address, with_gpfns=command == abi.XENMEM_populate_physmap)
    if command == abi.XENMEM_decrease_reservation:
        return _decrease(xen, arena, address)
    if command == abi.XENMEM_maximum_ram_page:
        return xen.memory.frame_count
    if command in _STATISTICS:
        view = arena.memory(address, abi.xen_memory_domain.size)
        return _STATISTICS[command](xen, _any(xen, abi.xen_memory_domain.get(view, "domid")))
    if command in (abi.XENMEM_add_to_physmap, abi.XENMEM_remove_from_physmap):
        layout = abi.xen_remove_from_physmap
        _any(xen, layout.get(arena.memory(address, layout.size), "domid"))
        return -errno.EACCES  # a PV domain has no physmap of Xen's
    operation = _OPERATIONS.get(command)
    return operation(xen, arena, address) if operation else -errno.ENOSYS


def _any(xen: MockXen, domid: int) -> Domain:
    return xen.domains.get(0 if domid == DOMID_SELF else domid)


class _Reservation:
    """struct xen_memory_reservation, as far as it can be carried out; None extents mean: do nothing."""

    def __init__(self, xen: MockXen, arena: Arena, address: int) -> None:
        layout = abi.xen_memory_reservation
        view = arena.memory(address, layout.size)
        self.list, self.count, self.order, self.flags, domid = layout.row(view)
        self.domain = _any(xen, domid)
        bits = self.flags & 0xFF
        self.limit = xen.memory.frame_count
        if bits and bits < (xen.memory.frame_count - 1).bit_length() + PAGE_SHIFT:
            if bits <= PAGE_SHIFT:
                raise Refused(errno.EINVAL)
            self.limit = 1 << (bits - PAGE_SHIFT)
        node = (self.flags >> 8 & 0xFF) - 1
        exact = self.flags & abi.XENMEMF_exact_node_request
        if node >= _MAX_NODES or (node > 0 and exact) or self.count > _MAX_EXTENTS or self.order > _MAX_ORDER:
            raise Refused(errno.EINVAL)

    def extents(self, arena: Arena) -> memoryview:
        return arena.memory(self.list, 8 * self.count).cast("Q")


def _allocate(xen: MockXen, arena: Arena, address: int, *, with_gpfns: bool) -> int:
    try:
        wanted = _Reservation(xen, arena, address)
        extents = wanted.extents(arena) if with_gpfns or wanted.list else None
    except (Refused, Fault):
        return 0
    domain, memory, order = wanted.domain, xen.memory, wanted.order
    if with_gpfns and wanted.flags & abi.XENMEMF_populate_on_demand:
        return wanted.count if domain.domid else 0  # which only means something for HVM
    if domain.dying:
        return 0
    claimed_by_others = memory.outstanding_claims - domain.outstanding_pages
    pages = min(domain.max_pages - domain.total_pages, memory.free.total - claimed_by_others)
    if pages <= 0:
        return 0
    runs = memory.free.take(order, min(wanted.count, pages >> order), wanted.limit)
    memory.assign(runs, domain.domid)
    mfns = array("Q")
    for start, end in runs:
        domain.pages.add(start, end)
        mfns.extend(range(start, end, 1 << order))
    _use_claim(xen, domain, len(mfns) << order)
    if extents is not None and mfns:
        if with_gpfns:
            _set_m2p(xen, extents[: len(mfns)].tolist(), mfns, order)
        extents[: len(mfns)] = mfns
    return len(mfns)


def _set_m2p(xen: MockXen, gpfns: list[int], mfns: array[int], order: int) -> None:
    m2p, size = xen.memory.m2p, 1 << order
    if (
        not order
        and gpfns == list(range(gpfns[0], gpfns[0] + len(gpfns)))
        and mfns[-1] - mfns[0] + 1 == len(mfns)
    ):
        m2p[mfns[0] : mfns[-1] + 1] = array("Q", gpfns)
        return
    for gpfn, mfn in zip(gpfns, mfns, strict=True):
        m2p[mfn : mfn + size] = array("Q", range(gpfn, gpfn + size))


def _use_claim(xen: MockXen, domain: Domain, pages: int) -> None:
    used = min(domain.outstanding_pages, pages)
    domain.outstanding_pages -= used
    xen.memory.outstanding_claims -= used


def _decrease(xen: MockXen, arena: Arena, address: int) -> int:
    try:
        wanted = _Reservation(xen, arena, address)
        extents = wanted.extents(arena).tolist()
    except (Refused, Fault):
        return 0
    for done, start in enumerate(extents):
        for mfn in range(start, start + (1 << wanted.order)):
            if not xen.memory.owned_by(mfn, wanted.domain.domid) or mfn not in wanted.domain.pages:
                return done
            xen.domains.give_back(wanted.domain, mfn)
    return len(extents)


def _claim(xen: MockXen, arena: Arena, address: int) -> int:
    layout = abi.xen_memory_reservation
    extents, pages, order, flags, domid = layout.row(arena.memory(address, layout.size))
    if extents or order or flags:
        return -errno.EINVAL
    domain, memory = xen.domains.get(domid, errno.EINVAL), xen.memory
    if not pages:
        memory.outstanding_claims -= domain.outstanding_pages
        domain.outstanding_pages = 0
        return 0
    if domain.outstanding_pages or not domain.total_pages < pages <= domain.max_pages:
        return -errno.EINVAL
    claim = pages - domain.total_pages
    if claim > memory.free.total - memory.outstanding_claims:
        return -errno.ENOMEM
    domain.outstanding_pages = claim
    memory.outstanding_claims += claim
    return 0


def _set_memory_map(xen: MockXen, arena: Arena, address: int) -> int:
    layout = abi.xen_foreign_memory_map
    domid, count, buffer = layout.row(arena.memory(address, layout.size))
    if count > _E820_MAX:
        return -errno.EINVAL
    domain = _any(xen, domid)
    domain.e820 = arena.memory(buffer, count * abi.e820entry.size).tobytes() if count else b""
    return 0


def _machine_memory_map(xen: MockXen, arena: Arena, address: int) -> int:
    layout = abi.xen_memory_map
    view = arena.memory(address, layout.size)
    count, buffer = layout.row(view)
    if count:
        entry = abi.e820entry.pack(addr=0, size=xen.memory.frame_count << PAGE_SHIFT, type=abi.E820_RAM)
        arena.memory(buffer, len(entry))[:] = entry
    layout.pack_into(view, nr_entries=min(count, 1))
    return 0


def _acquire_resource(xen: MockXen, arena: Arena, address: int) -> int:
    layout = abi.xen_mem_acquire_resource
    view = arena.memory(address, layout.size)
    domid, kind, index, count, pad, frame, frame_list = layout.row(view)
    if pad or frame >> 32 or (frame + count) >> 32:
        return -errno.EINVAL
    whole = resource.max_frames(xen, domid, kind, index)
    if not frame_list:
        if count:
            return -errno.EINVAL
        layout.pack_into(view, nr_frames=whole)
        return 0
    if not 0 < count <= _MAX_EXTENTS:
        return -errno.EINVAL
    found = resource.frames(xen, domid, kind, index, frame, count)
    arena.memory(frame_list, 8 * count)[:] = array("Q", found).tobytes()
    return 0


def _maximum_gpfn(xen: MockXen, domain: Domain) -> int:
    page = xen.memory.page(domain.shared_info)
    highest: int = shared_info.get(page, "max_pfn") - 1
    return highest


_STATISTICS: dict[int, Callable[[MockXen, Domain], int]] = {
    abi.XENMEM_current_reservation: lambda _, domain: domain.total_pages,
    abi.XENMEM_maximum_reservation: lambda _, domain: domain.max_pages,
    abi.XENMEM_maximum_gpfn: _maximum_gpfn,
}

_OPERATIONS: dict[int, Callable[[MockXen, Arena, int], int]] = {
    abi.XENMEM_claim_pages: _claim,
    abi.XENMEM_set_memory_map: _set_memory_map,
    abi.XENMEM_machine_memory_map: _machine_memory_map,
    abi.XENMEM_acquire_resource: _acquire_resource,
}
