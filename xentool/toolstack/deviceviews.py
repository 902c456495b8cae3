"""What a toolstack says about the devices of domains. Values only.

Which devices there are, their backends and all else that identifies them come
from ``/libxl/DOMID/device``, where no guest can write. The live figures (state,
event channel, ring references) are the frontend's, which the guest owns: they
are numbers, or -1 where it has written none, and mean no more than that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.units import DomId


class DeviceView:
    """A device: the `devid` of domain `domid`, served by domain `backend`; -1 where its record names none.

    `state` is the frontend's XenbusState. `record` is all that the toolstack that attached it wrote
    of it, in libxl's words.
    """

    __slots__ = ("backend", "backend_path", "devid", "domid", "event_channel", "record", "state")

    def __init__(
        self,
        domid: DomId,
        devid: int,
        backend: int,
        backend_path: str,
        state: int,
        event_channel: int,
        record: Mapping[str, str],
    ) -> None:
        self.domid = domid
        self.devid = devid
        self.backend = backend
        self.backend_path = backend_path
        self.state = state
        self.event_channel = event_channel
        self.record = record


class VifView(DeviceView):
    """A network device. `mac` is as it was recorded; all zeros where it was not."""

    __slots__ = ("mac", "rx_ring_ref", "tx_ring_ref")

    def __init__(self, device: DeviceView, mac: str, tx_ring_ref: int, rx_ring_ref: int) -> None:
        _copy(device, self)
        self.mac = mac
        self.tx_ring_ref = tx_ring_ref
        self.rx_ring_ref = rx_ring_ref

    @property
    def lock(self) -> list[str] | None:
        """The addresses that the guest is held to, if any; None if it is not even held to its MAC address."""
        words = self.record.get("lock")
        return None if words is None else words.split()


class DiskView(DeviceView):
    """A disk. `vdev` is its name ("xvda"), of which `devid` is the number; `target` is what is behind it."""

    __slots__ = ("ring_ref", "target", "vdev")

    def __init__(self, device: DeviceView, vdev: str, target: str, ring_ref: int) -> None:
        _copy(device, self)
        self.vdev = vdev
        self.target = target
        self.ring_ref = ring_ref

    @property
    def is_cdrom(self) -> bool:
        return self.record.get("device-type") == "cdrom"

    @property
    def read_only(self) -> bool:
        return "w" not in self.record.get("mode", "")


class ChannelView(DeviceView):
    """A channel: console `devid` + 1 of its domain.

    `connection` is "pty" or "socket", `path` the terminal (empty until there is one) or the socket.
    """

    __slots__ = ("connection", "name", "path", "ring_ref")

    def __init__(self, device: DeviceView, name: str, connection: str, path: str, ring_ref: int) -> None:
        _copy(device, self)
        self.name = name
        self.connection = connection
        self.path = path
        self.ring_ref = ring_ref


def _copy(device: DeviceView, view: DeviceView) -> None:
    for name in DeviceView.__slots__:
        setattr(view, name, getattr(device, name))


class DevicePlan:
    """What an attach would do: the store nodes that it would write, and the device as libxl's JSON has it."""

    __slots__ = ("devid", "json", "nodes", "title")

    def __init__(
        self, title: str, devid: int, nodes: list[tuple[str, str, str]], json: dict[str, object]
    ) -> None:
        self.title = title
        self.devid = devid
        self.nodes = nodes
        self.json = json
