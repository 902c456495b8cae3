"""A disk in libxl's record of its domain, as libxl writes it: what was said, before defaults are filled in.

Source: tools/libs/light/libxl_types.idl (libxl_device_disk: the order of fields); tools/xl/xl_parse.c
(which sets colo_restore_enable, in configs alone).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.devices.vbd.spec import Disk

    Json = str | int | dict[str, "Json"] | list["Json"]


def disk_entry(disk: Disk, *, of_config: bool = False) -> dict[str, Json]:
    """The entry of `disk` in the record's ``disks``; `of_config` for one that `create` makes."""
    fields: dict[str, Json | None] = {
        "backend_domname": disk.backend or None,
        "pdev_path": disk.target if disk.target or "target" in disk.given else None,
        "vdev": disk.vdev,
        "backend": disk.backendtype or None,
        "format": disk.format,
        "script": disk.script or None,
        "removable": 1 if disk.cdrom else None,
        "readwrite": 1 if disk.writable else None,
        "is_cdrom": 1 if disk.cdrom else None,
        "direct_io_safe": True if disk.direct_io_safe else None,
        "discard_enable": _word(disk.discard),
        "specification": disk.specification or None,
        "colo_enable": "False" if "colo" in disk.given else None,
        "colo_restore_enable": "False" if of_config else None,
        "trusted": _word(disk.trusted),
        "grant_usage": _word(disk.grant_usage),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _word(flag: bool | None) -> str | None:
    return None if flag is None else str(flag)
