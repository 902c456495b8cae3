"""The part of libxl's record that says what libxl alone does: `DomainConfig.beyond`, and PVH and HVM.

Each key's place in the record is in a table; what is more than a value put in a place is below it.

Source: tools/xl/xl_parse.c (parse_config_data); libxl_types.idl.
"""

from __future__ import annotations

import os

from xentool.domain.config.model import GuestType
from xentool.domain.config.record.fields import HVM, PVH, SDL, SPICE, VNC, ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.config.yajl import Json

    Fields = dict[str, Json]

_PLACES: dict[str, str] = {
    "period": "sched_params.period",
    "extratime": "sched_params.extratime",
    "passthrough": "c_info.passthrough",
    "vpmu": "b_info.vpmu",
    "vmtrace_buf_kb": "b_info.vmtrace_buf_kb",
    "xenstore_feature_mask": "b_info.xenstore_feature_mask",
    "xend_suspend_evtchn_compat": "c_info.xend_suspend_evtchn_compat",
    "nestedhvm": "b_info.nested_hvm",
    "bootloader": "b_info.bootloader",
    "bootloader_args": "b_info.bootloader_args",
    "bootloader_restrict": "b_info.bootloader_restrict",
    "bootloader_user": "b_info.bootloader_user",
    "timer_mode": "b_info.timer_mode",
    "cpuid": "b_info.cpuid",
    "msr_relaxed": "arch_x86.msr_relaxed",
    "hap": "c_info.hap",
    "oos": "c_info.oos",
    "shadow_memory": "b_info.shadow_memkb",
    "altp2m": "b_info.altp2m",
    "altp2m_count": "b_info.altp2m_count",
    "altp2mhvm": "type.altp2m",
    "apic": "b_info.apic",
    "nx": "type.nx",
    "pae": "type.pae",
    "e820_host": "type.e820_host",
    "pvshim": "type.pvshim",
    "pvshim_path": "type.pvshim_path",
    "pvshim_cmdline": "type.pvshim_cmdline",
    "pvshim_extra": "type.pvshim_extra",
    "acpi": "b_info.acpi",
    "acpi_s3": "type.acpi_s3",
    "acpi_s4": "type.acpi_s4",
    "acpi_laptop_slate": "type.acpi_laptop_slate",
    "acpi_firmware": "type.acpi_firmware",
    "smbios_firmware": "type.smbios_firmware",
    "bios": "type.bios",
    "bios_path_override": "type.system_firmware",
    "firmware_override": "type.firmware",
    "boot": "type.boot",
    "hdtype": "type.hdtype",
    "hpet": "type.hpet",
    "hvm_pirq": "type.pirq",
    "vpt_align": "type.vpt_align",
    "mmio_hole": "type.mmio_hole_memkb",
    "xen_platform_pci": "type.xen_platform_pci",
    "xen_platform_pci_bar_uc": "type.xen_platform_pci_bar_uc",
    "vendor_device": "type.vendor_device",
    "videoram": "b_info.video_memkb",
    "nographic": "type.nographic",
    "soundhw": "type.soundhw",
    "usb": "type.usb",
    "usbversion": "type.usbversion",
    "vkb_device": "type.vkb_device",
    "rdm_mem_boundary": "type.rdm_mem_boundary_memkb",
    "spice": "spice.enable",
    "spicehost": "spice.host",
    "spiceport": "spice.port",
    "spicetls_port": "spice.tls_port",
    "spicedisable_ticketing": "spice.disable_ticketing",
    "spicepasswd": "spice.passwd",
    "spiceagent_mouse": "spice.agent_mouse",
    "spicevdagent": "spice.vdagent",
    "spice_clipboard_sharing": "spice.clipboard_sharing",
    "spiceusbredirection": "spice.usbredirection",
    "spice_image_compression": "spice.image_compression",
    "spice_streaming_video": "spice.streaming_video",
    "vnc": "vnc.enable",
    "vnclisten": "vnc.listen",
    "vncpasswd": "vnc.passwd",
    "vncdisplay": "vnc.display",
    "vncunused": "vnc.findunused",
    "sdl": "sdl.enable",
    "opengl": "sdl.opengl",
    "display": "sdl.display",
    "xauthority": "sdl.xauthority",
    "keymap": "type.keymap",
    "device_model_override": "b_info.device_model",
    "device_model_stubdomain_override": "b_info.device_model_stubdomain",
    "device_model_stubdomain_seclabel": "b_info.device_model_ssid_label",
    "device_model_user": "b_info.device_model_user",
    "device_model_args": "b_info.extra",
    "device_model_args_pv": "b_info.extra_pv",
    "device_model_args_hvm": "b_info.extra_hvm",
    "dm_restrict": "b_info.dm_restrict",
    "stubdomain_kernel": "b_info.stubdomain_kernel",
    "stubdomain_cmdline": "b_info.stubdomain_cmdline",
    "stubdomain_ramdisk": "b_info.stubdomain_ramdisk",
    "stubdomain_memory": "b_info.stubdomain_memkb",
    "irqs": "b_info.irqs",
}
"""Where a key's value goes; "type" is the part of the guest's type (libxl's "type.hvm" and the like)."""

_MEBIBYTES = ("shadow_memory", "mmio_hole", "videoram", "rdm_mem_boundary", "stubdomain_memory")
_FIRST = {"altp2m": "disabled", "hdtype": "ide", "passthrough": "default", "vendor_device": "none"}
"""The word that libxl starts with, and does not write."""
_ZERO_IS_A_CHOICE = (
    "shadow_memory", "mmio_hole", "videoram", "rdm_mem_boundary", "period", "extratime",
    "xenstore_feature_mask", "altp2m_count",
)  # fmt: skip
"""The numbers that libxl starts with something else than 0 in."""
_NOT_GIVEN_IF_EMPTY = ("bootloader", "seclabel", "init_seclabel", "firmware")


class Parts:
    """The structures of the record, by name, while they are filled: see `_PLACES`."""

    __slots__ = ("_parts",)

    def __init__(self, **parts: Fields) -> None:
        self._parts = parts

    def __getitem__(self, name: str) -> Fields:
        return self._parts.setdefault(name, {})

    def put(self, place: str, value: Json) -> None:
        """Set a field, by "PART.FIELD"."""
        part, _, field = place.partition(".")
        self[part][field] = value


def add_further(parts: Parts, config: DomainConfig) -> None:
    """Put what `config.beyond` says into the record's parts; the devices are in `devices`."""
    in_framebuffer = config.type == GuestType.PV
    for name, value in config.beyond.items():
        place = _PLACES.get(name)
        if place is None or (in_framebuffer and place.startswith(("vnc.", "sdl.", "type.keymap"))):
            continue
        if (value == "" and name in _NOT_GIVEN_IF_EMPTY) or value == ():
            continue
        if value == 0 and not isinstance(value, bool) and name not in _ZERO_IS_A_CHOICE:
            continue
        if value == {} or value == _FIRST.get(name):
            continue
        parts.put(place, json_of(value, 1024 if name in _MEBIBYTES else 1))
    for name, add in _OWN_WAYS.items():
        if name in config.beyond and config.beyond[name] not in ("", ()):
            add(parts, config, config.beyond[name])


def json_of(value: object, unit: int = 1) -> Json:
    """A checked value as libxl's JSON has it: a flag has a third state there, and so is a word."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return value * unit
    if isinstance(value, tuple):
        return [_nested(item) for item in value]
    return _nested(value)


def _nested(value: object) -> Json:
    if isinstance(value, dict):
        return {str(name): _nested(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_nested(item) for item in value]
    assert isinstance(value, (str, int)), value
    return value


def type_part(parts: Parts, guest_type: GuestType) -> Fields:
    """The structure of the guest's type, in libxl's order."""
    fields = parts["type"]
    if guest_type == GuestType.PV:
        return fields
    if guest_type == GuestType.PVH:
        return ordered(fields, PVH)
    fields |= {
        "vga": parts["vga"],
        "vnc": ordered(parts["vnc"], VNC),
        "sdl": ordered(parts["sdl"], SDL),
        "spice": ordered(parts["spice"], SPICE),
        "rdm": parts["rdm"],
    }
    return ordered(fields, HVM)


def _seclabel(parts: Parts, config: DomainConfig, value: object) -> None:
    """The label of the guest; with ``init_seclabel`` it takes it once it is built."""
    place = "b_info.exec_ssid_label" if config.beyond.get("init_seclabel") else "c_info.ssid_label"
    parts.put(place, str(value))


def _init_seclabel(parts: Parts, _config: DomainConfig, value: object) -> None:
    parts.put("c_info.ssid_label", str(value))


def _firmware(parts: Parts, config: DomainConfig, value: object) -> None:
    text = str(value)
    if config.type != GuestType.HVM:
        parts.put("b_info.kernel", firmware_path(text))
    elif text.lower() in ("rombios", "seabios", "ovmf"):
        parts.put("type.bios", text.lower())
    elif text == "uefi":
        parts.put("type.bios", "ovmf")
    elif text != "bios":
        parts.put("type.firmware", text)


FIRMWARE_FOLDERS = ("/usr/lib/xen/boot", "/usr/libexec/xen/boot", "/usr/local/lib/xen/boot")


def firmware_path(name: str) -> str:
    """Where a firmware of Xen's, ``pvgrub64``, lies on this host; where it would if it lies nowhere.

    xl has its own folder compiled in (XENFIRMWAREDIR); Debian's has the release in its name.
    """
    try:
        versions = sorted(entry for entry in os.listdir("/usr/lib") if entry.startswith("xen-"))
    except OSError:
        versions = []
    folders = [f"/usr/lib/{version}/boot" for version in reversed(versions)]
    folders += FIRMWARE_FOLDERS
    paths = [f"{folder}/{name}.bin" for folder in folders]
    there = [folder for folder in folders if os.path.isdir(folder)]
    return next(
        (path for path in paths if os.path.exists(path)), f"{(there or FIRMWARE_FOLDERS)[0]}/{name}.bin"
    )


def _vga(parts: Parts, _config: DomainConfig, value: object) -> None:
    parts.put("vga.kind", "std" if value == "stdvga" else str(value))


def _stdvga(parts: Parts, config: DomainConfig, value: object) -> None:
    if not config.beyond.get("vga"):
        parts.put("vga.kind", "std" if value else "cirrus")


def _gfx_passthru(parts: Parts, _config: DomainConfig, value: object) -> None:
    if isinstance(value, str) and value != "default":
        parts.put("type.gfx_passthru_kind", value)
    parts.put("type.gfx_passthru", str(value is not False))


def _one_or_list(parts: Parts, name: str, value: object) -> None:
    if isinstance(value, tuple):
        parts.put(f"type.{name}_list", json_of(value))
    else:
        parts.put(f"type.{name}", str(value))


def _viridian(parts: Parts, _config: DomainConfig, value: object) -> None:
    from xentool.domain.config.further.lists import ENLIGHTENMENTS

    if not isinstance(value, tuple):
        parts.put("type.viridian", str(value))
        return
    enabled: set[int] = set()
    disabled: set[int] = set()
    for word in value:
        if word == "all":
            enabled = set(range(VIRIDIAN_BITS))
        elif word == "defaults":
            parts.put("type.viridian", "True")
        else:
            bit = ENLIGHTENMENTS.index(word.removeprefix("!"))
            on, off = (disabled, enabled) if word.startswith("!") else (enabled, disabled)
            on.add(bit)
            off.discard(bit)
    for name, bits in (("enable", enabled), ("disable", disabled)):
        if bits:
            parts.put(f"type.viridian_{name}", [*sorted(bits)])


VIRIDIAN_BITS = 64
"""LIBXL_BUILDINFO_HVM_VIRIDIAN_ENABLE_DISABLE_WIDTH."""


def _smbios(parts: Parts, _config: DomainConfig, value: object) -> None:
    assert isinstance(value, tuple)
    pairs = [item.partition("=") for item in value]
    parts.put("type.smbios", [{"key": kind, "value": text} for kind, _, text in pairs])


def _genid(parts: Parts, _config: DomainConfig, value: object) -> None:
    """A new one with each create: that is what it is for."""
    if value == "generate":
        parts.put("type.ms_vm_genid", [*os.urandom(16)])


def _mca_caps(parts: Parts, _config: DomainConfig, _value: object) -> None:
    parts.put("type.mca_caps", 1)  # XEN_HVM_MCA_CAP_LMCE, the only one


def _rdm(parts: Parts, _config: DomainConfig, value: object) -> None:
    assert isinstance(value, dict)
    parts["rdm"].update(value)


def _device_model_version(parts: Parts, _config: DomainConfig, value: object) -> None:
    parts.put("b_info.device_model_version", str(value).replace("-", "_"))


def _vnuma(parts: Parts, _config: DomainConfig, value: object) -> None:
    assert isinstance(value, tuple)
    if any("pnode" in node for node in value):
        parts.put("b_info.numa_placement", "False")
    nodes: list[Json] = []
    for node in value:
        order = ("memkb", "distances", "pnode", "vcpus")
        nodes.append({name: _nested(node[name]) for name in order if node.get(name)})
    parts.put("b_info.vnuma_nodes", nodes)


def _ioports(parts: Parts, _config: DomainConfig, value: object) -> None:
    assert isinstance(value, tuple)
    ranges = [{"first": first, "number": last - first + 1} for first, last in value]
    parts.put("b_info.ioports", [{name: item for name, item in one.items() if item} for one in ranges])


def _iomem(parts: Parts, _config: DomainConfig, value: object) -> None:
    assert isinstance(value, tuple)
    ranges: list[Json] = []
    for start, number, guest in value:
        one: Fields = {"start": start} if start else {}
        ranges.append(one | {"number": number} | ({} if guest is None else {"gfn": guest}))
    parts.put("b_info.iomem", ranges)


def _llc_colors(parts: Parts, _config: DomainConfig, value: object) -> None:
    assert isinstance(value, tuple)
    parts.put("b_info.llc_colors", [color for first, last in value for color in range(first, last + 1)])


def _xenstore_quota(parts: Parts, _config: DomainConfig, value: object) -> None:
    assert isinstance(value, tuple)
    pairs = [item.partition("=") for item in value]
    parts.put(
        "b_info.xenstore_quota", {"quota": [{"name": name, "val": int(text)} for name, _, text in pairs]}
    )


_OWN_WAYS = {
    "seclabel": _seclabel,
    "init_seclabel": _init_seclabel,
    "firmware": _firmware,
    "vga": _vga,
    "stdvga": _stdvga,
    "gfx_passthru": _gfx_passthru,
    "serial": lambda parts, _config, value: _one_or_list(parts, "serial", value),
    "usbdevice": lambda parts, _config, value: _one_or_list(parts, "usbdevice", value),
    "viridian": _viridian,
    "smbios": _smbios,
    "ms_vm_genid": _genid,
    "mca_caps": _mca_caps,
    "rdm": _rdm,
    "device_model_version": _device_model_version,
    "vnuma": _vnuma,
    "ioports": _ioports,
    "iomem": _iomem,
    "llc_colors": _llc_colors,
    "xenstore_quota": _xenstore_quota,
}
"""The keys that say more than one field, or say it in other words; what xl reads later comes later."""
