"""CD-ROM drives of running domains: what is in them can change.

The backend in Linux does not change its image while it is connected (drivers/block/xen-blkback/xenbus.c,
backend_changed), so a PV guest sees its drive go and come again with another medium. An HVM guest's drive is
emulated by its QEMU, which another toolstack runs.
"""

from __future__ import annotations

from xentool.domain.attach import attach_device, detach_device
from xentool.errors import UsageError, XentoolError
from xentool.toolstack.devices import disk_maker, find_disk, planned, pluggable
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.devices.record import Recorded
    from xentool.devices.vbd.spec import Disk
    from xentool.domain.host import Host
    from xentool.toolstack.deviceviews import DevicePlan
    from xentool.units import DomId


def plan_cd(host: Host, domain: str, which: str, target: str) -> DevicePlan:
    domid, _uuid = pluggable(host, "change the CD-ROM of domain", domain)
    drive = find_drive(host, domid, which)
    return planned(host, domid, "vbd", disk_maker(host, with_medium(drive, target)))


def insert_cd(host: Host, domain: str, which: str, target: str) -> tuple[DomId, int]:
    """Change what is in a drive; "" takes it out.

    The new image is looked at before the old one goes. If it cannot be plugged all the same, the
    old one is put back.
    """
    domid, uuid = pluggable(host, "change the CD-ROM of domain", domain)
    drive = find_drive(host, domid, which)
    disk = with_medium(drive, target)
    make = disk_maker(host, disk)
    device, _ = make([])
    if device.hotplug is not None:
        try:
            device.hotplug.check(host)
        finally:
            device.hotplug.release()
    detach_device(host, uuid, drive, f"CD-ROM drive {disk.vdev}")
    try:
        attach_device(host, domid, uuid, "vbd", make)
    except BaseException as cause:
        try:
            attach_device(host, domid, uuid, "vbd", disk_maker(host, _as_it_was(drive)))
        except XentoolError as error:
            cause.add_note(f"and what was in the drive could not be put back: {error}")
        raise
    return domid, disk.devid


def find_drive(host: Host, domid: DomId, which: str) -> Recorded:
    drive = find_disk(host, domid, which)
    if drive.nodes.get("device-type") != "cdrom":
        raise UsageError(
            "change the CD-ROM of domain",
            domid,
            f"{which} is a disk, not a CD-ROM drive",
            hint=f"`xentool block-list {domid}` on a terminal says which are drives",
        )
    return drive


def with_medium(drive: Recorded, target: str) -> Disk:
    """The drive with `target` in it, which may say its format as xl's old prefixes do."""
    from xentool.devices.vbd.spec import parse_disk

    vdev = drive.nodes.get("dev", "")
    if not target:
        return _as_served(drive, parse_disk(f"vdev={vdev},devtype=cdrom"))
    head, colon, tail = target.partition(":")
    form = (
        f"format={head},"
        if colon and "/" not in head and head in ("raw", "qcow", "qcow2", "vhd", "qed")
        else ""
    )
    disk = parse_disk(f"{form}vdev={vdev},devtype=cdrom,target={tail if form else target}")
    return _as_served(drive, disk)


def _as_served(drive: Recorded, disk: Disk) -> Disk:
    """The disk, served by the domain that serves the drive: another medium does not move it."""
    address = drive.address
    return (
        disk if address is None or address.backend == DOMAIN0 else disk.replace(backend=str(address.backend))
    )


def _as_it_was(drive: Recorded) -> Disk:
    from xentool.devices.vbd.device import medium_of

    params = medium_of(drive.nodes)
    head, colon, tail = params.partition(":")
    if colon and "/" not in head:
        return with_medium(drive, f"{'raw' if head == 'aio' else head}:{tail}")
    return with_medium(drive, params)
