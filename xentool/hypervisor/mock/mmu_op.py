"""HYPERVISOR_mmuext_op and HYPERVISOR_mmu_update, as Domain-0 makes them on other domains.

Source: xen/arch/x86/mm.c (do_mmuext_op, do_mmu_update, get_pg_owner); public/xen.h.
"""

from __future__ import annotations

import errno
from array import array

from xentool.abi import xen as abi
from xentool.hypervisor.mock.arena import Fault
from xentool.hypervisor.mock.mmu import Refused
from xentool.units import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.domains import Domain
    from xentool.hypervisor.mock.xen import MockXen

_ONLY_ON_ONESELF = {
    abi.MMUEXT_NEW_BASEPTR, abi.MMUEXT_NEW_USER_BASEPTR, abi.MMUEXT_TLB_FLUSH_LOCAL, abi.MMUEXT_INVLPG_LOCAL,
    abi.MMUEXT_TLB_FLUSH_MULTI, abi.MMUEXT_INVLPG_MULTI, abi.MMUEXT_TLB_FLUSH_ALL, abi.MMUEXT_INVLPG_ALL,
    abi.MMUEXT_FLUSH_CACHE, abi.MMUEXT_SET_LDT,
}  # fmt: skip


def mmuext_op(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    address, count, done, foreign = arguments[:4]
    domain = _owner(xen, foreign)
    layout = abi.mmuext_op

    def one(at: int) -> None:
        view = arena.memory(address + at * layout.size, layout.size)
        _extended(xen, domain, view)

    return _each(arena, count, done, one)


def mmu_update(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    address, count, done, foreign = arguments[:4]
    tables_of = xen.domains.get((foreign >> 16) - 1) if foreign >> 16 else xen.domains.get(0)
    frames_of = _owner(xen, foreign & 0xFFFF)
    layout = abi.mmu_update

    def one(at: int) -> None:
        pointer, value = layout.row(arena.memory(address + at * layout.size, layout.size))
        command = pointer & 7
        mfn = pointer >> 12
        if command == abi.MMU_MACHPHYS_UPDATE:
            if tables_of.domid:
                raise Refused(errno.EPERM)
            if not xen.memory.owned_by(mfn, frames_of.domid):
                raise Refused(errno.EINVAL)
            xen.memory.m2p[mfn] = value
        elif command in (
            abi.MMU_NORMAL_PT_UPDATE, abi.MMU_PT_UPDATE_PRESERVE_AD, abi.MMU_PT_UPDATE_NO_TRANSLATE,
        ):  # fmt: skip
            xen.mmu.update(mfn, (pointer & PAGE_SIZE - 1) >> 3, value, tables_of.domid, frames_of.domid)
        else:
            raise Refused(errno.ENOSYS)

    return _each(arena, count, done, one)


def _owner(xen: MockXen, domid: int) -> Domain:
    """The domain whose frames are meant. Domain-0 may not call itself foreign."""
    if domid == abi.DOMID_SELF:
        return xen.domains.get(0)
    if not domid:
        raise Refused(errno.ESRCH)
    return xen.domains.get(domid)


def _each(arena: Arena, count: int, done_address: int, one: Callable[[int], None]) -> int:
    """Carry out operations until one fails; how many were is added to what `done_address` points at."""
    done, result = 0, 0
    for at in range(count):
        try:
            one(at)
        except Refused as refused:
            result = -refused.errno
            break
        except Fault:
            result = -errno.EFAULT
            break
        done += 1
    if done_address:
        word = arena.memory(done_address, 4).cast("I")
        word[0] = done
    return result


def _extended(xen: MockXen, domain: Domain, view: memoryview) -> None:
    command = abi.mmuext_op.get(view, "cmd")
    mfn = abi.mmuext_op.get(view, "mfn")
    memory, domid = xen.memory, domain.domid
    if domain.is_hvm:
        raise Refused(errno.EINVAL)
    if abi.MMUEXT_PIN_L1_TABLE <= command <= abi.MMUEXT_PIN_L4_TABLE:
        xen.mmu.pin(mfn, command - abi.MMUEXT_PIN_L1_TABLE + 1, domid)
    elif command == abi.MMUEXT_UNPIN_TABLE:
        xen.mmu.unpin(mfn, domid)
    elif command in (abi.MMUEXT_CLEAR_PAGE, abi.MMUEXT_COPY_PAGE):
        source = abi.mmuext_op.get(view, "src_mfn")
        if command == abi.MMUEXT_COPY_PAGE and not memory.owned_by(source, domid):
            raise Refused(errno.EINVAL)
        run = ((mfn, mfn + 1),)
        if not memory.owned_by(mfn, domid) or not memory.get_writable(run):
            raise Refused(errno.EINVAL)
        words = memory.table(source) if command == abi.MMUEXT_COPY_PAGE else array("Q", bytes(PAGE_SIZE))
        memory.table(mfn)[:] = words
        memory.put_writable(run)
    elif command in _ONLY_ON_ONESELF:
        if domid:
            raise Refused(errno.EPERM)
        # Domain-0 has no CPU of ours: there is nothing to load or to flush.
    else:
        raise Refused(errno.ENOSYS)
