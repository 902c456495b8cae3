"""The nodes of a device that is being plugged: three places, each in libxl's words.

Source: tools/libs/light/libxl_device.c (libxl__device_generic_add).
"""

from __future__ import annotations

from xentool.devices.xenbus import INITIALISING
from xentool.store.nodes import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.device import Address, Device


def device_nodes(device: Device, address: Address, more: Mapping[str, str] | None = None) -> list[Node]:
    """All nodes of a device that is being plugged, in libxl's order; `more` are for its backend alone."""
    domid, backend = address.domid, address.backend
    front_owner, back_owner = (f"n{domid}", f"r{backend}"), (f"n{backend}", f"r{domid}")
    front = {"backend": address.back, "backend-id": str(backend), "state": str(INITIALISING), **device.front}
    common = {"frontend-id": str(domid), "online": "1", "state": str(INITIALISING), **device.back}
    record = {"frontend": address.front, "backend": address.back, **common, **device.record}
    back = {"frontend": address.front, **common, **(more or {})}
    return [
        Node(address.front, "", front_owner),
        *(Node(f"{address.front}/{name}", value) for name, value in front.items()),
        *(
            Node(f"{address.front}/{name}", value, back_owner)
            for name, value in device.front_readonly.items()
        ),
        Node(address.record, "", ("n0",)),
        *(Node(f"{address.record}/{name}", value) for name, value in record.items()),
        Node(address.back, "", back_owner),
        *(Node(f"{address.back}/{name}", value) for name, value in back.items()),
    ]
