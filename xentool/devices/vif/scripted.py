"""A vif that a script ties: any script but Xen's own three, or one of those by its path.

Source: tools/libs/light/libxl_linux.c (libxl__hotplug_nic, get_hotplug_env);
tools/hotplug/Linux/vif-common.sh (success).
"""

from __future__ import annotations

from xentool.devices.paths import script_path
from xentool.devices.script import run_hotplug
from xentool.devices.vif.hotplug import own_name
from xentool.errors import HostError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.device import Address, DeviceHost
    from xentool.devices.vif.spec import Vif
    from xentool.dom0.port import Link


class Scripted:
    """By the script of that name or path. It reads what it needs from the backend's nodes."""

    def __init__(self, script: str) -> None:
        self._path = script_path(script)

    def check(self, host: DeviceHost, vif: Vif) -> None:
        if not host.dom0.programs.exists(self._path):
            raise NotFoundError(
                "attach vif",
                vif.devid,
                f"its script {self._path} is not there, or may not be run",
                hint="Xen's own are vif-bridge (the default), vif-route, vif-nat and vif-openvswitch",
            )

    def join(self, host: DeviceHost, address: Address, vif: Vif, mac: str, link: Link) -> Mapping[str, str]:
        firewall = host.dom0.firewall
        if vif.lock:
            # Where the script will put it, nobody knows: so at the interface itself, by its first name,
            # and by the one that vif-common.sh gives it.
            firewall.guard(link.name, mac, vif.ips, bridged=False)
            if vif.vifname is not None:
                firewall.guard(vif.vifname, mac, vif.ips, bridged=False, awaited=True)
        self._run(host, address, "online", vif.gatewaydev)
        if vif.lock:
            self._refuse_renamed(host, address, (link.name, vif.vifname))
        status = host.store.try_read(f"{address.back}/hotplug-status") or b""
        if status != b"connected":
            raise HostError(
                f"attach vif {address.devid} of domain",
                address.domid,
                f"{self._path} online ended well, but did not set hotplug-status to connected",
                hint="without that the backend never connects to the guest: see vif-common.sh's `success`",
            )
        return {}

    def _refuse_renamed(self, host: DeviceHost, address: Address, names: tuple[str | None, ...]) -> None:
        """Raise if the script has given it a name of its own, which no rule knows."""
        name = host.dom0.links.of_vif(address.domid, address.devid)
        if name is not None and name not in names:
            raise HostError(
                f"attach vif {address.devid} of domain",
                address.domid,
                f"{self._path} has renamed it to {name}, and so out of its lock",
                hint=f"say vifname={name}, or leave lock and ips out",
            )

    def leave(self, host: DeviceHost, address: Address, nodes: Mapping[str, str], name: str | None) -> None:  # noqa: ARG002 - it finds out itself
        self._run(host, address, "offline", nodes.get("gatewaydev"))

    def _run(self, host: DeviceHost, address: Address, word: str, gatewaydev: str | None) -> None:
        environment = {"netdev": gatewaydev or "", "vif": own_name(address)}
        title = f"vif {address.devid}"
        run_hotplug(host, address, title, self._path, (word, "type_if=vif"), environment)
