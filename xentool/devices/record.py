"""What a domain owns: the toolstack's records under ``/libxl/D/device``, which no guest can write.

Whatever else is read about a device, this says which there are and where their
backends are; the frontend, which the guest owns, may say what it likes (XSA-175,
XSA-178). A backend path is followed only if it is exactly where the backend of
that device has to be.
"""

from __future__ import annotations

from xentool.devices.device import Address
from xentool.devices.paths import is_number, libxl_path
from xentool.errors import StoreError
from xentool.units import DOMAIN0, DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.operations import Operations, Transaction


class Recorded:
    """A device on record. `address` is None where the record names no backend that could be this device's.

    `nodes` are the record's own values by name, overlaid by the backend's where Domain-0 is the
    backend: those no guest can write either.
    """

    __slots__ = ("address", "nodes", "path")

    def __init__(self, path: str, address: Address | None, nodes: dict[str, str]) -> None:
        self.path = path
        self.address = address
        self.nodes = nodes


def recorded(store: Operations, domid: DomId, kind: str | None = None) -> list[Recorded]:
    """The devices of a domain (of one `kind`), by kind and number; the primary console is not one of them."""
    top = f"{libxl_path(domid)}/device"
    found = []
    for name in [kind] if kind is not None else sorted(children(store, top)):
        devids = [devid for devid in children(store, f"{top}/{name}") if is_number(devid)]
        if name == "console":
            devids = [devid for devid in devids if devid != "0"]
        found += [(name, int(devid)) for devid in sorted(devids, key=int)]
    return read_records(store, domid, found)


def read_records(store: Operations, domid: DomId, devices: list[tuple[str, int]]) -> list[Recorded]:
    """The records of these devices (kind and number), read in as few goes as there are steps."""
    tops = [f"{libxl_path(domid)}/device/{kind}/{devid}" for kind, devid in devices]
    backends = store.read_many([f"{top}/backend" for top in tops])
    result = []
    for top, (kind, devid), backend in zip(tops, devices, backends, strict=True):
        address = backend_address(domid, kind, devid, backend)
        nodes = values(store, top)
        if address is not None and address.backend == DOMAIN0:
            nodes |= values(store, address.back)
        result.append(Recorded(top, address, nodes))
    return result


def backend_address(domid: DomId, kind: str, devid: int, backend: bytes | None) -> Address | None:
    """The device whose record says that its backend is at `backend`, if that is where it can be.

    Exactly ``/local/domain/B/backend/BACKENDKIND/D/N`` and nothing else: it is written to, and removed.
    """
    parts = (backend or b"").decode("ascii", "replace").split("/")
    if len(parts) != 8 or not is_number(parts[3]):
        return None
    address = Address(domid, kind, devid, DomId(int(parts[3])), parts[5])
    return address if parts[5] and address.back == "/".join(parts) else None


def values(store: Operations, path: str) -> dict[str, str]:
    """The values right below `path`, by name; none if it is not there."""
    names = children(store, path)
    read = store.read_many([f"{path}/{name}" for name in names])
    return {
        name: value.decode("utf-8", "surrogateescape")
        for name, value in zip(names, read, strict=True)
        if value is not None
    }


def children(store: Operations, path: str) -> list[str]:
    """The names below `path`; none if it is not there."""
    try:
        return store.directory(path)
    except StoreError as exc:
        if exc.errno_name == "ENOENT":
            return []
        raise


def prune(transaction: Transaction, path: str) -> None:
    """Remove `path` if nothing is below it, and then what is above it; never a domain's own node."""
    while path.count("/") > 3 and not children(transaction, path):
        if transaction.exists(path):
            transaction.rm(path)
        path = path.rpartition("/")[0]
