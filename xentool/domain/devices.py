"""A config's devices, on this host: their backends found, their hotplug chosen."""

from __future__ import annotations

from xentool.domain.names import resolve_introduced
from xentool.errors import NotFoundError
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.devices.channel.spec import Channel
    from xentool.devices.device import Device
    from xentool.devices.vbd.spec import Disk
    from xentool.devices.vif.spec import Vif
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.units import DomId


def devices_of(host: Host, config: DomainConfig, uuid: str) -> list[Device]:
    """The devices that a new domain gets, in libxl's order: disks, channels, then network interfaces.

    Raises:
        NotFoundError: there is no domain of the name that a device's backend has.
    """
    devices = [make_disk(host, disk) for disk in config.disks]
    devices += [make_channel(host, channel, number) for number, channel in enumerate(config.channels, 1)]
    return devices + [make_vif(host, vif, uuid) for vif in config.vifs]


def make_disk(host: Host, disk: Disk) -> Device:
    """The device of a disk.

    Raises:
        ConfigError: no backend can serve such a disk.
    """
    from xentool.devices.vbd.device import disk_device

    return disk_device(
        disk, host.run_directory, backend=backend_domid(host, disk.backend, f"disk {disk.vdev}")
    )


def make_channel(host: Host, channel: Channel, number: int) -> Device:
    """The device of a config's `number`th channel, from 1."""
    from xentool.devices.channel.device import channel_device

    return channel_device(channel, number, backend_domid(host, channel.backend, f"channel {number - 1}"))


def make_vif(host: Host, vif: Vif, uuid: str) -> Device:
    """The device of a vif that has its number."""
    from xentool.devices.vif.device import vif_device

    backend = backend_domid(host, vif.backend, f"vif {vif.devid}")
    hotplug = None
    if backend == DOMAIN0:
        from xentool.devices.vif.hotplug import VifHotplug

        hotplug = VifHotplug(vif, uuid)
    return vif_device(vif, uuid, backend=backend, hotplug=hotplug)


def backend_domid(host: Host, backend: str | None, title: str) -> DomId:
    """The domain that serves a device (`title`): Domain-0, unless the device names another."""
    if not backend:
        return DOMAIN0
    try:
        return resolve_introduced(host, backend)[0]
    except NotFoundError as exc:
        raise NotFoundError(
            "attach",
            title,
            f"there is no domain {backend} to serve it, as its backend says",
            hint="`xentool list` shows the domains that run; without backend, Domain-0 serves it",
        ) from exc
