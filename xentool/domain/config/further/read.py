"""The keys that go beyond what every toolstack does, read and checked: `DomainConfig.beyond`.

By key, a value is

* a bool for a flag, an int (MiB where xl.cfg has MiB), or a str, of a closed set in small letters;
* a tuple for a list: of str or int, of (first, last) for ranges, or of the devices, each a `FrozenMap` of the
  fields of libxl's structure (libxl_device_pci, …) that the config sets;
* a `FrozenMap` where one value says several things (``rdm``, ``cpuid``).

xl hands many of these on as it reads them; libxl or QEMU then fails while the domain is made. Here
whatever has a known set of words or a known range is checked, so that the error has a line.

Source: tools/xl/xl_parse.c (parse_config_data); libxl_types.idl; xl.cfg(5).
"""

from __future__ import annotations

from xentool.domain.config.lexer import parse_number
from xentool.domain.config.limits import INT_MAX, MAX_MEBIBYTES, MAX_PORT, MAX_VNC_DISPLAY, UINT32_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.config.keys import Key
    from xentool.domain.config.model import GuestType
    from xentool.domain.config.reader import Reader

BOOT_LETTERS = frozenset("abcdefghijklmnop")
"""QEMU's drive letters: a and b floppies, c the disk, d the CD-ROM, n the network."""

WORDS: dict[str, tuple[str, ...]] = {
    "passthrough": ("default", "disabled", "enabled", "sync_pt", "share_pt"),
    "timer_mode": (
        "delay_for_missed_ticks", "no_delay_for_missed_ticks", "no_missed_ticks_pending",
        "one_missed_tick_pending",
    ),
    "altp2m": ("disabled", "mixed", "external", "limited"),
    "bios": ("rombios", "seabios", "ovmf"),
    "hdtype": ("ide", "ahci"),
    "vendor_device": ("none", "xenserver"),
    "vga": ("stdvga", "cirrus", "none", "qxl"),
    "device_model_version": ("qemu-xen", "qemu-xen-traditional"),
    "ms_vm_genid": ("none", "generate"),
    "gfx_passthru": ("default", "igd"),
}  # fmt: skip
"""The keys with a closed set of words; the number of a mode is its word's place."""

_BY_NUMBER_TOO = ("timer_mode", "altp2m")

NUMBERS: dict[str, tuple[int, int, str]] = {
    "period": (0, INT_MAX, "a number of microseconds"),
    "extratime": (0, 1, "a number"),
    "vmtrace_buf_kb": (0, INT_MAX, "a number of KiB"),
    "xenstore_feature_mask": (0, UINT32_MAX, "a mask"),
    "pci_msitranslate": (0, 1, "a number"),
    "pci_power_mgmt": (0, 1, "a number"),
    "pci_permissive": (0, 1, "a number"),
    "pci_seize": (0, 1, "a number"),
    "rdm_mem_boundary": (0, 4096, "a number of MiB"),
    "shadow_memory": (0, MAX_MEBIBYTES, "a number of MiB"),
    "altp2m_count": (0, 65535, "a number"),
    "mmio_hole": (256, 3840, "a number of MiB"),
    "videoram": (0, MAX_MEBIBYTES, "a number of MiB"),
    "usbversion": (0, 3, "a number"),
    "spiceport": (0, MAX_PORT, "a port"),
    "spicetls_port": (0, MAX_PORT, "a port"),
    "spiceusbredirection": (0, 4, "a number"),
    "vncdisplay": (0, MAX_VNC_DISPLAY, "a display's number"),
    "stubdomain_memory": (1, MAX_MEBIBYTES, "a number of MiB"),
}
"""The keys that hold numbers: lowest, highest, and what it is. HVM's hole is Xen's HVM_BELOW_4G_MMIO_LENGTH
at least (public/hvm/e820.h); the numbers of USB are QEMU's (libxl_dm.c)."""

_LISTS = ("ioports", "iomem", "irqs", "llc_colors", "smbios", "mca_caps", "viridian", "xenstore_quota")
_DEVICES = ("vtpm", "p9", "pvcalls", "vfb", "usbctrl", "usbdev", "vdispl", "vkb")
_ARGUMENTS = ("device_model_args", "device_model_args_pv", "device_model_args_hvm")
_COMMAND_LINES = ("pvshim_cmdline", "pvshim_extra", "stubdomain_cmdline")


def read_beyond(reader: Reader, keys: Sequence[Key], guest_type: GuestType) -> dict[str, object]:
    """The values of `keys`: those that the config gives, libxl alone honours, and concern such a guest.

    Raises:
        ConfigError: a value does not fit its key, or contradicts another.
    """
    found = {key.name: _value(reader, key) for key in keys}
    from xentool.domain.config.further.together import check_together

    check_together(reader, found, guest_type)
    return found


def _value(reader: Reader, key: Key) -> object:
    name = key.name
    if name in _LISTS:
        from xentool.domain.config.further.lists import read_list

        return read_list(reader, name)
    if name in _DEVICES:
        from xentool.domain.config.further.devices import read_devices

        return read_devices(reader, name)
    if name in WORDS:
        return _word(reader, name)
    if name in NUMBERS:
        return reader.number(name, *NUMBERS[name])
    if name in _ELSEWHERE:
        return _ELSEWHERE[name](reader)
    if key.kind == "boolean":
        return reader.flag(name)
    if name in _ARGUMENTS:
        return _texts(reader, name)
    if key.kind == "list or string":
        return _text_or_texts(reader, name)
    assert key.kind == "string", key
    return reader.text(name, forbidden="\0" if name in _COMMAND_LINES else "\0\n\r")


def _word(reader: Reader, name: str) -> object:
    words = WORDS[name]
    value = reader.settings[name].value
    number = parse_number(value) if isinstance(value, str) else value if isinstance(value, int) else None
    if number is not None and name in _BY_NUMBER_TOO:
        if not 0 <= number < len(words):
            raise reader.error(name, f"must be one of: {', '.join(words)}")
        if name == "timer_mode":
            reader.warn(name, f'as a number is deprecated: write {name} = "{words[number]}"')
        return words[number]
    if number is not None and name == "gfx_passthru":
        return number != 0
    text = reader.text(name)
    if text.lower() not in words:
        import difflib

        near = difflib.get_close_matches(text.lower(), words, 1)
        hint = f'did you mean "{near[0]}"?' if near else ""
        raise reader.error(name, f"must be one of: {', '.join(words)}", hint)
    return text.lower()


def _texts(reader: Reader, name: str) -> tuple[str, ...]:
    return tuple(reader.entries(name, str, _no_mapping))


def _no_mapping(_entry: object) -> str:
    from xentool.errors import ConfigError

    raise ConfigError("read", "an entry", "must be text")


def _text_or_texts(reader: Reader, name: str) -> object:
    """``serial`` and ``usbdevice``: one, or a list of them."""
    if isinstance(reader.settings[name].value, list):
        return _texts(reader, name)
    return reader.text(name)


def _bootloader_args(reader: Reader) -> tuple[str, ...]:
    if isinstance(reader.settings["bootloader_args"].value, list):
        return _texts(reader, "bootloader_args")
    reader.warn("bootloader_args", "as one text is deprecated: write a list")
    return tuple(reader.text("bootloader_args").split())


def _boot(reader: Reader) -> str:
    text = reader.text("boot")
    if not BOOT_LETTERS.issuperset(text) or len(set(text)) != len(text):
        raise reader.error(
            "boot", "must be letters, each once: c the disk, d the CD-ROM, n the network", 'for example: "dc"'
        )
    return text


def _cpuid(reader: Reader) -> object:
    from xentool.domain.config.further.cpuid import read_cpuid

    return read_cpuid(reader)


def _pci(reader: Reader) -> object:
    from xentool.domain.config.further.pci import read_pci

    return read_pci(reader)


def _rdm(reader: Reader) -> object:
    from xentool.domain.config.further.pci import read_rdm

    return read_rdm(reader)


def _vnuma(reader: Reader) -> object:
    from xentool.domain.config.further.vnuma import read_vnuma

    return read_vnuma(reader)


def _vsnd(reader: Reader) -> object:
    from xentool.domain.config.further.vsnd import read_vsnd

    return read_vsnd(reader)


_ELSEWHERE = {
    "bootloader_args": _bootloader_args, "boot": _boot, "cpuid": _cpuid, "pci": _pci, "rdm": _rdm,
    "vnuma": _vnuma, "vsnd": _vsnd,
}  # fmt: skip
