"""What a PV guest finds at its start: the start-info and shared-info pages.

Source: public/xen.h (start_info, vcpu_time_info, vcpu_info, shared_info),
public/arch-x86/xen.h (arch_shared_info).
"""

from __future__ import annotations

from xentool.abi.layout import Struct

START_INFO_MAGIC = b"xen-3.0-x86_64"
"""The guest type as XENVER_capabilities lists it; start_info.magic says the same."""

MAX_GUEST_CMDLINE = 1024

SIF_PRIVILEGED = 1 << 0
SIF_INITDOMAIN = 1 << 1
SIF_MULTIBOOT_MOD = 1 << 2
SIF_MOD_START_PFN = 1 << 3
SIF_VIRT_P2M_4TOOLS = 1 << 4

start_info = Struct(
    "struct start_info",
    1168,
    {
        "magic": (0, "32s"),
        "nr_pages": (32, "Q"),
        "shared_info": (40, "Q"),
        "flags": (48, "I"),
        "store_mfn": (56, "Q"),
        "store_evtchn": (64, "I"),
        "console_mfn": (72, "Q", "console.domU.mfn"),
        "console_evtchn": (80, "I", "console.domU.evtchn"),
        "pt_base": (88, "Q"),
        "nr_pt_frames": (96, "Q"),
        "mfn_list": (104, "Q"),
        "mod_start": (112, "Q"),
        "mod_len": (120, "Q"),
        "cmd_line": (128, "1024s"),
        "first_p2m_pfn": (1152, "Q"),
        "nr_p2m_frames": (1160, "Q"),
    },
)

vcpu_time_info = Struct(
    "struct vcpu_time_info",
    32,
    {
        "version": (0, "I"),
        "tsc_timestamp": (8, "Q"),
        "system_time": (16, "Q"),
        "tsc_to_system_mul": (24, "I"),
        "tsc_shift": (28, "b"),
        "flags": (29, "B"),
    },
)

vcpu_info = Struct(
    "struct vcpu_info",
    64,
    {
        "evtchn_upcall_pending": (0, "B"),
        "evtchn_upcall_mask": (1, "B"),
        "evtchn_pending_sel": (8, "Q"),
        "arch": (16, "16s"),
        "time": (32, "32s"),
    },
)

shared_info = Struct(
    "struct shared_info",
    3136,
    {
        "vcpu_info": (0, "2048s"),
        "evtchn_pending": (2048, "64Q"),
        "evtchn_mask": (2560, "64Q"),
        "wc_version": (3072, "I"),
        "wc_sec": (3076, "I"),
        "wc_nsec": (3080, "I"),
        "wc_sec_hi": (3084, "I"),
        "max_pfn": (3088, "Q", "arch.max_pfn"),
        "pfn_to_mfn_frame_list_list": (3096, "Q", "arch.pfn_to_mfn_frame_list_list"),
        "nmi_reason": (3104, "Q", "arch.nmi_reason"),
        "p2m_cr3": (3112, "Q", "arch.p2m_cr3"),
        "p2m_vaddr": (3120, "Q", "arch.p2m_vaddr"),
        "p2m_generation": (3128, "Q", "arch.p2m_generation"),
    },
)
