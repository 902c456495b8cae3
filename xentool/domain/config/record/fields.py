"""The fields of libxl's structures in libxl's order, in which its JSON has them.

Structures within a structure are always there, {} if nothing in them is set; all else is left out
where it is as libxl starts with it.

Source: tools/libs/light/libxl_types.idl of 4.17 to 4.21; gentypes.py (get_default_expr).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.domain.config.yajl import Json

# fmt: off
DOMAIN_CONFIG = (
    "c_info", "b_info", "disks", "nics", "pcidevs", "rdms", "dtdevs", "vfbs", "vkbs", "virtios",
    "vtpms", "p9s", "pvcallsifs", "vdispls", "vsnds", "channels", "usbctrls", "usbdevs", "on_poweroff",
    "on_reboot", "on_watchdog", "on_crash", "on_soft_reset",
)
CREATE_INFO = (
    "type", "hap", "oos", "ssidref", "ssid_label", "name", "domid", "uuid", "xsdata", "platformdata",
    "poolid", "pool_name", "run_hotplug_scripts", "driver_domain", "passthrough",
    "xend_suspend_evtchn_compat",
)
BUILD_INFO = (
    "max_vcpus", "avail_vcpus", "cpumap", "nodemap", "vcpu_hard_affinity", "vcpu_soft_affinity",
    "numa_placement", "tsc_mode", "max_memkb", "target_memkb", "video_memkb", "shadow_memkb",
    "iommu_memkb", "rtc_timeoffset", "exec_ssidref", "exec_ssid_label", "localtime", "disable_migrate",
    "cpuid", "blkdev_start", "vnuma_nodes", "max_grant_frames", "max_maptrack_frames",
    "max_grant_version", "device_model_version", "device_model_stubdomain", "stubdomain_memkb",
    "stubdomain_kernel", "stubdomain_cmdline", "stubdomain_ramdisk", "device_model",
    "device_model_ssidref", "device_model_ssid_label", "device_model_user", "extra", "extra_pv",
    "extra_hvm", "sched_params", "ioports", "irqs", "iomem", "llc_colors", "claim_mode",
    "event_channels", "kernel", "cmdline", "ramdisk", "device_tree", "acpi", "bootloader",
    "bootloader_args", "bootloader_restrict", "bootloader_user", "timer_mode", "nested_hvm", "apic",
    "dm_restrict", "tee", "type.hvm", "type.pv", "type.pvh", "arch_arm", "arch_x86", "altp2m",
    "altp2m_count", "vmtrace_buf_kb", "vpmu", "trap_unmapped_accesses", "xenstore_feature_mask",
    "xenstore_quota",
)
SCHED_PARAMS = ("sched", "weight", "cap", "period", "budget", "extratime", "slice", "latency")
HVM = (
    "firmware", "bios", "pae", "apic", "acpi", "acpi_s3", "acpi_s4", "acpi_laptop_slate", "nx",
    "viridian", "viridian_enable", "viridian_disable", "timeoffset", "hpet", "vpt_align",
    "mmio_hole_memkb", "timer_mode", "nested_hvm", "altp2m", "system_firmware", "smbios_firmware",
    "smbios", "acpi_firmware", "hdtype", "nographic", "vga", "vnc", "keymap", "sdl", "spice",
    "gfx_passthru", "gfx_passthru_kind", "serial", "boot", "usb", "usbversion", "usbdevice",
    "vkb_device", "soundhw", "xen_platform_pci", "xen_platform_pci_bar_uc", "usbdevice_list",
    "vendor_device", "ms_vm_genid", "serial_list", "rdm", "rdm_mem_boundary_memkb", "mca_caps", "pirq",
)
PVH = ("pvshim", "pvshim_path", "pvshim_cmdline", "pvshim_extra")
VNC = ("enable", "listen", "passwd", "display", "findunused")
SDL = ("enable", "opengl", "display", "xauthority")
SPICE = (
    "enable", "port", "tls_port", "host", "disable_ticketing", "passwd", "agent_mouse", "vdagent",
    "clipboard_sharing", "usbredirection", "image_compression", "streaming_video",
)
VFB = ("backend_domid", "backend_domname", "devid", "vnc", "sdl", "keymap")
VKB = (
    "backend_domid", "backend_domname", "devid", "backend_type", "unique_id",
    "feature_disable_keyboard", "feature_disable_pointer", "feature_abs_pointer", "feature_raw_pointer",
    "feature_multi_touch", "width", "height", "multi_touch_width", "multi_touch_height",
    "multi_touch_num_contacts",
)
PCI = (
    "func", "dev", "bus", "domain", "vdevfn", "vfunc_mask", "msitranslate", "power_mgmt", "permissive",
    "seize", "rdm_policy", "name",
)
USBCTRL = ("type", "devid", "version", "ports", "backend_domid", "backend_domname")
USBDEV = ("ctrl", "port", "type.hostdev")
VTPM = ("backend_domid", "backend_domname", "devid", "uuid")
P9 = (
    "backend_domid", "backend_domname", "tag", "path", "security_model", "devid", "type", "max_space",
    "max_files", "max_open_files", "auto_delete",
)
PVCALLSIF = ("backend_domid", "backend_domname", "devid")
VDISPL = ("backend_domid", "backend_domname", "devid", "be_alloc", "connectors")
VSND = ("backend_domid", "backend_domname", "devid", "short_name", "long_name", "params", "pcms")
VSND_PARAMS = ("sample_rates", "sample_formats", "channels_min", "channels_max", "buffer_size")
# fmt: on


def ordered(values: Mapping[str, Json], order: tuple[str, ...]) -> dict[str, Json]:
    """`values` in the order of a structure's fields, all of which it must have."""
    found = {name: values[name] for name in order if name in values}
    assert len(found) == len(values), sorted(values.keys() - found.keys())
    return found
