"""The kinds of devices that libxl has, and what it can do with each.

A device is what libxl's JSON says of it (libxl_device_KIND). What a libxl can do with a kind is
what functions it has: 4.20 lists no more than 4.17 does, but adds 9pfs shares.

Source: libxl.h (Devices), libxl_types.idl.
"""

from __future__ import annotations

from xentool.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.toolstack.libxl.library import Library


class Kind:
    """A kind of device.

    `keys` are those of its JSON that tell one device from another of the same domain, each list of
    them enough by itself; `info` is the structure of its live figures, "" if there is none.
    """

    __slots__ = ("add", "info", "keys", "name")

    def __init__(self, name: str, *keys: tuple[str, ...], info: str = "", add: str = "") -> None:
        self.name = name
        self.keys = keys
        self.info = info
        self.add = add or f"libxl_device_{name}_add"

    @property
    def struct(self) -> str:
        return f"device_{self.name}"

    def function(self, verb: str) -> str:
        """libxl's function that lists, adds, removes, destroys or tells of (getinfo) one."""
        return self.add if verb == "add" else f"libxl_device_{self.name}_{verb}"

    def can(self, library: Library, verb: str) -> bool:
        """Whether this libxl can do that with the kind: list, add, remove, destroy or getinfo."""
        return library.has(self.function(verb))

    def is_it(self, device: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
        """Whether `wanted` names the device."""
        return any(
            all(device.get(key, 0) == wanted[key] for key in keys)
            for keys in self.keys
            if all(key in wanted for key in keys)
        )


_ALL = (
    Kind("disk", ("vdev",), info="diskinfo"),
    Kind("nic", ("devid",), ("mac",), info="nicinfo"),
    Kind("channel", ("devid",), ("name",), info="channelinfo"),
    Kind("vtpm", ("devid",), ("uuid",), info="vtpminfo"),
    Kind("vkb", ("devid",), ("id",), info="vkbinfo"),
    Kind("vdispl", ("devid",), info="vdisplinfo"),
    Kind("vsnd", ("devid",), info="vsndinfo"),
    Kind("usbctrl", ("devid",), info="usbctrlinfo"),
    Kind("usbdev", ("ctrl", "port"), ("type.hostdev",)),
    Kind("pci", ("domain", "bus", "dev", "func")),
    Kind("vfb", ("devid",)),
    Kind("p9", ("devid",), ("tag",), add="libxl_device_9pfs_add"),
    Kind("pvcallsif", ("devid",)),
)
KINDS = {kind.name: kind for kind in _ALL}
"""All kinds by libxl's names for them."""
XL_NAMES = {
    "vif": "nic",
    "network": "nic",
    "vbd": "disk",
    "block": "disk",
    "9pfs": "p9",
    "pvcalls": "pvcallsif",
}
"""The names by which Xen's store, and xl's commands, call some of them."""


def kind_of(name: str) -> Kind:
    """The kind of that name, be it libxl's, the store's or xl's.

    Raises:
        UsageError: there is none.
    """
    found = KINDS.get(XL_NAMES.get(name, name))
    if found is None:
        raise UsageError(
            "find device kind", name, "there is no such kind of device", hint=f"there are: {', '.join(KINDS)}"
        )
    return found
