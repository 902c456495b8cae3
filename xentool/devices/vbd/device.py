"""A disk as a device: its backend, its nodes, and its entry in libxl's record, as libxl writes them.

``phy`` is Linux's own block backend, for block devices and, through a loop device, raw files;
``qdisk`` is QEMU, for image formats.

An empty drive has a file of no bytes in it, as in libxl since 4.18 (of which one serves all drives
here): a frontend whose backend never connected would keep its guest waiting at boot.

Source: tools/libs/light/libxl_disk.c (libxl__device_disk_setdefault, device_disk_add),
libxl_device.c (libxl__device_disk_set_backend, disk_try_backend), libxl_types.idl (device_disk);
libxl_create.c (which sets colo_restore_enable of what comes with a domain).
"""

from __future__ import annotations

from xentool.devices.device import Device
from xentool.devices.paths import script_path
from xentool.devices.vbd.spec import EMPTY, PHY, QDISK, RAW
from xentool.errors import ConfigError
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.vbd.spec import Disk
    from xentool.units import DomId

    Json = str | int | dict[str, "Json"] | list["Json"]

KIND = "vbd"
DEFAULT_SCRIPT = "block"
EMPTY_DRIVE = "empty-cdrom"
"""The file of no bytes, in our run directory."""
_QEMU_FORMATS = {RAW: "aio", EMPTY: "aio"}


def disk_device(disk: Disk, run_directory: str, *, backend: DomId = DOMAIN0) -> Device:
    """The device of a disk; `backend` is the domain that `disk.backend` names.

    Raises:
        ConfigError: no backend can serve such a disk.
    """
    kind = backend_type(disk)
    target = _target(disk, kind, run_directory, backend)
    back = {"params": target}
    if kind == PHY:
        back["script"] = script_path(disk.script or DEFAULT_SCRIPT)
    else:
        back["params"] = f"{_QEMU_FORMATS.get(disk.format, disk.format)}:{target}"
    device_type = "cdrom" if disk.cdrom else "disk"
    back |= {
        "removable": "1" if disk.cdrom else "0",
        "bootable": "1",
        "dev": disk.vdev,
        "type": kind,
        "mode": disk.access,
        "device-type": device_type,
    }
    if disk.direct_io_safe:
        back["direct-io-safe"] = "1"
    discard = disk.writable if disk.discard is None else disk.discard
    back |= {"discard-enable": "1" if discard else "0", "specification": "xen"}
    devid = disk.devid
    hotplug = None
    if backend == DOMAIN0:
        from xentool.devices.vbd.hotplug import DiskHotplug

        hotplug = DiskHotplug(disk, kind, target)
    return Device(
        KIND,
        devid,
        f"disk {disk.vdev}",
        front={
            "virtual-device": str(devid),
            "device-type": device_type,
            "trusted": "0" if disk.trusted is False else "1",
            "protocol": "x86_64-abi",
        },
        back=back,
        backend=backend,
        backend_kind=KIND if kind == PHY else QDISK,
        hotplug=hotplug,
    )


def backend_type(disk: Disk) -> str:
    """``phy`` or ``qdisk``: what the disk says, or else what libxl would choose.

    Raises:
        ConfigError: it says what cannot be.
    """
    said, plain = disk.backendtype, disk.format in (RAW, EMPTY)
    if disk.specification == "virtio":
        raise _refused(disk, "virtio disks are not supported", "leave specification out: a Xen disk is made")
    if said == "standalone":
        raise _refused(disk, "backendtype standalone is for virtio disks alone", "leave backendtype out")
    if said == "tap":
        raise _refused(disk, "there is no blktap here, which backendtype tap needs", "leave backendtype out")
    if disk.script and (not plain or said == QDISK):
        raise _refused(disk, "a script serves raw disks, by phy", "leave format and backendtype out")
    if said == PHY and not plain:
        raise _refused(disk, f"phy serves raw disks alone, not {disk.format}", "leave backendtype out")
    kind = said or (PHY if plain else QDISK)
    if kind == QDISK and disk.access == "w!":
        raise _refused(disk, "QEMU gives a disk to one writer at a time", "access=w! needs a raw disk")
    return kind


def disk_entry(disk: Disk, *, of_config: bool = False) -> dict[str, Json]:
    """The disk in libxl's record of its domain (``disks``): what was said, in libxl's order.

    `of_config` is for one that `create` has made.
    """
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


def medium_of(nodes: Mapping[str, str]) -> str:
    """What a drive with these nodes has in it, as its ``params`` say; "" if it is empty, be it libxl's."""
    params = nodes.get("params", "")
    name = params.rpartition("/")[2]
    if nodes.get("device-type") == "cdrom" and (name == EMPTY_DRIVE or name.startswith(f"{EMPTY_DRIVE}.")):
        return ""
    return "" if params == "aio:" else params


def _target(disk: Disk, kind: str, run_directory: str, backend: DomId) -> str:
    target = disk.target
    if disk.format == EMPTY:
        return f"{run_directory}/{EMPTY_DRIVE}" if kind == PHY and backend == DOMAIN0 else ""
    if target.startswith("/") or disk.script or (kind == QDISK and ":" in target):
        return target
    return f"/dev/{target}"


def _refused(disk: Disk, reason: str, hint: str) -> ConfigError:
    return ConfigError("attach disk", disk.vdev, reason, hint=hint)


def _word(flag: bool | None) -> str | None:
    return None if flag is None else str(flag)
