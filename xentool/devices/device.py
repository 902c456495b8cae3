"""A split device: where its ends are, what is written there, and what ties its backend to Domain-0.

A device has two ends: the frontend, a driver in the guest, below
``/local/domain/D/device/KIND/N``, which the guest owns; and the backend, a
driver in Domain-0 or a driver domain, below
``/local/domain/B/backend/KIND/D/N``. What the toolstack knows of both stands
a third time under ``/libxl/D/device/KIND/N``, where no guest can write: that
record alone is trusted (XSA-175, XSA-178).

Source: public/io/xenbus.h; tools/libs/light/libxl_device.c (libxl__device_generic_add).
"""

from __future__ import annotations

from xentool.devices.paths import backend_path, domain_path, libxl_path
from xentool.units import DOMAIN0
from xentool.values import Frozen, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from xentool.dom0.port import Dom0
    from xentool.store.client import StoreClient
    from xentool.units import DomId

    class DeviceHost(Protocol):
        """What plugging needs of a host; `xentool.domain.host.Host` is one."""

        @property
        def store(self) -> StoreClient: ...
        @property
        def dom0(self) -> Dom0: ...
        @property
        def run_directory(self) -> str: ...

    class Hotplug(Protocol):
        """How one backend in Domain-0 is tied to it: a bridge, a loop device, a script.

        Called in this order, once each; `release` always, whatever went wrong. What `prepare`
        and `connect` made, the kind's ``disconnect(host, address, nodes)`` takes away again,
        knowing only the nodes of the record and, where Domain-0 is the backend, of the backend.
        """

        def check(self, host: DeviceHost) -> None:
            """Raise if it cannot work (no such bridge, image unreadable); change nothing."""

        def prepare(self, host: DeviceHost, address: Address) -> Mapping[str, str]:
            """Make what must be there before the backend; more nodes for the backend (not for the record)."""

        def placed(self, host: DeviceHost, address: Address) -> None:
            """The nodes are in the store: what was claimed is seen by others now, locks can go."""

        def connect(self, host: DeviceHost, address: Address) -> Mapping[str, str]:
            """The backend is in InitWait: tie it. Nodes to write to the backend now."""

        def release(self) -> None:
            """Let go of what was only held while plugging."""


_QEMU_KINDS = ("qdisk", "console")
"""Backends that are QEMU's. (The primary console is none of these devices.)"""


class Address(Frozen):
    """Which device: the `devid` of `kind` ("vif", "vbd") of a domain, and where its backend is.

    `backend_kind` differs from `kind` where several backends serve one frontend ("qdisk" for "vbd").
    """

    __slots__ = ("backend", "backend_kind", "devid", "domid", "kind")
    domid: DomId
    kind: str
    devid: int
    backend: DomId
    backend_kind: str

    def __init__(
        self, domid: DomId, kind: str, devid: int, backend: DomId = DOMAIN0, backend_kind: str = ""
    ) -> None:
        backend_kind = backend_kind or kind
        set_slots(self, locals())

    @property
    def front(self) -> str:
        """The frontend's path."""
        return f"{domain_path(self.domid)}/device/{self.kind}/{self.devid}"

    @property
    def back(self) -> str:
        """The backend's path."""
        return backend_path(self.backend, self.backend_kind, self.domid, self.devid)

    @property
    def record(self) -> str:
        """The path of the toolstack's own record."""
        return f"{libxl_path(self.domid)}/device/{self.kind}/{self.devid}"

    @property
    def by_qemu(self) -> bool:
        """Whether a QEMU of Domain-0 is its backend (see `xentool.devices.qemu`)."""
        return self.backend == DOMAIN0 and self.backend_kind in _QEMU_KINDS


class Device:
    """One device to plug: a plan, made of the config alone.

    `title` names it for people ("vif 0", "disk xvda"). `front` and `back` are its nodes without
    ``frontend``, ``frontend-id``, ``backend``, ``backend-id``, ``online`` and ``state``, which
    every device has; `front_readonly` is what of the frontend the guest must not write (``mtu``).
    `record` is what stands in the record and in neither end. `hotplug` is None if the backend
    is another domain's, whose own devd does it.
    """

    __slots__ = (
        "back", "backend", "backend_kind", "devid", "front", "front_readonly", "hotplug", "kind", "record",
        "title",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        devid: int,
        title: str,
        *,
        front: Mapping[str, str],
        back: Mapping[str, str],
        front_readonly: Mapping[str, str] | None = None,
        record: Mapping[str, str] | None = None,
        backend: DomId = DOMAIN0,
        backend_kind: str = "",
        hotplug: Hotplug | None = None,
    ) -> None:
        self.kind = kind
        self.devid = devid
        self.title = title
        self.front = front
        self.back = back
        self.front_readonly = front_readonly or {}
        self.record = record or {}
        self.backend = backend
        self.backend_kind = backend_kind or kind
        self.hotplug = hotplug

    def address(self, domid: DomId) -> Address:
        return Address(domid, self.kind, self.devid, self.backend, self.backend_kind)

    @property
    def by_qemu(self) -> bool:
        """As `Address.by_qemu`."""
        return self.backend == DOMAIN0 and self.backend_kind in _QEMU_KINDS
