"""Network interfaces and disks in xl's words, plugged and unplugged by libxl.

What the words mean, which number is free and which device is meant are the rules that native has;
of plugging itself libxl alone knows.
"""

from __future__ import annotations

from contextlib import contextmanager

from xentool.devices.paths import is_number
from xentool.devices.vif.locks import locked_names, unlock
from xentool.domain.attach import taken_devids, undo_attach
from xentool.domain.journal import Journal
from xentool.domain.names import resolve_introduced
from xentool.errors import InUseError, LibxlError
from xentool.toolstack.devices import disk_maker, find_disk, find_vif, planned, vif_maker
from xentool.toolstack.libxl import devices
from xentool.toolstack.record import refuse_lock, refuse_shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xentool.devices.record import Recorded
    from xentool.domain.host import Host
    from xentool.toolstack.deviceviews import DevicePlan
    from xentool.toolstack.libxl.context import Context
    from xentool.units import DomId


def plan_vif(host: Host, domain: str, words: Sequence[str]) -> DevicePlan:
    from xentool.devices.vif.spec import parse_vif

    vif = parse_vif(",".join(words))
    refuse_lock(vif)
    domid, uuid = resolve_introduced(host, domain)
    return planned(host, domid, "vif", vif_maker(host, vif, uuid))


def plan_disk(host: Host, domain: str, words: Sequence[str]) -> DevicePlan:
    from xentool.devices.vbd.spec import parse_disk

    disk = parse_disk(*words)
    refuse_shared(disk)
    domid, _uuid = resolve_introduced(host, domain)
    return planned(host, domid, "vbd", disk_maker(host, disk))


def plan_cd(host: Host, domain: str, which: str, target: str) -> DevicePlan:
    from xentool.toolstack.cdrom import find_drive, with_medium

    domid, _uuid = resolve_introduced(host, domain)
    drive = find_drive(host, domid, which)
    return planned(host, domid, "vbd", disk_maker(host, with_medium(drive, target)))


def attach_vif(host: Host, context: Context, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
    from xentool.devices.vif.device import lowest_free, nic_entry, with_defaults
    from xentool.devices.vif.spec import parse_vif

    vif = with_defaults(parse_vif(",".join(words)), host.paths.xl_conf)
    refuse_lock(vif)
    domid, uuid = resolve_introduced(host, domain)
    taken = taken_devids(host, domid, "vif")
    if vif.devid is None:
        vif = vif.replace(devid=lowest_free(taken))
    elif vif.devid in taken:
        raise InUseError(
            "attach vif",
            vif.devid,
            "the domain has a network interface of that number already",
            hint="leave devid out, and it gets one that is free",
        )
    with _whole(host, domid, uuid, "vif", vif.devid or 0):
        made = devices.add(context, domid, "nic", nic_entry(vif, uuid))
    devid = made.get("devid", 0)
    return domid, devid if isinstance(devid, int) else 0


@contextmanager
def _whole(host: Host, domid: DomId, uuid: str, kind: str, devid: int) -> Iterator[None]:
    """A device that is whole at the end of the context, or gone: what it began before it failed, its
    script for one, libxl leaves there (libxl__device_nic_add). After `kill -9` the journal tells of it."""
    with Journal(host.paths.run).begin(uuid) as entry:
        entry.note("attach", f"{domid} {kind} {devid}")
        try:
            yield
        except InUseError:
            raise  # somebody else was quicker: that one is not ours to take away
        except BaseException as cause:
            try:
                undo_attach(host, entry.facts)
            except Exception as error:  # noqa: BLE001 - kept beside the cause, and tried again later
                cause.add_note(f"and it could not be taken away again: {error}")
                cause.add_note("the next xentool command, or `xentool gc`, tries once more")
                entry.close(finished=False)
            raise


def detach_vif(
    host: Host, context: Context, domain: str, which: str, *, force: bool = False
) -> tuple[DomId, int]:
    domid, _uuid = resolve_introduced(host, domain)
    devid = _devid(find_vif(host, domid, which))
    locked = locked_names(host, domid, devid)
    devices.remove(context, domid, "nic", {"devid": devid}, force=force)
    unlock(host, locked)  # libxl knows of none
    return domid, devid


def attach_disk(host: Host, context: Context, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
    from xentool.devices.vbd.device import disk_entry
    from xentool.devices.vbd.spec import parse_disk

    disk = parse_disk(*words)
    refuse_shared(disk)
    domid, uuid = resolve_introduced(host, domain)
    if disk.devid in taken_devids(host, domid, "vbd"):
        raise InUseError(
            "attach disk",
            disk.vdev,
            "the domain has a disk of that name already",
            hint=f"`xentool block-list {domid}` shows which names are taken",
        )
    with _whole(host, domid, uuid, "vbd", disk.devid):
        devices.add(context, domid, "disk", disk_entry(disk))
    return domid, disk.devid


def detach_disk(
    host: Host, context: Context, domain: str, which: str, *, force: bool = False
) -> tuple[DomId, int]:
    domid, _uuid = resolve_introduced(host, domain)
    disk = find_disk(host, domid, which)
    devices.remove(context, domid, "disk", {"vdev": disk.nodes.get("dev", which)}, force=force)
    return domid, _devid(disk)


def insert_cd(host: Host, context: Context, domain: str, which: str, target: str) -> tuple[DomId, int]:
    from xentool.devices.paths import libxl_path
    from xentool.devices.vbd.device import disk_entry
    from xentool.toolstack.cdrom import find_drive, with_medium

    domid, _uuid = resolve_introduced(host, domain)
    drive = find_drive(host, domid, which)
    if host.store.try_read(f"{libxl_path(domid)}/type") != b"hvm":
        raise LibxlError(
            "change the CD-ROM of domain",
            domid,
            "libxl does that for HVM guests alone, whose QEMU plays the drive",
            hint="leave out --toolstack libxl, and xentool does it itself",
        )
    disk = with_medium(drive, target)
    devices.insert_cd(context, domid, disk_entry(disk))
    return domid, disk.devid


def _devid(device: Recorded) -> int:
    name = device.path.rpartition("/")[2]
    assert is_number(name)
    return int(name)
