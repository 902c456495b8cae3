"""Grant tables, version 1.

Source: public/grant_table.h.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

GNTTAB_NR_RESERVED_ENTRIES = 8
GNTTAB_RESERVED_CONSOLE = 0
GNTTAB_RESERVED_XENSTORE = 1

GTF_invalid = 0
GTF_permit_access = 1
GTF_accept_transfer = 2
GTF_transitive = 3
GTF_type_mask = 3
GTF_readonly = 1 << 2
GTF_reading = 1 << 3
GTF_writing = 1 << 4
GTF_PWT = 1 << 5
GTF_PCD = 1 << 6
GTF_PAT = 1 << 7
GTF_sub_page = 1 << 8

GNTTABOP_map_grant_ref = 0
GNTTABOP_unmap_grant_ref = 1
GNTTABOP_setup_table = 2
GNTTABOP_dump_table = 3
GNTTABOP_transfer = 4
GNTTABOP_copy = 5
GNTTABOP_query_size = 6
GNTTABOP_unmap_and_replace = 7
GNTTABOP_set_version = 8
GNTTABOP_get_status_frames = 9
GNTTABOP_get_version = 10

GNTMAP_device_map = 1 << 0
GNTMAP_host_map = 1 << 1
GNTMAP_readonly = 1 << 2

GNTST_okay = 0
GNTST_general_error = -1
GNTST_bad_domain = -2
GNTST_bad_gntref = -3
GNTST_bad_handle = -4
GNTST_bad_virt_addr = -5
GNTST_bad_dev_addr = -6
GNTST_no_device_space = -7
GNTST_permission_denied = -8
GNTST_bad_page = -9
GNTST_bad_copy_arg = -10
GNTST_address_too_big = -11
GNTST_eagain = -12
GNTST_no_space = -13

grant_entry_v1 = Struct("struct grant_entry_v1", 8, {"flags": (0, "H"), "domid": (2, "H"), "frame": (4, "I")})

gnttab_setup_table = Struct(
    "struct gnttab_setup_table",
    24,
    {"dom": (0, "H"), "nr_frames": (4, "I"), "status": (8, "h"), "frame_list": (16, "Q")},
)

gnttab_query_size = Struct(
    "struct gnttab_query_size",
    16,
    {"dom": (0, "H"), "nr_frames": (4, "I"), "max_nr_frames": (8, "I"), "status": (12, "h")},
)
