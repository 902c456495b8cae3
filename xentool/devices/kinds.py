"""Which code unties which kind of backend; imported when one of them is there."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xentool.devices.device import Address, DeviceHost

    Disconnect = Callable[[DeviceHost, Address, Mapping[str, str]], None]

_TIED = {
    "vif": "xentool.devices.vif.hotplug",
    "vbd": "xentool.devices.vbd.hotplug",
    "qdisk": "xentool.devices.vbd.hotplug",
}
"""The module whose ``disconnect`` undoes what tied a backend of that kind to Domain-0."""


def disconnect(host: DeviceHost, address: Address, nodes: Mapping[str, str]) -> None:
    """Undo what tied a backend of Domain-0; `nodes` are those of its record and of the backend.

    Kinds that nothing but their nodes ties (a virtual keyboard, a channel) need no more.
    """
    module = _TIED.get(address.backend_kind)
    if module is not None:
        from importlib import import_module

        untie: Disconnect = import_module(module).disconnect
        untie(host, address, nodes)
