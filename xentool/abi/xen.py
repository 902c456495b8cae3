"""Hypercall numbers, domain ids, VIRQs, page-table operations, shared-info pages.

Names are the header's, but that ``__HYPERVISOR_x`` is ``HYPERVISOR_x`` here: Python mangles names
that begin with two underscores inside classes.

Source: public/xen.h.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

HYPERVISOR_mmu_update = 1
HYPERVISOR_memory_op = 12
HYPERVISOR_multicall = 13
HYPERVISOR_xen_version = 17
HYPERVISOR_console_io = 18
HYPERVISOR_grant_table_op = 20
HYPERVISOR_vcpu_op = 24
HYPERVISOR_mmuext_op = 26
HYPERVISOR_sched_op = 29
HYPERVISOR_event_channel_op = 32
HYPERVISOR_physdev_op = 33
HYPERVISOR_hvm_op = 34
HYPERVISOR_sysctl = 35
HYPERVISOR_domctl = 36

VIRQ_TIMER = 0
VIRQ_DEBUG = 1
VIRQ_CONSOLE = 2
VIRQ_DOM_EXC = 3
VIRQ_TBUF = 4
VIRQ_DEBUGGER = 6
VIRQ_XENOPROF = 7
VIRQ_CON_RING = 8
VIRQ_PCPU_STATE = 9
VIRQ_MEM_EVENT = 10
VIRQ_ARGO = 11
VIRQ_ENOMEM = 12
VIRQ_XENPMU = 13
NR_VIRQS = 24

DOMID_FIRST_RESERVED = 0x7FF0
DOMID_SELF = 0x7FF0
DOMID_IO = 0x7FF1
DOMID_XEN = 0x7FF2
DOMID_COW = 0x7FF3
DOMID_INVALID = 0x7FF4
DOMID_ANY = 0x7FF5
"""Since 4.22; older releases take every reserved id for "choose one"."""
DOMID_IDLE = 0x7FFF
DOMID_MASK = 0x7FFF

MMU_NORMAL_PT_UPDATE = 0
MMU_MACHPHYS_UPDATE = 1
MMU_PT_UPDATE_PRESERVE_AD = 2
MMU_PT_UPDATE_NO_TRANSLATE = 3

MMUEXT_PIN_L1_TABLE = 0
MMUEXT_PIN_L2_TABLE = 1
MMUEXT_PIN_L3_TABLE = 2
MMUEXT_PIN_L4_TABLE = 3
MMUEXT_UNPIN_TABLE = 4
MMUEXT_NEW_BASEPTR = 5
MMUEXT_TLB_FLUSH_LOCAL = 6
MMUEXT_INVLPG_LOCAL = 7
MMUEXT_TLB_FLUSH_MULTI = 8
MMUEXT_INVLPG_MULTI = 9
MMUEXT_TLB_FLUSH_ALL = 10
MMUEXT_INVLPG_ALL = 11
MMUEXT_FLUSH_CACHE = 12
MMUEXT_SET_LDT = 13
MMUEXT_NEW_USER_BASEPTR = 15
MMUEXT_CLEAR_PAGE = 16
MMUEXT_COPY_PAGE = 17

VMASST_TYPE_writable_pagetables = 2
VMASST_TYPE_m2p_strict = 32

XEN_LEGACY_MAX_VCPUS = 32
"""How many vcpus have their vcpu_info in the shared-info page (public/arch-x86/xen.h)."""

mmu_update = Struct("struct mmu_update", 16, {"ptr": (0, "Q"), "val": (8, "Q")})

mmuext_op = Struct(
    "struct mmuext_op",
    24,
    {
        "cmd": (0, "I"),
        "mfn": (8, "Q", "arg1.mfn"),
        "linear_addr": (8, "Q", "arg1.linear_addr"),
        "nr_ents": (16, "I", "arg2.nr_ents"),
        "src_mfn": (16, "Q", "arg2.src_mfn"),
    },
)

multicall_entry = Struct(
    "struct multicall_entry", 64, {"op": (0, "Q"), "result": (8, "Q"), "args": (16, "6Q")}
)

xenctl_bitmap = Struct("struct xenctl_bitmap", 16, {"bitmap": (0, "Q"), "nr_bits": (8, "I")})
