"""Hot plugging: a device for a domain that is there already, or out of one.

Under libxl's lock on the domain the device gets its number, its nodes and its
place in the domain's record, so that two toolstacks never take one number. What
a killed process leaves half-plugged, the next command takes away (see `journal`).
"""

from __future__ import annotations

from xentool.devices import plug
from xentool.devices.paths import is_number, libxl_path
from xentool.devices.record import children
from xentool.domain import userdata
from xentool.domain.config.amend import add_device, remove_devices
from xentool.domain.journal import Journal
from xentool.domain.names import resolve_introduced
from xentool.errors import InUseError, NotFoundError, XentoolError
from xentool.units import DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xentool.devices.device import Device
    from xentool.devices.record import Recorded
    from xentool.domain.config.yajl import Json
    from xentool.domain.host import Host

LISTS = {"vif": "nics", "vbd": "disks"}
"""The list of libxl's record that has the devices of a kind."""


def attach_device(
    host: Host,
    domid: DomId,
    uuid: str,
    kind: str,
    make: Callable[[list[int]], tuple[Device, dict[str, Json]]],
) -> Device:
    """Plug a device into a domain: whole, or nothing of it is left.

    `make` is given the numbers of the `kind` that are taken; it returns the device and its entry for
    libxl's record of the domain.

    Raises:
        XentoolError: it could not be plugged.
    """
    devices: list[Device] = []
    with Journal(host.paths.run).begin(uuid) as entry:
        try:
            with userdata.locked(host, domid, uuid):
                device, recorded = make(taken_devids(host, domid, kind))
                devices.append(device)
                plug.check(host, devices)
                noted = f"{domid} {kind} {device.devid}"
                try:
                    plug.place(host, domid, devices, noted=lambda: entry.note("attach", noted))
                except InUseError:
                    # Taken by another between two attempts to commit: then it is not ours to take away.
                    entry.facts.pop("attach", None)
                    raise
                userdata.amend(host, domid, uuid, lambda record: add_device(record, LISTS[kind], recorded))
            plug.connect(host, domid, devices)
        except BaseException as cause:
            try:
                undo_attach(host, entry.facts)
            except Exception as error:  # noqa: BLE001 - kept beside the cause, and tried again later
                cause.add_note(f"and it could not be taken away again: {error}")
                cause.add_note("the next xentool command, or `xentool gc`, tries once more")
                entry.close(finished=False)
            raise
        finally:
            plug.release(devices)
    return device


def detach_device(host: Host, uuid: str, device: Recorded, title: str, *, force: bool = False) -> None:
    """Unplug a device. The guest is asked to let go of it, unless by `force`.

    Raises:
        TimedOutError: the guest keeps it; it can go on using it.
    """
    from xentool.devices.unplug import detach

    with _forgotten(host, uuid, device):
        detach(host, device, title, force=force)


def undo_attach(host: Host, facts: Mapping[str, str]) -> bool:
    """Take away the device that a journal's entry tells of; whether there was one.

    Raises:
        XentoolError: something of it is left.
    """
    words = facts.get("attach", "").split()
    if len(words) != 3 or not (is_number(words[0]) and is_number(words[2])):
        return False
    domid, kind, devid = DomId(int(words[0])), words[1], int(words[2])
    try:
        _, uuid = resolve_introduced(host, words[0])
    except NotFoundError:
        return False
    if uuid != facts["uuid"]:
        return False  # the domain is gone, and with it all it had
    if devid not in taken_devids(host, domid, kind):
        return False
    from xentool.devices.record import read_records
    from xentool.devices.unplug import remove
    from xentool.domain.interruption import without_interruption

    with without_interruption():
        devices = read_records(host.store, domid, [(kind, devid)])
        with _forgotten(host, facts["uuid"], devices[0]):
            remove(host, devices)
    return True


def taken_devids(host: Host, domid: DomId, kind: str) -> list[int]:
    """The numbers of the domain's devices of that kind."""
    listed = children(host.store, f"{libxl_path(domid)}/device/{kind}")
    return sorted(int(devid) for devid in listed if is_number(devid))


class _forgotten:  # noqa: N801 - a function to its users; contextlib takes longer to import than to plug a disk
    """A device that is gone at the end of the context is forgotten too, even if its script failed."""

    __slots__ = ("_device", "_host", "_uuid")

    def __init__(self, host: Host, uuid: str, device: Recorded) -> None:
        self._host = host
        self._uuid = uuid
        self._device = device

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if kind is None or (
            isinstance(error, XentoolError) and not self._host.store.exists(self._device.path)
        ):
            _forget(self._host, self._uuid, self._device)


def _forget(host: Host, uuid: str, device: Recorded) -> None:
    """Take the device out of libxl's record of the domain; nor need its QEMU stay for nothing."""
    _, _, owner, _, kind, devid = device.path.split("/")
    domid = DomId(int(owner))
    if kind not in LISTS:
        return
    mac, vdev = device.nodes.get("mac"), device.nodes.get("dev")

    def is_it(entry: Mapping[str, object]) -> bool:
        if kind == "vbd":
            return vdev is not None and entry.get("vdev") == vdev
        if "devid" in entry:
            return entry["devid"] == int(devid)
        return mac is not None and entry.get("mac") == mac

    with userdata.locked(host, domid, uuid):
        userdata.amend(host, domid, uuid, lambda record: remove_devices(record, LISTS[kind], is_it))
        if device.address is not None and device.address.by_qemu:
            from xentool.devices.qemu.model import stop_if_idle

            stop_if_idle(host, domid)
