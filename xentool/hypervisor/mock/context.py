"""DOMCTL_setvcpucontext and getvcpucontext: what a PV vcpu may start with.

Source: xen/arch/x86/domain.c (arch_set_info_guest), xen/arch/x86/domctl.c (arch_get_info_guest).
"""

from __future__ import annotations

import errno

from xentool.abi.vcpu import (
    FIRST_RESERVED_GDT_ENTRY,
    HYPERVISOR_VIRT_END,
    USER_REGS,
    VGCF_IN_KERNEL,
    VGCF_online,
    cpu_user_regs,
    trap_info,
    vcpu_guest_context,
)
from xentool.hypervisor.mock.memory import L4_TABLE
from xentool.hypervisor.mock.mmu import Refused
from xentool.units import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.domains import Domain, Vcpu
    from xentool.hypervisor.mock.xen import MockXen

_VM_ASSISTS = 0b111111 | 1 << 32
_M2P_STRICT = 1 << 32
_CANONICAL = (
    "kernel_sp", "fs_base", "gs_base_kernel", "gs_base_user",
    "event_callback_eip", "syscall_callback_eip", "failsafe_callback_eip",
)  # fmt: skip
_MAX_LDT_ENTRIES = 8192
_RFLAGS_IF, _RFLAGS_IOPL = 0x200, 0x3000
_TRAPS, _TRAPS_AT = 256, vcpu_guest_context.offset("trap_ctxt")


def set_context(xen: MockXen, domain: Domain, vcpu: Vcpu, image: bytes) -> None:
    """Give a vcpu its state (struct vcpu_guest_context).

    Raises:
        Refused: EINVAL (addresses, tables, sizes), EOPNOTSUPP (tables of a vcpu that has some are changed),
            and what validating a page table says.
    """
    get = vcpu_guest_context.get
    _check_addresses(image)
    first = domain.vcpus[0] is vcpu
    if first and get(image, "vm_assist") & ~_VM_ASSISTS:
        raise Refused(errno.EINVAL)
    entries = get(image, "gdt_ents")
    frames = (entries + 511) // 512
    if frames > 16:
        raise Refused(errno.EINVAL)
    flags = get(image, "flags")
    registers = get(image, "ctrlreg")
    kernel_cr3, user_cr3 = registers[3], registers[1]
    if vcpu.initialised:
        _check_unchanged(vcpu, image, frames)
    else:
        if not flags & VGCF_IN_KERNEL and not user_cr3:
            raise Refused(errno.EINVAL)
        if first:
            domain.vm_assist = get(image, "vm_assist")
        if entries > FIRST_RESERVED_GDT_ENTRY:
            raise Refused(errno.EINVAL)
        xen.domains.take_gdt(domain, list(get(image, "gdt_frames")[:frames]))
        vcpu.gdt = list(get(image, "gdt_frames")[:frames])
        try:
            _take_tables(xen, domain, vcpu, kernel_cr3 >> 12, user_cr3 >> 12)
        except Refused:
            xen.domains.drop_tables(vcpu)
            raise
    vcpu.initialised = True
    vcpu.context = _as_kept(image)
    vcpu.down = not flags & VGCF_online


def context_of(domain: Domain, vcpu: Vcpu) -> bytes:
    """The vcpu's state. Raises `Refused` with ENODATA if it has none yet."""
    if vcpu.context is None:
        raise Refused(errno.ENODATA)
    image = bytearray(vcpu.context)
    flags = vcpu_guest_context.get(image, "flags") & ~VGCF_online
    vcpu_guest_context.pack_into(
        image, flags=flags | (0 if vcpu.down else VGCF_online), vm_assist=domain.vm_assist
    )
    return bytes(image)


def _is_canonical(address: int) -> bool:
    return address < 1 << 47 or address >= (1 << 64) - (1 << 47)


def _check_addresses(image: bytes) -> None:
    get = vcpu_guest_context.get
    addresses = [get(image, name) for name in _CANONICAL]
    addresses += [cpu_user_regs.get(image, name, USER_REGS) for name in ("rip", "rsp")]
    traps = trap_info.offset("address")
    step = trap_info.size
    if image[_TRAPS_AT : _TRAPS_AT + _TRAPS * step].strip(b"\0"):
        for at in range(_TRAPS):
            place = _TRAPS_AT + at * step + traps
            addresses.append(int.from_bytes(image[place : place + 8], "little"))
    base, entries = get(image, "ldt_base"), get(image, "ldt_ents")
    if entries:
        addresses.append(base)
    if not all(map(_is_canonical, addresses)):
        raise Refused(errno.EINVAL)
    outside_xen = base < 1 << 47 or base >= HYPERVISOR_VIRT_END
    if not outside_xen or base % PAGE_SIZE or entries > _MAX_LDT_ENTRIES:
        raise Refused(errno.EINVAL)


def _check_unchanged(vcpu: Vcpu, image: bytes, frames: int) -> None:
    get = vcpu_guest_context.get
    assert vcpu.context is not None
    old = vcpu.context
    registers = get(image, "ctrlreg")
    same = (
        registers[3] == vcpu.kernel_l4 << 12
        and registers[1] == vcpu.user_l4 << 12
        and (vcpu.user_l4 or get(image, "flags") & VGCF_IN_KERNEL)
        and get(image, "gdt_ents") == get(old, "gdt_ents")
        and list(get(image, "gdt_frames")[:frames]) == vcpu.gdt
        and get(image, "ldt_ents") == get(old, "ldt_ents")
        and (not get(old, "ldt_ents") or get(image, "ldt_base") == get(old, "ldt_base"))
    )
    if not same:
        raise Refused(errno.EOPNOTSUPP)


def _take_tables(xen: MockXen, domain: Domain, vcpu: Vcpu, kernel: int, user: int) -> None:
    xen.mmu.get_type(kernel, L4_TABLE, domain.domid)
    vcpu.kernel_l4 = kernel
    if not domain.vm_assist & _M2P_STRICT:
        xen.mmu.show_m2p(kernel)
    if user:
        xen.mmu.get_type(user, L4_TABLE, domain.domid)
        vcpu.user_l4 = user
        if domain.vm_assist & _M2P_STRICT:
            xen.mmu.hide_m2p(user)


def _as_kept(image: bytes) -> bytes:
    """Xen lets a guest have interrupts always on, and no I/O privilege."""
    kept = bytearray(image)
    rflags = cpu_user_regs.get(kept, "rflags", USER_REGS)
    cpu_user_regs.pack_into(kept, USER_REGS, rflags=rflags & ~_RFLAGS_IOPL | _RFLAGS_IF)
    return bytes(kept)
