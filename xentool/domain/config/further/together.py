"""What keys say together: contradictions, and what has no effect without another.

Source: tools/xl/xl_parse.c (parse_config_data).
"""

from __future__ import annotations

from xentool.domain.config.beyond import DISPLAY
from xentool.domain.config.model import GuestType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.domain.config.reader import Reader

FIRMWARE_KERNELS = ("pvgrub32", "pvgrub64")


def check_together(reader: Reader, found: Mapping[str, object], guest_type: GuestType) -> None:
    """Refuse what contradicts, warn of what has no effect.

    Raises:
        ConfigError: two keys contradict each other.
    """
    if guest_type == GuestType.HVM:
        _check_hvm(reader, found)
    elif found.get("firmware"):
        if found["firmware"] not in FIRMWARE_KERNELS:
            raise reader.error(
                "firmware",
                f"a {guest_type.upper()} guest's firmware must be one of: {', '.join(FIRMWARE_KERNELS)}",
                "or say where the kernel is: kernel = …",
            )
        if reader.text("kernel"):
            raise reader.error(
                "firmware", "takes the place of kernel, which is given too", "leave one of them out"
            )
    if guest_type == GuestType.PV:
        _check_display(reader, found)
    if found.get("device_model_override") and "device_model_version" not in found:
        reader.warn("device_model_override", "is given without device_model_version")


def _check_hvm(reader: Reader, found: Mapping[str, object]) -> None:
    if found.get("bios_path_override") and "bios" not in found:
        reader.warn("bios_path_override", "is given without bios, so it is not known what it is")
    listen = found.get("vnclisten")
    if found.get("vncdisplay") and isinstance(listen, str) and ":" in listen:
        raise reader.error(
            "vncdisplay", "vnclisten says the display after its colon already", "leave one of them out"
        )


def _check_display(reader: Reader, found: Mapping[str, object]) -> None:
    framebuffers = found.get("vfb")
    if framebuffers and found.get("vnc"):
        reader.warn("vnc", "has no effect: vfb is given", "say it in the entry of vfb")
    if framebuffers or not found.get("vnc"):
        why = (
            "vfb is given, which says it itself" if framebuffers else "a PV guest has a display with vnc = 1"
        )
        for key in DISPLAY:
            if key in found and found[key] not in ("", False):
                reader.warn(key, f"has no effect: {why}")
