"""Who uses a disk already: nobody may read what another writes, nor two write it.

The rule is that of Xen's block script. Its lock is held from the look at all backends until our
own backend's nodes are in the store, so that of two who want a disk one always sees the other, be it
the script. A disk is told by its device number or inode, through loop devices, not by its path; a
partition and its whole disk are the same to whoever writes one of them.

(The script itself compares a hexadecimal device number with one that losetup prints in decimal, and
so hardly ever finds a file that is shared.)

Source: tools/hotplug/Linux/block (check_sharing), block-common.sh (canonicalise_mode, same_vm).
"""

from __future__ import annotations

from _thread import get_ident

from xentool.devices.paths import domain_path
from xentool.errors import InUseError
from xentool.values import Frozen, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from xentool.devices.device import Address, DeviceHost
    from xentool.dom0.port import ClaimLock
    from xentool.units import DomId

    Identity = tuple[str, int, int]

BACKENDS = f"{domain_path(0)}/backend"  # type: ignore[arg-type]
KINDS = ("vbd", "qdisk", "vbd3")
"""libxl's names for the backends of disks: Linux, QEMU, blktap."""
_NODES = ("physical-device", "mode", "params", "hotplug-status", "node")

_held: dict[tuple[int, int], tuple[ClaimLock, int]] = {}
"""The lock, by thread and by the domain it is held for: one that has several disks takes it once."""


class Use(Frozen):
    """A backend in Domain-0 that has a disk. `device` is None before it is claimed, or of QEMU's."""

    __slots__ = ("device", "devid", "domid", "failed", "kind", "mode", "node", "params")
    kind: str
    domid: int
    devid: int
    device: tuple[int, int] | None
    mode: str
    params: str
    failed: bool
    node: str

    def __init__(
        self,
        kind: str,
        domid: int,
        devid: int,
        device: tuple[int, int] | None,
        mode: str,
        params: str,
        failed: bool,
        node: str,
    ) -> None:
        set_slots(self, locals())


def hold_lock(host: DeviceHost, domid: DomId) -> None:
    """Take the lock, or hold it once more."""
    key = (get_ident(), domid)
    lock, times = _held.get(key) or (host.dom0.blocks.lock(), 0)
    _held[key] = (lock, times + 1)


def drop_lock(domid: DomId) -> None:
    """Let go of what `hold_lock` took once."""
    key = (get_ident(), domid)
    lock, times = _held.pop(key)
    if times > 1:
        _held[key] = (lock, times - 1)
    else:
        lock.release()


def canonical_mode(mode: str) -> str:
    """``r``, ``w`` or ``!``, which asks for nothing to be checked."""
    if "w" not in mode:
        return "r"
    return "!" if "!" in mode else "w"


def uses(host: DeviceHost) -> list[Use]:
    """Every backend of a disk in Domain-0: three round trips to the store, however many there are."""
    store = host.store
    places = []
    domains = store.directories([f"{BACKENDS}/{kind}" for kind in KINDS])
    owners = [
        (kind, domid)
        for kind, listed in zip(KINDS, domains, strict=True)
        for domid in listed or ()
        if _is_number(domid)
    ]
    devices = store.directories([f"{BACKENDS}/{kind}/{domid}" for kind, domid in owners]) if owners else []
    for (kind, domid), listed in zip(owners, devices, strict=True):
        places += [(kind, int(domid), int(devid)) for devid in listed or () if _is_number(devid)]
    paths = [f"{BACKENDS}/{kind}/{domid}/{devid}" for kind, domid, devid in places]
    values = store.read_many([f"{path}/{name}" for path in paths for name in _NODES]) if paths else []
    found = []
    for number, place in enumerate(places):
        device, mode, params, status, node = (
            (value or b"").decode("utf-8", "surrogateescape")
            for value in values[number * len(_NODES) : (number + 1) * len(_NODES)]
        )
        failed = status in ("error", "busy")
        found.append(Use(*place, _device(device), mode, params, failed, node))
    return found


def refuse_shared(
    host: DeviceHost, address: Address, title: str, path: str, identity: Identity, access: str
) -> None:
    """Raise InUseError if somebody uses the disk in a way that `access` excludes. The lock is held."""
    mode = canonical_mode(access)
    if mode == "!":
        return
    found = uses(host)
    blocks = host.dom0.blocks
    devices = {use.device for use in found if use.device is not None}
    if identity[0] == "device":
        devices |= {identity[1:], *blocks.overlapping(identity[1:])}
    loops: Mapping[tuple[int, int], Identity] = {}
    if identity[0] == "file" or any(device[0] == LOOP_MAJOR for device in devices):
        loops = blocks.loops()
    same = _same_things(identity, loops)
    _refuse_mounted(host, address, title, path, same, mode)
    wanted = set(same)
    for kind, major, minor in same:
        for other in blocks.overlapping((major, minor)) if kind == "device" else ():
            wanted |= _same_things(("device", *other), loops)
    for use in found:
        if use.domid == address.domid or (mode == "r" and canonical_mode(use.mode) != "w"):
            continue
        if wanted.isdisjoint(_things_of(host, use, loops)):
            continue
        name = _name_of_another(host, use.domid, address.domid)
        if name is not None:
            raise _shared(address, title, path, use, name, access)


LOOP_MAJOR = 7


def _same_things(identity: Identity, loops: Mapping[tuple[int, int], Identity]) -> set[Identity]:
    """The thing itself; if it is a loop device, what is behind it; and all loop devices on any of these."""
    things = {identity}
    while identity[0] == "device" and loops.get(identity[1:], identity) not in things:
        identity = loops[identity[1:]]
        things.add(identity)
    while more := {("device", *device) for device, image in loops.items() if image in things} - things:
        things |= more
    return things


def _things_of(host: DeviceHost, use: Use, loops: Mapping[tuple[int, int], Identity]) -> Iterable[Identity]:
    if use.device is not None:
        device = ("device", *use.device)
        return {device, loops.get(use.device, device)}
    if use.failed:
        return ()
    # QEMU has it, or a script is about to claim it.
    path = use.params if use.kind == "vbd" else use.params.partition(":")[2]
    identity = host.dom0.blocks.identify(path) if path.startswith("/") else None
    return () if identity is None else _same_things(identity, loops)


def _refuse_mounted(
    host: DeviceHost, address: Address, title: str, path: str, wanted: set[Identity], mode: str
) -> None:
    for device, writable in host.dom0.blocks.mounted().items():
        if ("device", *device) in wanted and (writable or mode == "w"):
            raise InUseError(
                f"attach {title} to domain",
                address.domid,
                f"{path} is mounted in Domain-0" + (", for writing" if writable else ""),
                hint="unmount it first; `findmnt` and `lsblk` show where it is",
            )


def _name_of_another(host: DeviceHost, domid: int, ours: DomId) -> str | None:
    """The domain's name, if it is not `ours` under another number (a migration on one host).

    A domain that has no place in the store any more left its backend behind: no user of a disk.
    """
    other = domain_path(domid)  # type: ignore[arg-type]
    vm, our_vm, name = host.store.read_many([f"{other}/vm", f"{domain_path(ours)}/vm", f"{other}/name"])
    if vm is None or vm == our_vm:
        return None
    return (name or b"").decode("utf-8", "replace")


def _shared(address: Address, title: str, path: str, use: Use, name: str, access: str) -> InUseError:
    from xentool.devices.vbd.vdev import device_name

    vdev = device_name(use.devid)
    writes = canonical_mode(use.mode) != "r"
    what = "writes" if writes else "reads"
    reason = f"{path} is a disk of domain {name or use.domid} (domid {use.domid}), which {what} it as {vdev}"
    hint = f"detach it there first: `xentool block-detach {name or use.domid} {vdev}`"
    if access == "w" and not writes:
        hint += ", or give it access=ro here too"
    return InUseError(f"attach {title} to domain", address.domid, reason, hint=hint)


def _device(text: str) -> tuple[int, int] | None:
    """``MAJOR:MINOR`` in hexadecimal."""
    major, colon, minor = text.partition(":")
    try:
        return (int(major, 16), int(minor, 16)) if colon else None
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10
