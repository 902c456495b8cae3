"""Domain-0 as it is: a Linux kernel, its ioctls and sockets, its programs.

Each part is imported when it is first asked for: `network-attach` never loads what disks need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.dom0.linux.firewall import NftFirewall


class LinuxDom0:
    """Implements `xentool.dom0.port.Dom0` on the machine that this process runs on."""

    @property
    def firewall(self) -> NftFirewall:
        from xentool.dom0.linux.firewall import NftFirewall

        return NftFirewall()
