"""The store nodes of a new PV domain: what libxl writes, in its order, as data.

Permissions are XenStore's own words: ``n0,r7`` is "owned by domain 0, nobody
else may touch it, but domain 7 may read"; ``n7`` gives domain 7 the node.

Source: docs/misc/xenstore-paths.pandoc; the values and the permissions that
``xenstore-ls -fp`` shows after ``xl create``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from xentool.domain.config.model import DomainConfig
    from xentool.store.client import StoreClient
    from xentool.store.operations import Transaction
    from xentool.units import DomId, Mfn, Port

CONSOLE_LIMIT = 1 << 20  # bytes that xenconsoled keeps for a console nobody reads
XENBUS_INITIALISING = "1"

# What the guest may write itself. The backends' and the toolstack's nodes stay read-only for it.
GUEST_OWNED = (
    "device/suspend/event-channel",
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/sysrq",
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
)  # fmt: skip


class Node:
    """A node to write: its path, its value, its permissions (None: those of its parent)."""

    __slots__ = ("path", "permissions", "value")

    def __init__(self, path: str, value: str = "", permissions: tuple[str, ...] | None = None) -> None:
        self.path = path
        self.value = value
        self.permissions = permissions

    def __repr__(self) -> str:
        return f"Node({self.path!r}, {self.value!r}, {self.permissions!r})"


def domain_path(domid: DomId) -> str:
    return f"/local/domain/{domid}"


def libxl_path(domid: DomId) -> str:
    return f"/libxl/{domid}"


def vm_path(uuid: str) -> str:
    return f"/vm/{uuid}"


def backend_path(backend: DomId, kind: str, domid: DomId, devid: int) -> str:
    return f"{domain_path(backend)}/backend/{kind}/{domid}/{devid}"


def identity_nodes(domid: DomId, config: DomainConfig, uuid: str) -> list[Node]:
    """The first transaction: the domain has a place, a name, and nodes of its own."""
    top, vm, libxl = domain_path(domid), vm_path(uuid), libxl_path(domid)
    readable, own, hidden = ("n0", f"r{domid}"), (f"n{domid}",), ("n0",)
    nodes = [
        Node(top, "", readable),
        Node(vm, "", readable),
        Node(libxl, "", hidden),
        Node(f"{libxl}/device", "", hidden),
        Node(f"{top}/vm", vm),
        Node(f"{top}/name", config.name),
        Node(f"{top}/cpu", "", readable),
        Node(f"{top}/memory", "", readable),
        Node(f"{top}/device", "", readable),
        Node(f"{top}/control", "", readable),
    ]
    nodes += [Node(f"{top}/{name}", "", own) for name in GUEST_OWNED]
    nodes += [
        Node(f"{vm}/uuid", uuid),
        Node(f"{vm}/name", config.name),
        Node(f"{top}/control/platform-feature-multiprocessor-suspend", "1"),
        Node(f"{top}/control/platform-feature-xs_reset_watches", "1"),
        Node(f"{libxl}/type", "pv"),
        Node(f"{libxl}/dm-version", "qemu_xen"),
    ]
    return nodes


def image_nodes(
    domid: DomId, config: DomainConfig, uuid: str, store_port: Port, store_mfn: Mfn, start_time: str
) -> list[Node]:
    """The second transaction: what was built, for the guest and for tools."""
    top, vm = domain_path(domid), vm_path(uuid)
    nodes = [
        Node(f"{top}/memory/static-max", str(config.max_memory_kib)),
        Node(f"{top}/memory/target", str(config.memory_kib)),
        Node(f"{top}/memory/videoram", "0"),
        Node(f"{top}/domid", str(domid)),
        Node(f"{top}/store/port", str(store_port)),
        Node(f"{top}/store/ring-ref", str(store_mfn)),
    ]
    nodes += [
        Node(f"{top}/cpu/{n}/availability", "online" if n < config.vcpus else "offline")
        for n in range(config.max_vcpus)
    ]
    nodes += [
        Node(f"{vm}/image/ostype", "linux"),
        Node(f"{vm}/image/kernel", config.kernel or ""),
        Node(f"{vm}/start_time", start_time),
    ]
    if config.ramdisk is not None:
        nodes.append(Node(f"{vm}/image/ramdisk", config.ramdisk))
    if config.cmdline:
        nodes.append(Node(f"{vm}/image/cmdline", config.cmdline))
    return nodes


def console_nodes(domid: DomId, backend: DomId, port: Port, mfn: Mfn) -> list[Node]:
    """The primary console. Its frontend is not the guest's to write: a tool reads `tty` there (XSA-57)."""
    front = f"{domain_path(domid)}/console"
    back = backend_path(backend, "console", domid, 0)
    record = f"{libxl_path(domid)}/device/console/0"
    front_perms = (f"n{backend}", f"r{domid}")
    guest_owned = (f"n{domid}", f"r{backend}")
    described = {
        "frontend-id": str(domid),
        "online": "1",
        "state": XENBUS_INITIALISING,
        "protocol": "vt100",
    }
    nodes = [
        Node(f"{record}/frontend", front),
        Node(f"{record}/backend", back),
        Node(front, "", front_perms),
        Node(f"{front}/backend", back),
        Node(f"{front}/backend-id", str(backend), guest_owned),
    ]
    readonly = {
        "limit": str(CONSOLE_LIMIT),
        "type": "xenconsoled",
        "output": "pty",
        "tty": "",
        "port": str(port),
        "ring-ref": str(mfn),
    }
    nodes += [Node(f"{front}/{name}", value, front_perms) for name, value in readonly.items()]
    nodes += [Node(back, "", front_perms), Node(f"{back}/frontend", front)]
    nodes += [Node(f"{back}/{name}", value) for name, value in described.items()]
    nodes += [Node(f"{record}/{name}", value) for name, value in described.items()]
    return nodes


def in_tree_order(nodes: Iterable[Node]) -> list[Node]:
    """Parents before children: for printing."""
    return sorted(nodes, key=lambda node: node.path.split("/"))


def write_nodes(store: Transaction, nodes: Iterable[Node]) -> None:
    """Write `nodes`, which are not there yet, in their order, in one go."""
    given: dict[str, tuple[str, ...] | None] = {}
    with store.batch() as batch:
        for node in nodes:
            # A new node has its parent's permissions: to say them again is a request more for each node.
            inherited = given.get(node.path[: node.path.rfind("/")])
            given[node.path] = node.permissions or inherited
            batch.write(node.path, node.value, None if node.permissions == inherited else node.permissions)


def commit_nodes(store: StoreClient, nodes: Iterable[Node]) -> None:
    """Write `nodes` in one transaction."""
    store.run_transaction(lambda transaction: write_nodes(transaction, nodes))
