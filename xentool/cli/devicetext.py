"""What xl prints of devices, byte for byte.

Source: the formats of tools/xl/xl_nic.c, xl_block.c and xl_console.c of Xen 4.17.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from xentool.toolstack.deviceviews import ChannelView, DiskView, VifView


def vif_text(vifs: Iterable[VifView]) -> str:
    """`xl network-list`."""
    head = "%-3s %-2s %-17s %-6s %-5s %-6s %5s/%-5s %-30s\n"
    names = ("Idx", "BE", "Mac Addr.", "handle", "state", "evt-ch", "tx-", "rx-ring-ref", "BE-path")
    row = "%-3d %-2d %s%6d %5d %6d %5d/%-11d %-30s\n"
    return head % names + "".join(
        row
        % (
            vif.devid, vif.backend, vif.mac, vif.devid, vif.state, vif.event_channel, vif.tx_ring_ref,
            vif.rx_ring_ref, vif.backend_path,
        )
        for vif in vifs
    )  # fmt: skip


def disk_text(disks: Iterable[DiskView]) -> str:
    """`xl block-list`; what it calls the handle is the domain that has the disk."""
    head = "%-5s %-3s %-6s %-5s %-6s %-8s %-30s\n"
    names = ("Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path")
    row = "%-5d %-3d %-6d %-5d %-6d %-8d %-30s\n"
    return head % names + "".join(
        row
        % (
            disk.devid, disk.backend, disk.domid, disk.state, disk.event_channel, disk.ring_ref,
            disk.backend_path,
        )
        for disk in disks
    )  # fmt: skip


def channel_text(channels: Iterable[ChannelView]) -> str:
    """`xl channel-list`."""
    head = "%-3s %-2s %-5s %-6s %8s %-10s %-30s\n"
    names = ("Idx", "BE", "state", "evt-ch", "ring-ref", "connection", "")
    lines = [head % names]
    for channel in channels:
        figures = (channel.devid, channel.backend, channel.state, channel.event_channel, channel.ring_ref)
        line = "%-3d %-2d %-5d %-6d %-8d " % figures + f"{channel.connection:<10} "  # noqa: UP031 - xl's own
        if channel.connection == "pty":
            line += f"{channel.path:<30} "
        lines.append(line + "\n")
    return "".join(lines)
