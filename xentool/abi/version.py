"""What Xen says about itself: release, build, capabilities, features.

Source: public/version.h, public/features.h.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

XENVER_version = 0
XENVER_extraversion = 1
XENVER_compile_info = 2
XENVER_capabilities = 3
XENVER_changeset = 4
XENVER_platform_parameters = 5
XENVER_get_features = 6
XENVER_pagesize = 7
XENVER_guest_handle = 8
XENVER_commandline = 9
XENVER_build_id = 10

XEN_EXTRAVERSION_LEN = 16
XEN_CAPABILITIES_INFO_LEN = 1024
XEN_CHANGESET_INFO_LEN = 64
XEN_COMMANDLINE_LEN = 1024
"""Ours: sizeof(xen_commandline_t)."""

XENFEAT_writable_page_tables = 0
XENFEAT_writable_descriptor_tables = 1
XENFEAT_auto_translated_physmap = 2
XENFEAT_supervisor_mode_kernel = 3
XENFEAT_pae_pgdir_above_4gb = 4
XENFEAT_mmu_pt_update_preserve_ad = 5
XENFEAT_highmem_assist = 6
XENFEAT_gnttab_map_avail_bits = 7
XENFEAT_hvm_callback_vector = 8
XENFEAT_hvm_safe_pvclock = 9
XENFEAT_hvm_pirqs = 10
XENFEAT_dom0 = 11
XENFEAT_memory_op_vnode_supported = 13
XENFEAT_linux_rsdp_unrestricted = 15
XENFEAT_not_direct_mapped = 16
XENFEAT_direct_mapped = 17
XENFEAT_NR_SUBMAPS = 1

xen_compile_info = Struct(
    "struct xen_compile_info",
    144,
    {
        "compiler": (0, "64s"),
        "compile_by": (64, "16s"),
        "compile_domain": (80, "32s"),
        "compile_date": (112, "32s"),
    },
)

xen_platform_parameters = Struct("struct xen_platform_parameters", 8, {"virt_start": (0, "Q")})

xen_feature_info = Struct("struct xen_feature_info", 8, {"submap_idx": (0, "I"), "submap": (4, "I")})

xen_build_id = Struct("struct xen_build_id", 4, {"len": (0, "I")})
"""`len` bytes of the build id follow."""
