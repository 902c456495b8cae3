"""A channel's nodes: a console whose number is not 0, served by QEMU.

Source: tools/libs/light/libxl_console.c (libxl__init_console_from_channel, libxl__device_console_add);
what ``xenstore-ls -fp`` shows after ``xl create``.
"""

from __future__ import annotations

import os
import stat

from xentool.devices.channel.spec import SOCKET
from xentool.devices.device import Device
from xentool.errors import HostError, InUseError, NotFoundError
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.channel.spec import Channel
    from xentool.devices.device import Address, DeviceHost
    from xentool.units import DomId

    Json = str | int | dict[str, "Json"] | list["Json"]

LIMIT_BYTES = 1 << 20
"""What a console's daemon keeps of what nobody reads (LIBXL_XENCONSOLE_LIMIT)."""


def channel_device(channel: Channel, number: int, backend: DomId = DOMAIN0) -> Device:
    """The device of a config's `number`th channel, counted from 1 (number 0 is the primary console).

    xl of 4.17 counts from 0, and loses the first channel.
    """
    said = {"name": channel.name, "connection": channel.connection}
    if channel.connection == SOCKET:
        said["path"] = channel.path
    return Device(
        "console",
        number,
        f'channel "{channel.name}"',
        front={"protocol": "vt100"},
        front_readonly={
            "name": channel.name,
            "limit": str(LIMIT_BYTES),
            "type": "ioemu",
            "output": f"chardev:{chardev_id(number)}" if channel.connection == SOCKET else "pty",
            "tty": "",
        },
        back={"protocol": "vt100", **said},
        backend=backend,
        hotplug=ChannelHotplug(channel) if backend == DOMAIN0 else None,
    )


def chardev_id(number: int) -> str:
    """What a channel's end is called on QEMU's command line."""
    return f"libxl-channel{number}"


def channel_entry(channel: Channel) -> dict[str, Json]:
    """The channel in libxl's record of its domain (``channels``): its number is its place there."""
    entry: dict[str, Json] = {"backend_domname": channel.backend} if channel.backend else {}
    entry["name"] = channel.name
    entry[f"connection.{channel.connection}"] = {"path": channel.path} if channel.path else {}
    return entry


class ChannelHotplug:
    """Implements `xentool.devices.device.Hotplug`: QEMU makes the socket, and removes what it finds there."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def check(self, host: DeviceHost) -> None:  # noqa: ARG002 - as all of them have it
        """Refuse a socket's path where something else is.

        Raises:
            NotFoundError: its folder is not there.
            InUseError: somebody listens there.
            HostError: there is a file of another kind.
        """
        if self._channel.connection == SOCKET:
            _check_socket(self._channel.path)

    def prepare(self, host: DeviceHost, address: Address) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def placed(self, host: DeviceHost, address: Address) -> None:
        """Nothing was claimed."""

    def connect(self, host: DeviceHost, address: Address) -> Mapping[str, str]:  # noqa: ARG002
        return {"hotplug-status": "connected"}

    def release(self) -> None:
        """Nothing is held."""


def _check_socket(path: str) -> None:
    action = "make the channel's socket"
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise NotFoundError(action, path, f"there is no folder {folder}", hint=f"mkdir {folder}")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise HostError(action, path, exc.strerror or str(exc)) from exc
    if not stat.S_ISSOCK(mode):
        raise HostError(
            action, path, "there is a file that is no socket", hint="choose another path, or move it away"
        )
    if _has_listener(path):
        raise InUseError(
            action, path, "somebody listens there already", hint="does another domain have a channel there?"
        )


def _has_listener(path: str) -> bool:
    from _socket import AF_UNIX, SOCK_STREAM, socket

    probe = socket(AF_UNIX, SOCK_STREAM)
    probe.setblocking(False)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    finally:
        probe.close()
    return True
