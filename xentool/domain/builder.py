"""Building a PV guest's memory: the plan, carried out.

    reserve → map → write kernel, ramdisk, P2M, start-info, rings, page tables → unmap
            → pin the L4 → shared info → vcpu 0 → grants

Everything is written through one mapping, made in one call, which is gone
before the page tables are pinned: Xen accepts no page table that anybody can
write.

Source: start_info_t and shared_info_t in public/xen.h, vcpu_guest_context_t in
public/arch-x86/xen.h, grant_entry_v1_t in public/grant_table.h.
"""

from __future__ import annotations

from array import array

from xentool.domain import startup
from xentool.domain.p2m import EXTENT_ORDER, EXTENT_PAGES, P2m
from xentool.domain.pagetables import build_tables
from xentool.errors import KernelError, NoMemoryError
from xentool.units import PAGE_SHIFT, PAGE_SIZE, DomId, Mfn, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.host import Host
    from xentool.domain.kernel import Ramdisk
    from xentool.domain.layout import Segment
    from xentool.domain.plan import Plan
    from xentool.domain.resources import Resources

GUEST_TYPE = "xen-3.0-x86_64"


class BuiltGuest:
    """Where the two rings lie that Domain-0 has to find."""

    __slots__ = ("console_mfn", "store_mfn")

    def __init__(self, store_mfn: Mfn, console_mfn: Mfn) -> None:
        self.store_mfn = store_mfn
        self.console_mfn = console_mfn


def build_guest(
    host: Host, plan: Plan, domid: DomId, resources: Resources, ramdisk: Ramdisk | None
) -> BuiltGuest:
    """Fill the domain's memory and set vcpu 0 to its start.

    Raises:
        NoMemoryError: the host ran out of memory on the way.
        KernelError: this Xen runs no such guests.
        XenError: Xen refused.
    """
    xen, layout = host.hypercalls, plan.layout
    if GUEST_TYPE not in xen.capabilities().split():
        raise KernelError("boot", plan.kernel.path, f"this Xen runs no {GUEST_TYPE} guests")
    xen.set_address_size(domid, 64)
    p2m = reserve_memory(host, domid, plan)
    shared_info_mfn = Mfn(xen.domain_info(domid).shared_info_frame)
    store_mfn, console_mfn = Mfn(p2m[layout.xenstore.pfn]), Mfn(p2m[layout.console.pfn])
    page = startup.start_info(
        plan,
        shared_info_mfn=shared_info_mfn,
        store_mfn=store_mfn,
        store_port=resources.store_port,
        console_mfn=console_mfn,
        console_port=resources.console_port,
    )
    _write_memory(host, domid, plan, p2m, page, ramdisk)
    if plan.kernel.hypercall_page is not None:
        pfn = (plan.kernel.hypercall_page - layout.virt_base) >> PAGE_SHIFT
        xen.hypercall_init(domid, Mfn(p2m[pfn]))
    l4 = Mfn(p2m[layout.page_tables.pfn])
    xen.pin_l4_table(domid, l4)
    with host.hypercalls.map_frames(domid, array("Q", [shared_info_mfn])) as mapping:
        mapping.view[:] = startup.shared_info()
    xen.set_vcpu_context(domid, 0, startup.vcpu_context(plan, l4))
    _seed_grants(host, domid, resources, store_mfn, console_mfn)
    return BuiltGuest(store_mfn, console_mfn)


def reserve_memory(host: Host, domid: DomId, plan: Plan) -> P2m:
    """Reserve the guest's frames: 2 MiB extents as far as they go, single frames for the rest.

    Raises:
        NoMemoryError: Xen ran out of memory.
    """
    nr_pages = plan.layout.nr_pages
    xen = host.hypercalls
    wanted = array("Q", range(0, nr_pages & ~(EXTENT_PAGES - 1), EXTENT_PAGES))
    # Xen may have the memory, but not in one piece: what is missing comes in single frames.
    extents = xen.populate_physmap(domid, wanted, EXTENT_ORDER) if wanted else array("Q")
    rest = array("Q", range(len(extents) << EXTENT_ORDER, nr_pages))
    singles = xen.populate_physmap(domid, rest, 0) if rest else array("Q")
    if len(singles) < len(rest):
        got = (len(extents) << EXTENT_ORDER) + len(singles)
        raise NoMemoryError(
            "create domain",
            plan.config.name,
            f"Xen had {format_size(got * PAGE_SIZE)} of the {format_size(nr_pages * PAGE_SIZE)} asked for",
            hint="another domain took the rest meanwhile: try again, or lower memory = … in the config",
        )
    xen.claim_pages(domid, 0)  # what is left of the claim
    return P2m(extents, singles)


def _write_memory(
    host: Host, domid: DomId, plan: Plan, p2m: P2m, start_info: bytes, ramdisk: Ramdisk | None
) -> None:
    """Write every segment through one mapping of their frames, end to end."""
    layout = plan.layout
    segments = [segment for segment in layout.segments if segment.name != "padding"]
    frames = array("Q")
    offsets: dict[str, int] = {}
    for segment in segments:
        offsets[segment.name] = len(frames) << PAGE_SHIFT
        frames.extend(p2m.mfns(segment.pfn, segment.pages))
    tables = build_tables(layout, p2m)
    with host.hypercalls.map_frames(domid, frames) as mapping:

        def view_of(segment: Segment) -> memoryview:
            start = offsets[segment.name]
            return mapping.view[start : start + (segment.pages << PAGE_SHIFT)]

        _write_kernel(plan, view_of(layout.kernel))
        if layout.ramdisk is not None and ramdisk is not None and layout.ramdisk.pages:
            ramdisk.copy_into(view_of(layout.ramdisk))
        p2m_view = view_of(layout.p2m)
        end = _write_p2m(p2m_view, p2m)
        if len(layout.mappings) > 1:  # INIT_P2M: the list's own page tables lie behind it
            _fill(p2m_view[end:], memoryview(tables[1]).cast("B"))
        else:
            _fill(p2m_view[end:], memoryview(b""))
        _fill(view_of(layout.start_info), memoryview(start_info))
        for ring in (layout.xenstore, layout.console, layout.boot_stack):
            _fill(view_of(ring), memoryview(b""))
        _fill(view_of(layout.page_tables), memoryview(tables[0]).cast("B"))


def _write_kernel(plan: Plan, view: memoryview) -> None:
    kernel = plan.kernel
    kernel.copy_into(view, kernel.vstart)
    _fill(view[kernel.vend - kernel.vstart :], memoryview(b""))


def _write_p2m(view: memoryview, p2m: P2m) -> int:
    """Write the list; where its last page ends (the rest of that page says: no such frame)."""
    at = 0
    for chunk in p2m.chunks():
        raw = memoryview(chunk).cast("B")
        view[at : at + len(raw)] = raw
        at += len(raw)
    end = -(-at // PAGE_SIZE) * PAGE_SIZE
    view[at:end] = bytes(end - at)
    return end


def _fill(view: memoryview, content: memoryview) -> None:
    """Write `content`, and zeros behind it: frames come from Xen with whatever was in them."""
    size = len(content)
    view[:size] = content
    view[size:] = bytes(len(view) - size)


def _seed_grants(host: Host, domid: DomId, resources: Resources, store_mfn: Mfn, console_mfn: Mfn) -> None:
    """Grant the two rings to the domains that serve them, so that these need no foreign mapping."""
    entries = startup.ring_grants(domid, resources, store_mfn, console_mfn)
    with host.hypercalls.map_grant_table(domid) as mapping:
        for index, entry in entries.items():
            mapping.view[index * len(entry) : (index + 1) * len(entry)] = entry
