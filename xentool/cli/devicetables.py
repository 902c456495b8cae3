"""Devices for a terminal: tables with words in the place of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from xentool.cli.tables import drawn, new_table
from xentool.devices.xenbus import STATE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.toolstack.deviceviews import ChannelView, DeviceView, DiskView, VifView

CONNECTED = 4


def vif_table(vifs: Sequence[VifView]) -> str:
    table = new_table(
        None, ("Dom", "right"), ("Vif", "right"), ("MAC", "left"), ("State", "left"), ("Backend", "right"),
        ("Bridge", "left"), ("IP", "left"), ("Script", "left"),
    )  # fmt: skip
    for vif in vifs:
        table.add_row(
            str(vif.domid),
            str(vif.devid),
            vif.mac,
            _state(vif),
            _backend(vif),
            Text(vif.record.get("bridge") or "-"),
            Text(_addresses(vif)),
            Text(vif.record.get("script", "-").rpartition("/")[2]),
        )
    return drawn(table, whole_rows=True)


def _addresses(vif: VifView) -> str:
    """Those that it is held to; or, if it is not, those that its script was told."""
    if vif.lock is None:
        return vif.record.get("ip") or "-"
    return f"{' '.join(vif.lock)} (locked)".lstrip()


def disk_table(disks: Sequence[DiskView]) -> str:
    table = new_table(
        None, ("Dom", "right"), ("Disk", "left"), ("Number", "right"), ("State", "left"),
        ("Backend", "right"), ("Kind", "left"), ("Access", "left"), ("Target", "left"),
    )  # fmt: skip
    for disk in disks:
        access = "read-only" if disk.read_only else "read-write"
        table.add_row(
            str(disk.domid),
            Text(disk.vdev),
            str(disk.devid),
            _state(disk),
            _backend(disk),
            Text(("cdrom, " if disk.is_cdrom else "") + disk.record.get("type", "-")),
            access,
            Text(disk.target or "(empty)"),
        )
    return drawn(table, whole_rows=True)


def channel_table(channels: Sequence[ChannelView]) -> str:
    table = new_table(
        None, ("Dom", "right"), ("Channel", "right"), ("Name", "left"), ("State", "left"),
        ("Backend", "right"), ("Connection", "left"), ("Path", "left"),
    )  # fmt: skip
    for channel in channels:
        table.add_row(
            str(channel.domid),
            str(channel.devid),
            Text(channel.name),
            _state(channel),
            _backend(channel),
            Text(channel.connection),
            Text(channel.path),
        )
    return drawn(table, whole_rows=True)


def _state(device: DeviceView) -> Text:
    """The frontend's state: a guest may have written any number there."""
    if device.state < 0:
        return Text("not there", style="yellow")
    known = device.state < len(STATE_NAMES)
    name = STATE_NAMES[device.state] if known else str(device.state)
    return Text(name.lower(), style="green" if device.state == CONNECTED else "yellow")


def _backend(device: DeviceView) -> str:
    return "?" if device.backend < 0 else str(device.backend)
