"""The store nodes of a new PV domain: what libxl writes, in its order, as data.

Permissions are XenStore's own words: ``n0,r7`` is "owned by domain 0, nobody
else may touch it, but domain 7 may read"; ``n7`` gives domain 7 the node.

Source: docs/misc/xenstore-paths.pandoc; the values and the permissions that
``xenstore-ls -fp`` shows after ``xl create``.
"""

from __future__ import annotations

from xentool.devices.paths import backend_path, domain_path, libxl_path
from xentool.store.nodes import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.config.model import DomainConfig
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


def vm_path(uuid: str) -> str:
    return f"/vm/{uuid}"


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
    if config.driver_domain:
        # What a toolstack in that domain (`xl devd`) keeps of the backends that it serves.
        nodes += [Node(f"{top}/{name}", "", own) for name in ("libxl", "device-model")]
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
