"""A vcpu's registers, as a builder sets them, and the selectors a PV guest starts with.

Source: public/arch-x86/xen.h (vcpu_guest_context, trap_info),
public/arch-x86/xen-x86_64.h (cpu_user_regs, flat selectors).
"""

from __future__ import annotations

from xentool.abi.layout import Struct

FLAT_RING3_CS32 = 0xE023
FLAT_RING3_CS64 = 0xE033
FLAT_RING3_DS32 = 0xE02B
FLAT_RING3_DS64 = 0x0000
FLAT_RING3_SS32 = 0xE02B
FLAT_RING3_SS64 = 0xE02B
FLAT_KERNEL_CS = FLAT_RING3_CS64
FLAT_KERNEL_DS = FLAT_RING3_DS64
FLAT_KERNEL_SS = FLAT_RING3_SS64

FIRST_RESERVED_GDT_ENTRY = 14 * 4096 // 8

VGCF_I387_VALID = 1 << 0
VGCF_IN_KERNEL = 1 << 2
VGCF_failsafe_disables_events = 1 << 3
VGCF_syscall_disables_events = 1 << 4
VGCF_online = 1 << 5

MACH2PHYS_VIRT_START = 0xFFFF800000000000
HYPERVISOR_VIRT_START = 0xFFFF800000000000
HYPERVISOR_VIRT_END = 0xFFFF880000000000

cpu_user_regs = Struct(
    "struct cpu_user_regs",
    200,
    {
        "r15": (0, "Q"),
        "r14": (8, "Q"),
        "r13": (16, "Q"),
        "r12": (24, "Q"),
        "rbp": (32, "Q"),
        "rbx": (40, "Q"),
        "r11": (48, "Q"),
        "r10": (56, "Q"),
        "r9": (64, "Q"),
        "r8": (72, "Q"),
        "rax": (80, "Q"),
        "rcx": (88, "Q"),
        "rdx": (96, "Q"),
        "rsi": (104, "Q"),
        "rdi": (112, "Q"),
        "error_code": (120, "I"),
        "entry_vector": (124, "I"),
        "rip": (128, "Q"),
        "cs": (136, "H"),
        "saved_upcall_mask": (140, "B"),
        "rflags": (144, "Q"),
        "rsp": (152, "Q"),
        "ss": (160, "H"),
        "es": (168, "H"),
        "ds": (176, "H"),
        "fs": (184, "H"),
        "gs": (192, "H"),
    },
)

USER_REGS = 520
"""Where cpu_user_regs lies in vcpu_guest_context (`user_regs`)."""

trap_info = Struct(
    "struct trap_info", 16, {"vector": (0, "B"), "flags": (1, "B"), "cs": (2, "H"), "address": (8, "Q")}
)

vcpu_guest_context = Struct(
    "struct vcpu_guest_context",
    5168,
    {
        "fpu_ctxt": (0, "512s"),
        "flags": (512, "Q"),
        "user_regs": (520, "200s"),
        "trap_ctxt": (720, "4096s"),
        "ldt_base": (4816, "Q"),
        "ldt_ents": (4824, "Q"),
        "gdt_frames": (4832, "16Q"),
        "gdt_ents": (4960, "Q"),
        "kernel_ss": (4968, "Q"),
        "kernel_sp": (4976, "Q"),
        "ctrlreg": (4984, "8Q"),
        "debugreg": (5048, "8Q"),
        "event_callback_eip": (5112, "Q"),
        "failsafe_callback_eip": (5120, "Q"),
        "syscall_callback_eip": (5128, "Q"),
        "vm_assist": (5136, "Q"),
        "fs_base": (5144, "Q"),
        "gs_base_kernel": (5152, "Q"),
        "gs_base_user": (5160, "Q"),
    },
)
