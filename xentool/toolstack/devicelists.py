"""The devices of domains, as commands see them: lists of what toolstacks have recorded.

A list of any number of domains takes three exchanges with the store.

Source: tools/libs/light/libxl_nic.c (libxl_device_nic_getinfo), libxl_disk.c
(libxl_device_disk_getinfo), libxl_console.c (libxl_device_channel_getinfo): which nodes the columns
of xl's lists are.
"""

from __future__ import annotations

from xentool.devices.paths import domain_path, is_number, libxl_path
from xentool.devices.record import backend_address
from xentool.domain.names import resolve_introduced
from xentool.toolstack.deviceviews import ChannelView, DeviceView, DiskView, VifView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.host import Host

NO_FIGURE = -1
MAX_FIGURE = (1 << 31) - 1
NO_MAC = "00:00:00:00:00:00"
NO_TERMINAL = "/NO-SUCH-PATH"
"""What xl prints for a channel whose terminal is not there (yet)."""


def vif_views(host: Host, domains: Sequence[str]) -> list[VifView]:
    return [
        VifView(device, device.record.get("mac", NO_MAC).lower(), live["tx-ring-ref"], live["rx-ring-ref"])
        for device, live in _devices(host, domains, "vif", "event-channel", ("tx-ring-ref", "rx-ring-ref"))
    ]


def disk_views(host: Host, domains: Sequence[str]) -> list[DiskView]:
    from xentool.devices.vbd.vdev import device_name

    views = []
    for device, live in _devices(host, domains, "vbd", "event-channel", ("ring-ref",)):
        vdev = device.record.get("dev") or device_name(device.devid)
        views.append(DiskView(device, vdev, _target(device), live["ring-ref"]))
    return views


def channel_views(host: Host, domains: Sequence[str]) -> list[ChannelView]:
    """Consoles with a name are channels; console N + 1 is channel N."""
    found = [
        (device, live)
        for device, live in _devices(host, domains, "console", "port", ("ring-ref",))
        if "name" in device.record and device.devid > 0
    ]
    terminals = host.store.read_many([f"{_front(device, 'console')}/tty" for device, _ in found])
    views = []
    for (device, live), terminal in zip(found, terminals, strict=True):
        connection = device.record.get("connection", "unknown")
        path = device.record.get("path", "") if connection == "socket" else _terminal(terminal)
        device.devid -= 1
        views.append(ChannelView(device, device.record["name"], connection, path, live["ring-ref"]))
    return views


def _devices(
    host: Host, domains: Sequence[str], kind: str, channel: str, figures: Sequence[str]
) -> list[tuple[DeviceView, dict[str, int]]]:
    """The devices on record of that kind, each with the `figures` that its frontend says.

    All domains are found before any is read: no answer is half of one.
    """
    store = host.store
    domids = [resolve_introduced(host, domain)[0] for domain in domains]
    tops = [f"{libxl_path(domid)}/device/{kind}" for domid in domids]
    which = [
        (domid, int(name), f"{top}/{name}")
        for domid, top, names in zip(domids, tops, store.directories(tops), strict=True)
        for name in names or ()
        if is_number(name)
    ]
    recorded = store.directories([path for _, _, path in which])
    wanted = ("state", channel, *figures)
    paths: list[str] = []
    for (domid, devid, path), names in zip(which, recorded, strict=True):
        front = f"{domain_path(domid)}/device/{kind}/{devid}"
        paths += [f"{path}/{name}" for name in names or ()] + [f"{front}/{name}" for name in wanted]
    values = iter(store.read_many(paths))
    found = []
    for (domid, devid, _), names in zip(which, recorded, strict=True):
        read = {name: next(values) for name in names or ()}
        live = {name: _figure(next(values)) for name in wanted}
        record = {name: value.decode("utf-8", "replace") for name, value in read.items() if value is not None}
        address = backend_address(domid, kind, devid, read.get("backend"))
        view = DeviceView(
            domid,
            devid,
            NO_FIGURE if address is None else address.backend,
            record.get("backend", ""),
            live["state"],
            live[channel],
            record,
        )
        if names is not None:  # it has not gone meanwhile
            found.append((view, live))
    return found


def _figure(value: bytes | None) -> int:
    """A number that a guest has written, or -1: it may write anything, of any length."""
    if value is None or not value.isdigit() or len(value) > 10:
        return NO_FIGURE
    number = int(value)
    return number if number <= MAX_FIGURE else NO_FIGURE


def _terminal(value: bytes | None) -> str:
    """A channel's terminal; a path of no other kind is believed, as a guest can delete the node."""
    text = (value or b"").decode("ascii", "replace")
    number = text.removeprefix("/dev/pts/")
    return text if number != text and number.isdigit() and len(number) < 10 else NO_TERMINAL


def _front(device: DeviceView, kind: str) -> str:
    return f"{domain_path(device.domid)}/device/{kind}/{device.devid}"


def _target(device: DeviceView) -> str:
    """What is behind a disk: its params, of which what comes before a colon is QEMU's ("aio:/img.raw")."""
    from xentool.devices.vbd.device import medium_of

    params = medium_of(device.record)
    head, colon, tail = params.partition(":")
    return tail if colon and "/" not in head else params
