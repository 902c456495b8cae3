"""Devices of running domains: attaching and detaching them, and what that would write.

On the path of ``network-attach`` and ``block-attach``, where every import counts: each kind's
own code is imported by its functions.
"""

from __future__ import annotations

from xentool.devices.paths import is_number
from xentool.devices.record import read_records
from xentool.domain.attach import attach_device, detach_device, taken_devids
from xentool.domain.names import find_introduced, uuid_of
from xentool.domain.reach import refuse_hvm
from xentool.errors import InUseError, NotFoundError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.devices.device import Device
    from xentool.devices.record import Recorded
    from xentool.devices.vbd.spec import Disk
    from xentool.devices.vif.spec import Vif
    from xentool.domain.config.yajl import Json
    from xentool.domain.host import Host
    from xentool.toolstack.deviceviews import DevicePlan
    from xentool.units import DomId

    Make = Callable[[list[int]], tuple[Device, dict[str, Json]]]


def pluggable(host: Host, action: str, domain: str) -> tuple[DomId, str]:
    """The domain of that name or number, and its uuid.

    Raises:
        NotFoundError: there is none.
        UnsupportedError: its devices take more than their nodes.
    """
    domid, (place, kind) = find_introduced(host, domain, ["/local/domain/{}/vm", "/libxl/{}/type"])
    refuse_hvm(action, domain, kind)
    return domid, uuid_of(place)


def attach_vif(host: Host, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
    from xentool.devices.vif.spec import parse_vif

    vif = parse_vif(",".join(words))
    domid, uuid = pluggable(host, "attach a vif to domain", domain)
    return domid, attach_device(host, domid, uuid, "vif", vif_maker(host, vif, uuid)).devid


def plan_vif(host: Host, domain: str, words: Sequence[str]) -> DevicePlan:
    from xentool.devices.vif.spec import parse_vif

    vif = parse_vif(",".join(words))
    domid, uuid = pluggable(host, "plan a vif of domain", domain)
    return planned(host, domid, "vif", vif_maker(host, vif, uuid))


def vif_maker(host: Host, vif: Vif, uuid: str) -> Make:
    """What makes the device of a vif, and its entry in libxl's record, once a number can be chosen."""
    from xentool.devices.vif.device import lowest_free, nic_entry, with_defaults
    from xentool.domain.devices import make_vif

    vif = with_defaults(vif, host.paths.xl_conf)

    def make(taken: list[int]) -> tuple[Device, dict[str, Json]]:
        numbered = vif if vif.devid is not None else vif.replace(devid=lowest_free(taken))
        if numbered.devid in taken:
            raise InUseError(
                "attach vif",
                numbered.devid,
                "the domain has a network interface of that number already",
                hint="leave devid out, and it gets one that is free",
            )
        return make_vif(host, numbered, uuid), dict(nic_entry(numbered, uuid))

    return make


def attach_disk(host: Host, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
    from xentool.devices.vbd.spec import parse_disk

    disk = parse_disk(*words)
    domid, uuid = pluggable(host, "attach a disk to domain", domain)
    return domid, attach_device(host, domid, uuid, "vbd", disk_maker(host, disk)).devid


def plan_disk(host: Host, domain: str, words: Sequence[str]) -> DevicePlan:
    from xentool.devices.vbd.spec import parse_disk

    disk = parse_disk(*words)
    domid, _uuid = pluggable(host, "plan a disk of domain", domain)
    return planned(host, domid, "vbd", disk_maker(host, disk))


def disk_maker(host: Host, disk: Disk) -> Make:
    """What makes the device of a disk, and its entry in libxl's record."""
    from xentool.devices.vbd.device import disk_entry
    from xentool.domain.devices import make_disk

    def make(_taken: list[int]) -> tuple[Device, dict[str, Json]]:
        return make_disk(host, disk), disk_entry(disk)

    return make


def detach_vif(host: Host, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
    domid, uuid = pluggable(host, "detach a vif from domain", domain)
    device = find_vif(host, domid, which)
    devid = int(device.path.rpartition("/")[2])
    detach_device(host, uuid, device, f"vif {devid}", force=force)
    return domid, devid


def find_vif(host: Host, domid: DomId, which: str) -> Recorded:
    """The vif with that number or MAC; with one, no other's record is read."""
    taken = taken_devids(host, domid, "vif")
    if is_number(which) and int(which) in taken:
        return read_records(host.store, domid, [("vif", int(which))])[0]
    recorded = read_records(host.store, domid, [("vif", devid) for devid in taken])
    wanted = which.lower().replace("-", ":")
    found = [device for device in recorded if ":" in wanted and device.nodes.get("mac", "").lower() == wanted]
    if len(found) > 1:
        numbers = " and ".join(device.path.rpartition("/")[2] for device in found)
        raise UsageError(
            "find vif",
            which,
            f"{numbers} of domain {domid} have that MAC address",
            hint="say which by its number",
        )
    if found:
        return found[0]
    there = ", ".join(
        f"{devid} ({device.nodes.get('mac', 'no MAC')})"
        for devid, device in zip(taken, recorded, strict=True)
    )
    raise _not_there("vif", which, domid, there, "network-list")


def detach_disk(host: Host, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
    domid, uuid = pluggable(host, "detach a disk from domain", domain)
    device = find_disk(host, domid, which)
    devid = int(device.path.rpartition("/")[2])
    detach_device(host, uuid, device, f"disk {device.nodes.get('dev', devid)}", force=force)
    return domid, devid


def find_disk(host: Host, domid: DomId, which: str) -> Recorded:
    """The disk of that name or number. NotFoundError: there is none; says which there are."""
    from xentool.devices.vbd.vdev import device_name, device_number

    taken = taken_devids(host, domid, "vbd")
    number = device_number(which)
    if number in taken:
        return read_records(host.store, domid, [("vbd", number)])[0]
    raise _not_there("disk", which, domid, ", ".join(map(device_name, taken)), "block-list")


def _not_there(kind: str, which: str, domid: DomId, there: str, command: str) -> NotFoundError:
    return NotFoundError(
        f"find {kind}",
        which,
        f"domain {domid} has none of that name or number"
        + (f": it has {there}" if there else ", nor any other"),
        hint=f"`xentool {command} {domid}` shows those it has",
    )


def planned(host: Host, domid: DomId, kind: str, make: Make) -> DevicePlan:
    from xentool.devices.nodes import device_nodes
    from xentool.toolstack.deviceviews import DevicePlan

    device, entry = make(taken_devids(host, domid, kind))
    nodes = [
        (node.path, node.value, ",".join(node.permissions or ()))
        for node in device_nodes(device, device.address(domid))
    ]
    return DevicePlan(device.title, device.devid, nodes, dict(entry))
