"""Lists whose entries are one value each: ranges of the host's resources, SMBIOS strings, enlightenments.

    ioports = [ "2f8-2ff", "3f8" ]             hexadecimal
    iomem = [ "febf1,1", "e0000,2@f0000" ]     hexadecimal frames: first,number[@where the guest sees them]
    irqs = [ 5, 7 ]
    llc_colors = [ "0-3", "8" ]
    smbios = [ "bios_vendor=Xen", "oem=one" ]
    viridian = [ "defaults", "!hcall_ipi" ]

Source: tools/xl/xl_parse.c (parse_config_data, parse_xsquota_item); libxl_types.idl (smbios_type,
viridian_enlightenment).
"""

from __future__ import annotations

from xentool.domain.config.further.entries import fail
from xentool.domain.config.limits import UINT32_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from xentool.domain.config.reader import Reader

MAX_FRAME = (1 << 52) - 1
MAX_OEM_STRINGS = 99

SMBIOS_TYPES = (
    "bios_vendor", "bios_version", "system_manufacturer", "system_product_name", "system_version",
    "system_serial_number", "baseboard_manufacturer", "baseboard_product_name", "baseboard_version",
    "baseboard_serial_number", "baseboard_asset_tag", "baseboard_location_in_chassis",
    "enclosure_manufacturer", "enclosure_serial_number", "enclosure_asset_tag", "battery_manufacturer",
    "battery_device_name", "oem",
)  # fmt: skip
ENLIGHTENMENTS = (
    "base", "freq", "time_ref_count", "reference_tsc", "hcall_remote_tlb_flush", "apic_assist", "crash_ctl",
    "synic", "stimer", "hcall_ipi", "ex_processor_masks", "no_vp_limit", "cpu_hotplug",
)  # fmt: skip
"""In libxl's order: an enlightenment's place is its bit."""
MCA_CAPABILITIES = ("lmce",)


def read_list(reader: Reader, name: str) -> object:
    """The entries of the list `name`, each as its function below makes it; ``viridian`` may be a flag.

    Raises:
        ConfigError: it is no list, or an entry does not fit.
    """
    setting = reader.settings[name]
    if name == "viridian" and not isinstance(setting.value, list):
        return reader.flag(name)
    found = tuple(reader.entries(name, _READERS[name], _no_mapping))
    if name == "smbios" and sum(str(item).startswith("oem=") for item in found) > MAX_OEM_STRINGS:
        raise reader.error(name, f"has more than {MAX_OEM_STRINGS} oem strings")
    return found


def _no_mapping(given: Mapping[str, object]) -> NoReturn:
    fail(str(given), "must be text")


def _number(text: str, base: int, highest: int, whole: str) -> int:
    digits = text.strip()
    try:
        # int() would also take "1_000", "+1" and other scripts' digits.
        number = int(digits, base) if digits.isascii() and digits.isalnum() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= highest:
        kind = "a hexadecimal number" if base == 16 else "a number"
        fail(
            whole,
            f'"{text}" is not {kind} from 0 to {highest:x}' if base == 16 else f'"{text}" is not {kind}',
        )
    return number


def _hexadecimal(text: str, highest: int, whole: str) -> int:
    return _number(text.strip().lower().removeprefix("0x"), 16, highest, whole)


def _range(text: str, read: Callable[[str], int]) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = read(first)
    end = read(last) if dash else start
    if end < start:
        fail(text, "ends before it begins")
    return start, end


def ioports(text: str) -> tuple[int, int]:
    """The first and the last port."""
    return _range(text, lambda part: _hexadecimal(part, 0xFFFF, text))


def iomem(text: str) -> tuple[int, int, int | None]:
    """The first frame, the number of frames, and the guest's frame if it is another."""
    frames, at, guest = text.partition("@")
    first, comma, count = frames.partition(",")
    if not comma:
        fail(text, "has no number of frames", "write FIRST,NUMBER, both hexadecimal, in frames of 4 KiB")
    number = _hexadecimal(count, MAX_FRAME, text)
    if not number:
        fail(text, "has no frames in it")
    return (
        _hexadecimal(first, MAX_FRAME, text),
        number,
        _hexadecimal(guest, MAX_FRAME, text) if at else None,
    )


def irqs(text: str) -> int:
    """An interrupt's number."""
    return _number(text, 10, UINT32_MAX - 1, text)


def llc_colors(text: str) -> tuple[int, int]:
    """The first and the last colour."""
    return _range(text, lambda part: _number(part, 10, 0xFFFF, text))


def smbios(text: str) -> str:
    """``TYPE=VALUE``, its type in small letters."""
    kind, equals, value = text.partition("=")
    if kind.lower() not in SMBIOS_TYPES:
        import difflib

        near = difflib.get_close_matches(kind.lower(), SMBIOS_TYPES, 1)
        fail(text, f'"{kind}" is no SMBIOS string', f"did you mean {near[0]}?" if near else "see xl.cfg(5)")
    if not equals or not value:
        fail(text, "has no value", f"write {kind}=…")
    return f"{kind.lower()}={value}"


def mca_caps(text: str) -> str:
    """The name of a machine-check capability."""
    if text not in MCA_CAPABILITIES:
        fail(text, f"is no machine-check capability (there are: {', '.join(MCA_CAPABILITIES)})")
    return text


def viridian(text: str) -> str:
    """``all``, ``defaults``, or an enlightenment, with ``!`` in front if it is to be off."""
    name = text.removeprefix("!").lower()
    if text in ("all", "defaults"):
        return text
    if name not in ENLIGHTENMENTS:
        import difflib

        near = difflib.get_close_matches(name, (*ENLIGHTENMENTS, "all", "defaults"), 1)
        known = ", ".join(ENLIGHTENMENTS)
        fail(text, "is no enlightenment", f"did you mean {near[0]}?" if near else f"there are: {known}")
    return f"!{name}" if text.startswith("!") else name


def xenstore_quota(text: str) -> str:
    """``NAME=NUMBER``."""
    name, equals, number = text.partition("=")
    if not name or not equals:
        fail(text, "is no NAME=NUMBER", 'for example: "nodes=2000"')
    return f"{name}={_number(number, 10, UINT32_MAX, text)}"


_READERS: dict[str, Callable[[str], object]] = {
    "ioports": ioports, "iomem": iomem, "irqs": irqs, "llc_colors": llc_colors, "smbios": smbios,
    "mca_caps": mca_caps, "viridian": viridian, "xenstore_quota": xenstore_quota,
}  # fmt: skip
