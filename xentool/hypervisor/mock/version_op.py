"""HYPERVISOR_xen_version.

Source: xen/common/kernel.c (do_xen_version); public/version.h.
"""

from __future__ import annotations

import errno

from xentool.abi import version as abi
from xentool.abi.vcpu import HYPERVISOR_VIRT_START
from xentool.units import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.xen import MockXen

EXTRAVERSION = ".0-mock"
CAPABILITIES = "xen-3.0-x86_64 "
_CHANGESET = "unavailable"
_COMMAND_LINE = "placeholder console=mock"

# Of a PV Domain-0: it may write page tables through Xen, and is the first domain.
_FEATURES = (
    1 << abi.XENFEAT_mmu_pt_update_preserve_ad
    | 1 << abi.XENFEAT_gnttab_map_avail_bits
    | 1 << abi.XENFEAT_highmem_assist
    | 1 << abi.XENFEAT_dom0
    | 1 << abi.XENFEAT_memory_op_vnode_supported
    | 1 << abi.XENFEAT_not_direct_mapped
)


def xen_version(xen: MockXen, arena: Arena, arguments: tuple[int, ...]) -> int:
    command, address = arguments[0], arguments[1]
    if command == abi.XENVER_version:
        major, minor = xen.version
        return major << 16 | minor
    if command == abi.XENVER_pagesize:
        return -errno.EINVAL if address else PAGE_SIZE
    texts = {
        abi.XENVER_extraversion: (EXTRAVERSION, abi.XEN_EXTRAVERSION_LEN),
        abi.XENVER_capabilities: (CAPABILITIES, abi.XEN_CAPABILITIES_INFO_LEN),
        abi.XENVER_changeset: (_CHANGESET, abi.XEN_CHANGESET_INFO_LEN),
        abi.XENVER_commandline: (_COMMAND_LINE, abi.XEN_COMMANDLINE_LEN),
    }
    if command in texts:
        text, length = texts[command]
        arena.memory(address, length)[:] = text.encode().ljust(length, b"\0")
        return 0
    if command == abi.XENVER_compile_info:
        layout = abi.xen_compile_info
        layout.pack_into(
            arena.memory(address, layout.size),
            compiler=b"none, this is the mock",
            compile_by=b"xentool",
            compile_domain=b"localdomain",
            compile_date=b"Thu Jan  1 00:00:00 UTC 1970",
        )
        return 0
    if command == abi.XENVER_platform_parameters:
        layout = abi.xen_platform_parameters
        layout.pack_into(arena.memory(address, layout.size), virt_start=HYPERVISOR_VIRT_START)
        return 0
    if command == abi.XENVER_get_features:
        layout = abi.xen_feature_info
        view = arena.memory(address, layout.size)
        if layout.get(view, "submap_idx"):
            layout.pack_into(view, submap=0)
            return -errno.EINVAL
        layout.pack_into(view, submap=_FEATURES)
        return 0
    if command == abi.XENVER_build_id:
        return -errno.ENODATA
    return -errno.ENOSYS
