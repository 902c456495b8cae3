"""The command line of the QEMU that serves a PV guest: what libxl gives it, in its order.

Source: tools/libs/light/libxl_dm.c (libxl__build_device_model_args_new, of a guest that is not HVM).
"""

from __future__ import annotations

from xentool.devices.channel.device import chardev_id
from xentool.devices.channel.spec import SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from xentool.units import DomId

ENVIRONMENT: Final = {"XEN_QEMU_CONSOLE_LIMIT": "1048576"}
"""What Xen's own builds of QEMU print at most (XSA-180); others ignore it."""
MONITORS: Final = ("libxl", "libxenstat")
"""Who has a QMP socket of its own: libxl, and xentop's library."""


def arguments(
    program: str,
    domid: DomId,
    name: str,
    memory_mib: int,
    socket_directory: str,
    channels: Mapping[int, tuple[str, str]],
) -> list[str]:
    """The words that start it. `channels` are (connection, path) by number."""
    words = [program, *marks(domid), "-no-shutdown"]
    for monitor, path in zip(MONITORS, monitor_sockets(socket_directory, domid), strict=True):
        words += ["-chardev", f"socket,id={monitor}-cmd,path={_escaped(path)},server=on,wait=off"]
        words += ["-mon", f"chardev={monitor}-cmd,mode=control"]
    for number, (connection, path) in sorted(channels.items()):
        end = f"{connection},id={chardev_id(number)}"
        if connection == SOCKET:
            end += f",path={_escaped(path)},server=on,wait=off"
        words += ["-chardev", end]
    words += ["-nodefaults", "-no-user-config", "-xen-attach", "-name", _escaped(name)]
    words += ["-vnc", "none", "-display", "none", "-nographic", "-machine", "xenpv", "-m", str(memory_mib)]
    return words


def marks(domid: DomId) -> tuple[str, str]:
    """The arguments by which the QEMU of a domain is known from all other programs."""
    return "-xen-domid", str(domid)


def monitor_sockets(directory: str, domid: DomId) -> list[str]:
    return [f"{directory}/qmp-{monitor}-{domid}" for monitor in MONITORS]


def _escaped(text: str) -> str:
    """A value among QEMU's options: a comma ends it, two are one."""
    return text.replace(",", ",,")
