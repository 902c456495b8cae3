"""The functions of libxl that we call, and what they take.

What all structures and all devices have in common follows from their names (`FAMILIES`), as
libxl generates these functions from one description. The others are listed: those of `NEEDED`
are looked for when the library is loaded.

Source: libxl.h, libxl_event.h, libxl_utils.h, libxl_json.h (the same from 4.14 to 4.21);
xentoollog.h; poll(2), fdopen(3).
"""

from __future__ import annotations

from xentool.cfunctions import (
    Structure,
    c_char_p,
    c_int,
    c_int64,
    c_long,
    c_uint32,
    c_uint64,
    c_ulong,
    c_void_p,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class TimeOfDay(Structure):
    """struct timeval, which libxl takes by value."""

    _fields_: ClassVar = [("seconds", c_long), ("microseconds", c_long)]


CTX = HOW = STRUCT = OUT = c_void_p
"""A libxl_ctx, a libxl_asyncop_how, one of libxl's structures, and where an answer goes: by its address."""
DOMID = FLAGS = c_uint32
RC = c_int

FAMILIES: tuple[tuple[str, object, list[object]], ...] = (
    ("_from_json", RC, [CTX, STRUCT, c_char_p]),
    ("_to_json", c_void_p, [CTX, STRUCT]),
    ("_init", None, [STRUCT]),
    ("_dispose", None, [STRUCT]),
    ("_list_free", None, [STRUCT, c_int]),
)
"""What a function is whose name ends so, unless it is listed."""
DEVICE_FAMILIES: tuple[tuple[str, object, list[object]], ...] = (
    ("_add", RC, [CTX, DOMID, STRUCT, HOW]),
    ("_remove", RC, [CTX, DOMID, STRUCT, HOW]),
    ("_destroy", RC, [CTX, DOMID, STRUCT, HOW]),
    ("_list", c_void_p, [CTX, DOMID, OUT]),
    ("_getinfo", RC, [CTX, DOMID, STRUCT, STRUCT]),
)
"""The same for names that begin with libxl_device_."""

NEEDED: dict[str, tuple[object, list[object]]] = {
    "libxl_ctx_alloc": (RC, [OUT, c_int, c_uint32, c_void_p]),
    "libxl_ctx_free": (RC, [CTX]),
    "libxl_childproc_setmode": (None, [CTX, OUT, c_void_p]),
    "libxl_event_register_callbacks": (None, [CTX, OUT, c_void_p]),
    "libxl_osevent_beforepoll": (
        RC, [CTX, OUT, OUT, OUT, TimeOfDay],
    ),
    "libxl_osevent_afterpoll": (None, [CTX, c_int, OUT, TimeOfDay]),
    "libxl_event_check": (RC, [CTX, OUT, c_uint64, c_void_p, c_void_p]),
    "libxl_event_free": (None, [CTX, c_void_p]),
    "libxl_event_to_json": (c_void_p, [CTX, STRUCT]),
    "libxl_ao_abort": (RC, [CTX, HOW]),
    "libxl_list_domain": (c_void_p, [CTX, OUT]),
    "libxl_domain_info": (RC, [CTX, STRUCT, DOMID]),
    "libxl_domid_to_name": (c_void_p, [CTX, DOMID]),
    "libxl_domain_create_new": (RC, [CTX, STRUCT, OUT, HOW, c_void_p]),
    "libxl_domain_create_restore": (
        RC, [CTX, STRUCT, OUT, c_int, c_int, STRUCT, HOW, c_void_p],
    ),
    "libxl_domain_config_copy": (None, [CTX, STRUCT, STRUCT]),
    "libxl_retrieve_domain_configuration": (RC, [CTX, DOMID, STRUCT, HOW]),
    "libxl_domain_suspend": (RC, [CTX, DOMID, c_int, c_int, HOW]),
    "libxl_domain_resume": (RC, [CTX, DOMID, c_int, HOW]),
    "libxl_domain_destroy": (RC, [CTX, DOMID, HOW]),
    "libxl_domain_pause": (RC, [CTX, DOMID, HOW]),
    "libxl_domain_unpause": (RC, [CTX, DOMID, HOW]),
    "libxl_domain_shutdown": (RC, [CTX, DOMID, HOW]),
    "libxl_domain_reboot": (RC, [CTX, DOMID, HOW]),
    "libxl_domain_rename": (RC, [CTX, DOMID, c_char_p, c_char_p]),
    "libxl_send_trigger": (RC, [CTX, DOMID, c_int, c_uint32, HOW]),
    "libxl_domain_need_memory": (RC, [CTX, STRUCT, DOMID, OUT]),
    "libxl_get_free_memory": (RC, [CTX, OUT]),
    "libxl_domain_setmaxmem": (RC, [CTX, DOMID, c_uint64]),
    "libxl_set_memory_target": (RC, [CTX, DOMID, c_int64, c_int, c_int]),
    "libxl_get_memory_target": (RC, [CTX, DOMID, OUT]),
    "libxl_list_vcpu": (c_void_p, [CTX, DOMID, OUT, OUT]),
    "libxl_set_vcpuonline": (RC, [CTX, DOMID, STRUCT, HOW]),
    "libxl_set_vcpuaffinity": (RC, [CTX, DOMID, c_uint32, STRUCT, STRUCT]),
    "libxl_bitmap_alloc": (RC, [CTX, STRUCT, c_int]),
    "libxl_bitmap_set": (None, [STRUCT, c_int]),
    "libxl_bitmap_test": (c_int, [STRUCT, c_int]),
    "libxl_get_max_cpus": (c_int, [CTX]),
    "libxl_get_version_info": (c_void_p, [CTX]),
    "libxl_get_physinfo": (RC, [CTX, STRUCT]),
    "libxl_get_freecpus": (RC, [CTX, STRUCT]),
    "libxl_get_scheduler": (c_int, [CTX]),
    "libxl_scheduler_to_string": (c_char_p, [c_int]),
    "libxl_userdata_store": (RC, [CTX, DOMID, c_char_p, c_char_p, c_int]),
    "libxl_userdata_retrieve": (RC, [CTX, DOMID, c_char_p, OUT, OUT]),
    "libxl_cdrom_insert": (RC, [CTX, DOMID, STRUCT, HOW]),
    "libxl_xen_console_read_start": (c_void_p, [CTX, c_int]),
    "libxl_xen_console_read_line": (RC, [CTX, c_void_p, OUT]),
    "libxl_xen_console_read_finish": (None, [CTX, c_void_p]),
}  # fmt: skip

OPTIONAL: dict[str, tuple[object, list[object]]] = {
    "libxl_device_disk_safe_remove": (RC, [CTX, DOMID, STRUCT, HOW]),
    "libxl_device_channel_list": (c_void_p, [CTX, DOMID, OUT]),
    "libxl_device_9pfs_add": (RC, [CTX, DOMID, STRUCT, HOW]),
}
"""What one may ask for and some libxl has not."""

STRUCTS = (
    "domain_config", "dominfo", "domain_restore_params", "device_disk", "device_nic", "diskinfo", "nicinfo",
    "physinfo", "vcpuinfo", "event",
)  # fmt: skip
"""The structures without which nothing goes: each must have its four functions, and a size."""

TOOLLOG: dict[str, tuple[object, list[object]]] = {
    "xtl_createlogger_stdiostream": (c_void_p, [c_void_p, c_int, FLAGS]),
    "xtl_logger_destroy": (None, [c_void_p]),
}

LIBC: dict[str, tuple[object, list[object]]] = {
    "free": (None, [c_void_p]),
    "fdopen": (c_void_p, [c_int, c_char_p]),
    "fclose": (c_int, [c_void_p]),
    "poll": (c_int, [OUT, c_ulong, c_int]),
    "sync_file_range": (c_int, [c_int, c_int64, c_int64, c_uint32]),
}


def signature(name: str) -> tuple[object, list[object]] | None:
    """What the function returns and takes; None if it is none that we know."""
    known = NEEDED.get(name) or OPTIONAL.get(name) or TOOLLOG.get(name)
    if known is not None:
        return known
    families = FAMILIES + (DEVICE_FAMILIES if name.startswith("libxl_device_") else ())
    for ending, result, arguments in families:
        if name.endswith(ending):
            return result, arguments
    return None
