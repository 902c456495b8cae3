"""What an audit knows: a snapshot of the store, and the domains that there are.

Source: docs/misc/xenstore-paths.pandoc; libxl_create.c and libxl_device.c for
what libxl writes, and for whom.
"""

from __future__ import annotations

from xentool.abi.xen import DOMID_FIRST_RESERVED
from xentool.store.paths import is_node_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Final

    from xentool.store.snapshot import StoreNode

DOMAINS: Final = "/local/domain"
RECORDS: Final = "/libxl"
VMS: Final = "/vm"
DOM0: Final = 0


class LiveDomain:
    """A domain that the hypervisor has. `dying`: it is being taken away, its nodes may be gone already."""

    __slots__ = ("domid", "dying", "uuid")

    def __init__(self, domid: int, uuid: str, *, dying: bool = False) -> None:
        self.domid = domid
        self.uuid = uuid
        self.dying = dying


class Device:
    """A device as the toolstack recorded it, in ``/libxl/DOMID/device/KIND/DEVID``.

    `frontend` and `backend` are the recorded paths, "" where the record has none (a device that QEMU alone
    emulates) or one that cannot be this device's: `malformed` names those, as they are. `backend_domid` is
    None where there is no backend.
    """

    __slots__ = ("backend", "backend_domid", "devid", "domid", "frontend", "kind", "malformed", "record")

    def __init__(self, record: str, domid: int, kind: str, devid: str, frontend: str, backend: str) -> None:
        self.record = record
        self.domid = domid
        self.kind = kind
        self.devid = devid
        self.malformed: dict[str, str] = {}
        parts = backend.split("/")
        # A guest that got at the record could have written anything; only what fits is ever followed.
        fits = (
            len(parts) == 8
            and is_node_name(backend.encode())
            and backend.startswith(f"{DOMAINS}/")
            and is_number(parts[3])
            and parts[4] == "backend"
            and parts[6:] == [str(domid), devid]
        )
        if backend and not fits:
            self.malformed["backend"] = backend
        self.backend = backend if fits else ""
        self.backend_domid = int(parts[3]) if fits else None
        fits = frontend.startswith(f"{DOMAINS}/{domid}/") and is_node_name(frontend.encode())
        if frontend and not fits:
            self.malformed["frontend"] = frontend
        self.frontend = frontend if fits else ""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.devid} of domain {self.domid}"

    @property
    def is_primary_console(self) -> bool:
        """xenconsoled's: it has no frontend that connects, and its nodes are not the guest's (XSA-57)."""
        return self.kind == "console" and self.devid == "0"


class Facts:
    """`nodes`: the store from its root on; `live`: the domains; `changing`: those that come or go."""

    def __init__(
        self, nodes: Mapping[str, StoreNode], live: Sequence[LiveDomain], changing: Sequence[int] = ()
    ) -> None:
        self.nodes = nodes
        self.live = {domain.domid: domain for domain in live}
        self.changing = frozenset(changing)
        privileged = {DOM0}
        xenstored = self.text("/tool/xenstored/domid")
        if is_number(xenstored):
            privileged.add(int(xenstored))
        self.privileged = frozenset(privileged)
        self.ownerless_vms = frozenset(self._ownerless_vms())
        self.devices = list(self._recorded())
        self.by_frontend = {device.frontend: device for device in self.devices if device.frontend}
        self.by_backend = {device.backend: device for device in self.devices if device.backend}

    # -- the store -------------------------------------------------------------

    def has(self, path: str) -> bool:
        return path in self.nodes

    def text(self, path: str) -> str:
        """The value of a node as text; "" where it has none or is not there."""
        node = self.nodes.get(path)
        return "" if node is None or node.value is None else node.value.decode("utf-8", "backslashreplace")

    def children(self, path: str) -> tuple[str, ...]:
        node = self.nodes.get(path)
        return () if node is None else node.children

    def numbered(self, path: str) -> Iterator[int]:
        """The children of `path` whose names are numbers: domids, mostly."""
        return (int(name) for name in self.children(path) if is_number(name))

    def owner(self, path: str) -> int | None:
        node = self.nodes.get(path)
        return None if node is None or not node.permissions else domid_of(node.permissions[0])

    # -- domains -----------------------------------------------------------------

    def is_gone(self, domid: int) -> bool:
        """Whether nothing runs, starts or ends under that number."""
        return domid not in self.live and domid not in self.changing and domid not in self.privileged

    def settled(self) -> Iterator[LiveDomain]:
        """The domains that were there all the time and are not being taken away."""
        return (
            domain for domain in self.live.values() if not domain.dying and domain.domid not in self.changing
        )

    def is_settled(self, domid: int) -> bool:
        domain = self.live.get(domid)
        return domain is not None and not domain.dying and domid not in self.changing

    def target_of(self, domid: int) -> int | None:
        """The domain for which `domid` runs the device model (a stub domain has its rights); mostly None."""
        text = self.text(f"{DOMAINS}/{domid}/target")
        return int(text) if is_number(text) else None

    def _ownerless_vms(self) -> Iterator[str]:
        """What is below /vm and belongs to nobody. While domains come and go it is not clear whose it is."""
        if self.changing:
            return
        known = {domain.uuid for domain in self.live.values()}
        known |= {self.text(f"{DOMAINS}/{domid}/vm").rpartition("/")[2] for domid in self.live}
        for uuid in self.children(VMS):
            # A domain that was renamed or restored may have "UUID-1".
            if uuid not in known and uuid[:36] not in known:
                yield uuid

    def is_left_over(self, path: str) -> bool:
        """Whether `path` is in the tree of a domain that is gone."""
        parts = path.split("/")
        if path.startswith(f"{DOMAINS}/") and is_number(parts[3]):
            if self.is_gone(int(parts[3])):
                return True
            folder = parts[4] if len(parts) > 5 else ""
            at = 6 if folder == "backend" else 5 if folder in ("device-model", "libxl") else 0
            return 0 < at < len(parts) and is_number(parts[at]) and self.is_gone(int(parts[at]))
        if path.startswith(f"{RECORDS}/"):
            return is_number(parts[2]) and self.is_gone(int(parts[2]))
        return path.startswith(f"{VMS}/") and parts[2] in self.ownerless_vms

    # -- devices -----------------------------------------------------------------

    def _recorded(self) -> Iterator[Device]:
        for domid in self.numbered(RECORDS):
            top = f"{RECORDS}/{domid}/device"
            for kind in self.children(top):
                for devid in self.children(f"{top}/{kind}"):
                    record = f"{top}/{kind}/{devid}"
                    yield Device(
                        record,
                        domid,
                        kind,
                        devid,
                        self.text(f"{record}/frontend"),
                        self.text(f"{record}/backend"),
                    )

    def frontends(self) -> Iterator[tuple[int, str, str, str]]:
        """Every frontend that there is: domid, kind, devid, path."""
        for domid in self.numbered(DOMAINS):
            top = f"{DOMAINS}/{domid}/device"
            for kind in self.children(top):
                for devid in self.children(f"{top}/{kind}"):
                    if is_number(devid):  # device/suspend/event-channel is none
                        yield domid, kind, devid, f"{top}/{kind}/{devid}"
            if self.has(f"{DOMAINS}/{domid}/console/backend"):
                yield domid, "console", "0", f"{DOMAINS}/{domid}/console"

    def backends(self) -> Iterator[tuple[int, str, int, str, str]]:
        """Every backend that there is: whose, kind, for whom, devid, path."""
        for host in self.numbered(DOMAINS):
            top = f"{DOMAINS}/{host}/backend"
            for kind in self.children(top):
                for domid in self.numbered(f"{top}/{kind}"):
                    for devid in self.children(f"{top}/{kind}/{domid}"):
                        yield host, kind, domid, devid, f"{top}/{kind}/{domid}/{devid}"


def is_number(text: str) -> bool:
    """Whether `text` is a domid or devid as toolstacks write it: decimal, without leading zeros."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and (text == "0" or text[0] != "0")


def domid_of(permission: str) -> int:
    """The domid of "r5"; of "r-1", which a guest can have written, -1."""
    return int(permission[1:])


def can_be_a_domain(domid: int) -> bool:
    return 0 <= domid < DOMID_FIRST_RESERVED


def above(path: str) -> str:
    return path.rpartition("/")[0] or "/"
