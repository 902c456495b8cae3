"""What a PV guest finds when it wakes up: start-info, shared info, registers, grants.

Source: start_info_t and shared_info_t in public/xen.h; vcpu_guest_context_t in
public/arch-x86/xen.h; grant_entry_v1_t in public/grant_table.h.
"""

from __future__ import annotations

from xentool.abi import grant_table as gnt
from xentool.abi import start_info as si
from xentool.abi import vcpu as ctx
from xentool.abi import xen
from xentool.units import PAGE_SHIFT, PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.plan import Plan
    from xentool.domain.resources import Resources
    from xentool.units import DomId, Mfn, Port

RFLAGS_IF = 1 << 9
DR6_DEFAULT = 0xFFFF0FF0  # Intel SDM vol. 3, 17.2.3: the bits that read as one
DR7_DEFAULT = 0x400


def start_info(
    plan: Plan,
    *,
    shared_info_mfn: Mfn,
    store_mfn: Mfn,
    store_port: Port,
    console_mfn: Mfn,
    console_port: Port,
) -> bytes:
    """The start-info page's bytes; what follows the structure is zero."""
    layout = plan.layout
    flags = 0
    mod_start = mod_len = 0
    if layout.ramdisk is not None:
        if layout.ramdisk.vstart is None:
            # Given by its pfn, and in whole pages: it is not mapped.
            flags |= si.SIF_MOD_START_PFN
            mod_start = layout.ramdisk.pfn
            mod_len = layout.ramdisk.pages << PAGE_SHIFT
        else:
            mod_start = layout.ramdisk.vstart
            mod_len = layout.ramdisk.size
    apart = len(layout.mappings) > 1
    return si.start_info.pack(
        magic=si.START_INFO_MAGIC,
        nr_pages=layout.nr_pages,
        shared_info=shared_info_mfn << PAGE_SHIFT,
        flags=flags,
        store_mfn=store_mfn,
        store_evtchn=store_port,
        console_mfn=console_mfn,
        console_evtchn=console_port,
        pt_base=layout.vaddr(layout.page_tables),
        nr_pt_frames=layout.mappings[0].table_count,
        mfn_list=layout.vaddr(layout.p2m),
        mod_start=mod_start,
        mod_len=mod_len,
        cmd_line=plan.config.cmdline.encode()[: si.MAX_GUEST_CMDLINE - 1],
        first_p2m_pfn=layout.p2m.pfn if apart else 0,
        nr_p2m_frames=layout.p2m.pages if apart else 0,
    )


def shared_info() -> bytes:
    """The shared-info page of a domain that has not run: events of every vcpu are masked."""
    page = bytearray(PAGE_SIZE)
    for vcpu in range(xen.XEN_LEGACY_MAX_VCPUS):
        si.vcpu_info.pack_into(page, vcpu * si.vcpu_info.size, evtchn_upcall_mask=1)
    return bytes(page)


def vcpu_context(plan: Plan, l4: Mfn) -> bytes:
    """vcpu 0 at the kernel's entry: on the boot stack, rsi at start-info, the page tables from `l4`."""
    image = bytearray(ctx.vcpu_guest_context.size)
    ctx.cpu_user_regs.pack_into(
        image,
        ctx.vcpu_guest_context.offset("user_regs"),
        rip=plan.kernel.entry,
        rsp=plan.stack_top,
        rsi=plan.start_info_vaddr,
        rflags=RFLAGS_IF,
        cs=ctx.FLAT_KERNEL_CS,
        ss=ctx.FLAT_KERNEL_SS,
        ds=ctx.FLAT_KERNEL_DS,
        es=ctx.FLAT_KERNEL_DS,
        fs=ctx.FLAT_KERNEL_DS,
        gs=ctx.FLAT_KERNEL_DS,
    )
    ctx.vcpu_guest_context.pack_into(
        image,
        flags=ctx.VGCF_IN_KERNEL | ctx.VGCF_online,
        kernel_ss=ctx.FLAT_KERNEL_SS,
        kernel_sp=plan.stack_top,
        ctrlreg=(0, 0, 0, _cr3(l4), 0, 0, 0, 0),
        debugreg=(0, 0, 0, 0, 0, 0, DR6_DEFAULT, DR7_DEFAULT),
    )
    return bytes(image)


def _cr3(l4: Mfn) -> int:
    """The 64-bit form of a PV guest's cr3 (xen_pfn_to_cr3 in public/arch-x86/xen-x86_64.h)."""
    return l4 << PAGE_SHIFT


def ring_grants(domid: DomId, resources: Resources, store_mfn: Mfn, console_mfn: Mfn) -> dict[int, bytes]:
    """The reserved grant entries for the two rings, by index.

    A ring that the guest itself serves (it is the store's or the console's domain) needs none.
    """
    wanted = {
        gnt.GNTTAB_RESERVED_CONSOLE: (resources.console_domid, console_mfn),
        gnt.GNTTAB_RESERVED_XENSTORE: (resources.store_domid, store_mfn),
    }
    return {
        index: gnt.grant_entry_v1.pack(flags=gnt.GTF_permit_access, domid=backend, frame=mfn)
        for index, (backend, mfn) in wanted.items()
        if backend != domid
    }
