"""What libxl says about the host: xl's keys and values, and Xen's own messages.

Source: tools/xl/xl_info.c (output_xeninfo, output_physinfo, main_dmesg); libxl_types.idl.
"""

from __future__ import annotations

import os

from xentool.cfunctions import byref, c_void_p, string_at
from xentool.toolstack.libxl.struct import Struct
from xentool.toolstack.views import HostView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xentool.domain.host import Host
    from xentool.toolstack.libxl.context import Context

PHYSINFO_CAPS = (
    ("cap_pv", "pv"), ("cap_hvm", "hvm"), ("cap_hvm_directio", "hvm_directio"),
    ("cap_pv_directio", "pv_directio"), ("cap_hap", "hap"), ("cap_shadow", "shadow"),
    ("cap_iommu_hap_pt_share", "iommu_hap_pt_share"), ("cap_vmtrace", "vmtrace"), ("cap_vpmu", "vpmu"),
    ("cap_gnttab_v1", "gnttab-v1"), ("cap_gnttab_v2", "gnttab-v2"),
)  # fmt: skip
"""libxl_physinfo's fields and xl's words for them, in its order."""


def host_view(host: Host, context: Context) -> HostView:
    """The host, as ``xl info`` shows it."""
    node = os.uname()
    facts = {"host": node.nodename, "release": node.release, "version": node.version, "machine": node.machine}
    facts |= _hardware(context)
    # libxl says four of its eight words (libxl_hwcap_gen_json).
    facts["hw_caps"] = ":".join(f"{word:08x}" for word in host.hypercalls.physinfo().hw_cap)
    facts |= _xen(context)
    facts["xend_config_format"] = "4"
    return HostView(facts)


def version_info(context: Context) -> dict[str, object]:
    """libxl_version_info. libxl keeps the structure itself."""
    address = context.library.function("libxl_get_version_info")(context.handle)
    return context.read("version_info", address)


def physinfo(context: Context) -> dict[str, object]:
    """libxl_physinfo."""
    with Struct(context, "physinfo") as found:
        context.call("ask for", "the host's hardware", "libxl_get_physinfo", found.address)
        return found.read()


def _number(facts: Mapping[str, object], key: str) -> int:
    value = facts.get(key, 0)
    return value if isinstance(value, int) else 0


def _hardware(context: Context) -> dict[str, str]:
    info = physinfo(context)
    version = version_info(context)
    page = _number(version, "pagesize") or 4096
    mib = (1 << 20) // page
    khz = _number(info, "cpu_khz")
    caps = [word for field, word in PHYSINFO_CAPS if info.get(field)]
    return {
        "nr_cpus": str(_number(info, "nr_cpus")),
        "max_cpu_id": str(_number(info, "max_cpu_id")),
        "nr_nodes": str(_number(info, "nr_nodes")),
        "cores_per_socket": str(_number(info, "cores_per_socket")),
        "threads_per_core": str(_number(info, "threads_per_core")),
        "cpu_mhz": f"{khz // 1000}.{khz % 1000:03d}",
        "hw_caps": "",
        "virt_caps": " ".join(caps),
        "total_memory": str(_number(info, "total_pages") // mib),
        "free_memory": str((_number(info, "free_pages") - _number(info, "outstanding_pages")) // mib),
        "sharing_freed_memory": str(_number(info, "sharing_freed_pages") // mib),
        "sharing_used_memory": str(_number(info, "sharing_used_frames") // mib),
        "outstanding_claims": str(_number(info, "outstanding_pages") // mib),
        "free_cpus": str(len(free_cpus(context))),
    }


def free_cpus(context: Context) -> list[int]:
    """The CPUs that are in no cpupool."""
    with Struct(context, "bitmap") as found:
        context.call("ask for", "the free CPUs", "libxl_get_freecpus", found.address)
        test = context.library.function("libxl_bitmap_test")
        most = context.library.function("libxl_get_max_cpus")(context.handle)
        return [cpu for cpu in range(most) if test(found.address, cpu)]


def _xen(context: Context) -> dict[str, str]:
    told = version_info(context)
    major, minor = _number(told, "xen_version_major"), _number(told, "xen_version_minor")
    scheduler = context.library.function("libxl_get_scheduler")(context.handle)
    word = context.library.text("libxl_scheduler_to_string", scheduler)
    extra = str(told.get("xen_version_extra", ""))
    return {
        "xen_major": str(major),
        "xen_minor": str(minor),
        "xen_extra": extra,
        "xen_version": f"{major}.{minor}{extra}",
        "xen_caps": str(told.get("capabilities", "")),
        "xen_scheduler": word,
        "xen_pagesize": str(_number(told, "pagesize")),
        "platform_params": f"virt_start={_number(told, 'virt_start'):#x}",
        "xen_changeset": str(told.get("changeset", "")),
        "xen_commandline": str(told.get("commandline", "")),
        "cc_compiler": str(told.get("compiler", "")),
        "cc_compile_by": str(told.get("compile_by", "")),
        "cc_compile_domain": str(told.get("compile_domain", "")),
        "cc_compile_date": str(told.get("compile_date", "")),
        "build_id": str(told.get("build_id", "")),
    }


def dmesg(context: Context, *, clear: bool = False) -> Iterator[str]:
    """Xen's messages, in pieces; with `clear` Xen forgets them.

    Raises:
        LibxlError: they cannot be read.
    """
    reader = context.library.function("libxl_xen_console_read_start")(context.handle, int(clear))
    text = c_void_p()
    try:
        while context.call("read", "Xen's messages", "libxl_xen_console_read_line", reader, byref(text)) > 0:
            if text.value:
                yield string_at(text.value).decode("utf-8", "replace")
    finally:
        context.library.function("libxl_xen_console_read_finish")(context.handle, reader)
