"""network-list, block-list, channel-list: the devices of any number of domains."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context
    from xentool.toolstack.deviceviews import ChannelView, DeviceView, DiskView, VifView


def network_list(context: Context, *, domains: tuple[str, ...]) -> int:
    views = context.toolstack.vifs(domains)
    if context.json:
        context.write_json([vif_dict(view) for view in views])
    elif context.styled:
        from xentool.cli.devicetables import vif_table

        context.write(vif_table(views))
    else:
        from xentool.cli.devicetext import vif_text

        context.write(vif_text(views))
    return 0


def block_list(context: Context, *, domains: tuple[str, ...]) -> int:
    views = context.toolstack.disks(domains)
    if context.json:
        context.write_json([disk_dict(view) for view in views])
    elif context.styled:
        from xentool.cli.devicetables import disk_table

        context.write(disk_table(views))
    else:
        from xentool.cli.devicetext import disk_text

        context.write(disk_text(views))
    return 0


def channel_list(context: Context, *, domains: tuple[str, ...]) -> int:
    views = context.toolstack.channels(domains)
    if context.json:
        context.write_json([channel_dict(view) for view in views])
    elif context.styled:
        from xentool.cli.devicetables import channel_table

        context.write(channel_table(views))
    else:
        from xentool.cli.devicetext import channel_text

        context.write(channel_text(views))
    return 0


def _common(view: DeviceView) -> dict[str, object]:
    """What every device's JSON has; a figure that the guest has not written is null."""
    return {
        "domid": view.domid,
        "devid": view.devid,
        "backend_domid": _known(view.backend),
        "backend_path": view.backend_path,
        "state": _known(view.state),
        "event_channel": _known(view.event_channel),
    }


def _known(figure: int) -> int | None:
    return None if figure < 0 else figure


def vif_dict(view: VifView) -> dict[str, object]:
    """A vif as ``network-list --json`` shows it. Scripts rely on it: keys may be added, never changed."""
    record = view.record
    return {
        **_common(view),
        "mac": view.mac,
        "bridge": record.get("bridge"),
        "ip": record.get("ip"),
        "vifname": record.get("vifname"),
        "script": record.get("script"),
        "rate": record.get("rate"),
        "mtu": record.get("mtu"),
        "vlan": record.get("vlan"),
        "lock": view.lock,
        "tx_ring_ref": _known(view.tx_ring_ref),
        "rx_ring_ref": _known(view.rx_ring_ref),
    }


def disk_dict(view: DiskView) -> dict[str, object]:
    """A disk as ``block-list --json`` shows it. Scripts rely on it: keys may be added, never changed."""
    return {
        **_common(view),
        "vdev": view.vdev,
        "target": view.target,
        "read_only": view.read_only,
        "cdrom": view.is_cdrom,
        "backend_type": view.record.get("type"),
        "script": view.record.get("script"),
        "ring_ref": _known(view.ring_ref),
    }


def channel_dict(view: ChannelView) -> dict[str, object]:
    """A channel as ``channel-list --json`` shows it. Scripts rely on it: keys may be added, never changed."""
    return {
        **_common(view),
        "name": view.name,
        "connection": view.connection,
        "path": view.path,
        "ring_ref": _known(view.ring_ref),
    }
