"""The devices in libxl's record that libxl alone makes, list by list.

Source: tools/xl/xl_parse.c (parse_config_data: which of them have numbers); libxl_types.idl.
"""

from __future__ import annotations

from xentool.domain.config.model import GuestType
from xentool.domain.config.record import fields as order
from xentool.domain.config.record.fields import ordered
from xentool.domain.config.record.further import json_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.config.record.further import Parts
    from xentool.domain.config.yajl import Json

    Fields = dict[str, Json]

XEN_LOGS = "/var/log/xen"
_PCI_DEFAULTS = {
    "msitranslate": "pci_msitranslate", "power_mgmt": "pci_power_mgmt", "permissive": "pci_permissive",
    "seize": "pci_seize",
}  # fmt: skip
"""The fields of a PCI device that have a default in the config, and the key of each."""
_NUMBERED = {
    "vtpm": ("vtpms", order.VTPM),
    "pvcalls": ("pvcallsifs", order.PVCALLSIF),
    "vdispl": ("vdispls", order.VDISPL),
    "usbctrl": ("usbctrls", order.USBCTRL),
}
"""The kinds whose entries are put down as they are, each with its place as its number."""


def add_devices(parts: Parts, config: DomainConfig) -> None:
    """Put the lists of devices into ``parts["config"]``."""
    lists = parts["config"]
    given = config.beyond
    for kind, (name, fields) in _NUMBERED.items():
        entries = [_plain(entry, number) for number, entry in enumerate(_entries(given.get(kind)))]
        _add(lists, name, [ordered(entry, fields) for entry in entries])
    folders = [_with_path(_plain(entry), config.name) for entry in _entries(given.get("p9"))]
    _add(lists, "p9s", [ordered(entry, order.P9) for entry in folders])
    _add(lists, "pcidevs", [_pci(entry, config) for entry in _entries(given.get("pci"))])
    _add(lists, "usbdevs", [_usbdev(entry) for entry in _entries(given.get("usbdev"))])
    _add(lists, "vsnds", [_vsnd(entry, number) for number, entry in enumerate(_entries(given.get("vsnd")))])
    _add_displays(lists, config)
    if "pcidevs" in lists and config.type == GuestType.PV:
        parts.put("type.e820_host", "True")  # the guest must see where the host's devices are


def _entries(given: object) -> tuple[Mapping[str, object], ...]:
    return given if isinstance(given, tuple) else ()


def _add(lists: Fields, name: str, entries: list[Fields]) -> None:
    if entries:
        lists[name] = [*entries]


def _plain(entry: Mapping[str, object], number: int | None = None) -> Fields:
    """An entry as JSON; a flag of a device is true or false there, for want of a third state."""
    fields: Fields = {} if number is None else {"devid": number}
    for name, value in entry.items():
        fields[name] = value if isinstance(value, (str, int)) else json_of(value)
    return fields


def _with_path(entry: Fields, domain: str) -> Fields:
    if entry.get("type") == "xen_9pfsd" and "path" not in entry:
        return entry | {"path": f"{XEN_LOGS}/guests/{domain}"}
    return entry


def _pci(entry: Mapping[str, object], config: DomainConfig) -> Fields:
    fields: Fields = {}
    rdm = config.beyond.get("rdm")
    if isinstance(rdm, dict) and "policy" in rdm:
        fields["rdm_policy"] = rdm["policy"]
    for name, key in _PCI_DEFAULTS.items():
        if config.beyond.get(key):
            fields[name] = True
    fields |= _plain(entry)
    return ordered({name: value for name, value in fields.items() if value not in (0, False)}, order.PCI)


def _usbdev(entry: Mapping[str, object]) -> Fields:
    fields = _plain(entry)
    fields.pop("type", None)
    host: Fields = {name: fields.pop(f"hostdev.{name}") for name in ("hostbus", "hostaddr")}
    return ordered(fields | {"type.hostdev": host}, order.USBDEV)


def _vsnd(entry: Mapping[str, object], number: int) -> Fields:
    fields = _split(
        _plain({name: value for name, value in entry.items() if name != "pcms"}, number), "params"
    )
    fields["params"] = ordered(_part(fields, "params"), order.VSND_PARAMS)
    pcms = [_pcm(pcm) for pcm in _entries(entry.get("pcms"))]
    _add(fields, "pcms", pcms)
    return ordered(fields, order.VSND)


def _pcm(entry: Mapping[str, object]) -> Fields:
    fields = _split(_plain({name: value for name, value in entry.items() if name != "streams"}), "params")
    fields["params"] = ordered(_part(fields, "params"), order.VSND_PARAMS)
    streams = [_split(_plain(stream), "params") for stream in _entries(entry.get("streams"))]
    for stream in streams:
        stream["params"] = ordered(_part(stream, "params"), order.VSND_PARAMS)
    _add(fields, "streams", [ordered(stream, ("unique_id", "type", "params")) for stream in streams])
    return ordered(fields, ("name", "params", "streams"))


def _split(fields: Fields, *names: str) -> Fields:
    """Gather "vnc.listen" and the like in a structure "vnc"; each of `names` is one, if an empty one."""
    found: Fields = {name: value for name, value in fields.items() if "." not in name}
    for name in names:
        found[name] = {
            field.removeprefix(f"{name}."): value
            for field, value in fields.items()
            if field.startswith(f"{name}.")
        }
    return found


def _part(fields: Fields, name: str) -> Fields:
    part = fields[name]
    assert isinstance(part, dict)
    return part


def _add_displays(lists: Fields, config: DomainConfig) -> None:
    """Framebuffers with a keyboard each, the one of ``vnc`` among them, and the keyboards of ``vkb``."""
    framebuffers = [_plain(entry) for entry in _entries(config.beyond.get("vfb"))]
    if config.type == GuestType.PV and not framebuffers and config.beyond.get("vnc"):
        framebuffers = [_top_level(config)]
    keyboards: list[Fields] = [{} for _ in framebuffers]
    keyboards += [_plain(entry) for entry in _entries(config.beyond.get("vkb"))]
    _add(lists, "vfbs", [_vfb(entry, number) for number, entry in enumerate(framebuffers)])
    _add(
        lists, "vkbs", [ordered({**vkb, "devid": number}, order.VKB) for number, vkb in enumerate(keyboards)]
    )


_TOP_LEVEL = {
    "vnc": "vnc.enable", "vnclisten": "vnc.listen", "vncpasswd": "vnc.passwd", "vncdisplay": "vnc.display",
    "vncunused": "vnc.findunused", "sdl": "sdl.enable", "opengl": "sdl.opengl", "display": "sdl.display",
    "xauthority": "sdl.xauthority", "keymap": "keymap",
}  # fmt: skip


def _top_level(config: DomainConfig) -> Fields:
    found: Fields = {}
    for key, name in _TOP_LEVEL.items():
        value = config.beyond.get(key)
        if value is not None and (value != 0 or isinstance(value, bool)):
            found[name] = json_of(value)
    return found


def _vfb(entry: Fields, number: int) -> Fields:
    fields = _split(entry | {"devid": number}, "vnc", "sdl")
    fields["vnc"] = ordered(_part(fields, "vnc"), order.VNC)
    fields["sdl"] = ordered(_part(fields, "sdl"), order.SDL)
    return ordered(fields, order.VFB)
