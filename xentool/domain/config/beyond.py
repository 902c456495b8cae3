"""What of a config the native toolstack does not do: `reasons`, by which commands choose a toolstack.

A config describes whatever xl.cfg can describe. The native builder makes PV domains with disks,
network interfaces and channels; the rest goes to libxl. Each reason is written as the sysadmin wrote it:
``type="hvm"``, ``pci=``, ``disk xvda: specification=virtio``.

`create` imports this module: a config that asks for nothing more costs next to nothing here.
"""

from __future__ import annotations

from xentool.domain.config.model import GuestType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.devices.vbd.spec import Disk
    from xentool.domain.config.model import DomainConfig

DISPLAY = (
    "vnclisten", "vncdisplay", "vncunused", "vncpasswd", "sdl", "opengl", "display", "xauthority", "keymap",
)  # fmt: skip
"""What a PV guest has through its framebuffer alone: without ``vnc`` it means nothing, to xl too."""


def reasons(config: DomainConfig) -> tuple[str, ...]:
    """Why the native toolstack does not do this config, or not all of it; () if it does."""
    return tuple(what for what, _about in _found(config))


def check_native(config: DomainConfig) -> None:
    """Refuse what the native toolstack does not do.

    Raises:
        UnsupportedError: names the first such key.
    """
    for what, about in _found(config):
        from xentool.errors import UnsupportedError

        raise UnsupportedError("create domain of", config.source.path or config.name, f"{what} ({about})")


def _found(config: DomainConfig) -> Iterator[tuple[str, str]]:
    """What is not done natively, and what that is about."""
    if config.type != GuestType.PV:
        yield f'type="{config.type}"', f"{config.type.upper()} guests"
        return  # the rest goes without saying
    for name, value in config.beyond.items():
        from xentool.domain.config.keys import find_key

        key = find_key(name)
        assert key is not None, name
        if name not in DISPLAY and not key.asks_for_nothing(value):
            yield _written(name, value), key.about
    for disk in config.disks:
        for word, about in _of_disk(disk):
            yield f"disk {disk.vdev}: {word}", about


def _of_disk(disk: Disk) -> Iterator[tuple[str, str]]:
    if disk.specification == "virtio":
        yield "specification=virtio", "virtio disks"
    if disk.backendtype in ("tap", "standalone"):
        yield f"backendtype={disk.backendtype}", "a backend that is neither Linux nor QEMU"


def _written(name: str, value: object) -> str:
    if isinstance(value, (bool, int)):
        return f"{name}={int(value)}"
    if isinstance(value, str) and value.isprintable() and len(value) <= 40:
        return f'{name}="{value}"'
    return f"{name}="
