"""Reservations, memory maps and resources of domains.

Source: public/memory.h; the E820 entry: tools/include/xenctrl.h, as the BIOS has it
(ACPI specification, 15.2).
"""

from __future__ import annotations

from xentool.abi.layout import Struct

XENMEM_increase_reservation = 0
XENMEM_decrease_reservation = 1
XENMEM_maximum_ram_page = 2
XENMEM_current_reservation = 3
XENMEM_maximum_reservation = 4
XENMEM_machphys_mfn_list = 5
XENMEM_populate_physmap = 6
XENMEM_add_to_physmap = 7
XENMEM_memory_map = 9
XENMEM_machine_memory_map = 10
XENMEM_exchange = 11
XENMEM_machphys_mapping = 12
XENMEM_set_memory_map = 13
XENMEM_maximum_gpfn = 14
XENMEM_remove_from_physmap = 15
XENMEM_get_sharing_freed_pages = 18
XENMEM_get_sharing_shared_pages = 19
XENMEM_claim_pages = 24
XENMEM_machphys_compat_mfn_list = 25
XENMEM_get_vnumainfo = 26
XENMEM_reserved_device_memory_map = 27
XENMEM_acquire_resource = 28

XENMEMF_populate_on_demand = 1 << 16
XENMEMF_exact_node_request = 1 << 17
XENMEMF_vnode = 1 << 18

XENMEM_resource_ioreq_server = 0
XENMEM_resource_grant_table = 1
XENMEM_resource_vmtrace_buf = 2
XENMEM_resource_grant_table_id_shared = 0
XENMEM_resource_grant_table_id_status = 1

E820_RAM = 1
E820_RESERVED = 2
E820_ACPI = 3
E820_NVS = 4

xen_memory_reservation = Struct(
    "struct xen_memory_reservation",
    32,
    {
        "extent_start": (0, "Q"),
        "nr_extents": (8, "Q"),
        "extent_order": (16, "I"),
        "mem_flags": (20, "I"),
        "domid": (24, "H"),
    },
)

xen_memory_domain = Struct("struct xen_memory_domain", 2, {"domid": (0, "H")})

xen_memory_map = Struct("struct xen_memory_map", 16, {"nr_entries": (0, "I"), "buffer": (8, "Q")})

xen_foreign_memory_map = Struct(
    "struct xen_foreign_memory_map",
    24,
    {"domid": (0, "H"), "nr_entries": (8, "I", "map.nr_entries"), "buffer": (16, "Q", "map.buffer")},
)

xen_add_to_physmap = Struct(
    "struct xen_add_to_physmap",
    24,
    {"domid": (0, "H"), "size": (2, "H"), "space": (4, "I"), "idx": (8, "Q"), "gpfn": (16, "Q")},
)

xen_remove_from_physmap = Struct("struct xen_remove_from_physmap", 16, {"domid": (0, "H"), "gpfn": (8, "Q")})

xen_mem_acquire_resource = Struct(
    "struct xen_mem_acquire_resource",
    32,
    {
        "domid": (0, "H"),
        "type": (2, "H"),
        "id": (4, "I"),
        "nr_frames": (8, "I"),
        "pad": (12, "I"),
        "frame": (16, "Q"),
        "frame_list": (24, "Q"),
    },
)

e820entry = Struct("struct e820entry", 20, {"addr": (0, "Q"), "size": (8, "Q"), "type": (16, "I")})
