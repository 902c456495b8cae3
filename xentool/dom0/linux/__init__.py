"""Domain-0 as it is: a Linux kernel, its ioctls and sockets, its programs.

Each part is imported when it is first asked for: `network-attach` never loads what disks need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.dom0.linux.blocks import LinuxBlocks
    from xentool.dom0.linux.daemons import LinuxDaemons
    from xentool.dom0.linux.firewall import NftFirewall
    from xentool.dom0.linux.links import LinuxLinks
    from xentool.dom0.linux.programs import LinuxPrograms


class LinuxDom0:
    """Implements `xentool.dom0.port.Dom0` on the machine that this process runs on."""

    def __init__(self) -> None:
        self._links: LinuxLinks | None = None

    @property
    def blocks(self) -> LinuxBlocks:
        from xentool.dom0.linux.blocks import LinuxBlocks

        return LinuxBlocks()

    @property
    def firewall(self) -> NftFirewall:
        from xentool.dom0.linux.firewall import NftFirewall

        return NftFirewall()

    @property
    def links(self) -> LinuxLinks:
        if self._links is None:
            from xentool.dom0.linux.links import LinuxLinks

            self._links = LinuxLinks()
        return self._links

    @property
    def programs(self) -> LinuxPrograms:
        from xentool.dom0.linux.programs import LinuxPrograms

        return LinuxPrograms()

    @property
    def daemons(self) -> LinuxDaemons:
        from xentool.dom0.linux.daemons import LinuxDaemons

        return LinuxDaemons()

    def hooks(self, folder: str) -> Sequence[str]:
        # Here, because every vif asks, and few need what else there is of programs.
        import os

        try:
            names = os.listdir(folder)
        except OSError:
            return []
        paths = {name: f"{folder}/{name}" for name in names if name.endswith(".hook")}
        return sorted(name for name, path in paths.items() if os.access(path, os.X_OK))
