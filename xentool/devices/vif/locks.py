"""Locks that are to be, against those that are: what others do to nftables, and to vifs, is mended.

Whoever flushes nftables' rules (Debian's nftables.service does, when it is reloaded) takes the locks
with them; a domain that another toolstack has ended leaves its own behind, and they are for a name.
"""

from __future__ import annotations

from xentool.devices.paths import is_number, libxl_path
from xentool.errors import HostError, StoreError
from xentool.units import DOMAIN0, DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xentool.devices.device import Address, DeviceHost
    from xentool.store.operations import Operations


def relock(host: DeviceHost) -> tuple[list[str], list[str]]:
    """Guard all interfaces that are on record as locked, and no others.

    Returns the names of those whose guard was not whole, and of those that had a guard without a lock.

    Raises:
        HostError: there are locks, and this Domain-0 cannot filter.
    """
    from xentool.devices.vif.hotplug import is_bridged, own_name

    firewall = host.dom0.firewall
    missing: HostError | None = None
    try:
        # Before the records: who locks an interface has written its record by then.
        guarded = set(firewall.guarded())
    except HostError as exc:
        guarded, missing = set(), exc
    restored: list[str] = []
    names: set[str] = set()
    for address, nodes in _locked(host):
        if missing is not None:
            raise missing
        name = host.dom0.links.of_vif(address.domid, address.devid)
        names |= {own_name(address), nodes.get("vifname", own_name(address))}
        if name is None:
            continue  # it comes, or it goes: whoever is at it guards it
        names.add(name)
        firewall.guard(name, nodes["mac"], nodes["lock"].split(), bridged=is_bridged(host, nodes))
        if name not in guarded:
            restored.append(name)
    stale = sorted(guarded - names)
    for name in stale:
        firewall.unguard(name)
    return sorted(restored), stale


def locked_devids(store: Operations, domid: DomId) -> list[int]:
    """The numbers of a domain's interfaces that are on record as locked, in their order."""
    top = f"{libxl_path(domid)}/device/vif"
    (names,) = store.directories([top])
    devids = [name for name in names or () if is_number(name)]
    locks = store.read_many([f"{top}/{devid}/lock" for devid in devids])
    return sorted(int(devid) for devid, lock in zip(devids, locks, strict=True) if lock is not None)


def locked_names(host: DeviceHost, domid: DomId, devid: int | None = None) -> list[str]:
    """What the locked interfaces of a domain are called (or the one of that number), while they are there.

    For toolstacks that take interfaces away and know of no locks; `unlock` is for afterwards.
    """
    if not locked_devids(host.store, domid):  # on its record, where alone xentool writes of it
        return []
    from xentool.devices.record import recorded  # which a domain without locks need not load
    from xentool.devices.vif.hotplug import own_name

    names: list[str] = []
    for device in recorded(host.store, domid, "vif"):
        address = device.address
        ours = address is not None and address.backend == DOMAIN0 and "lock" in device.nodes
        if address is None or not ours or devid not in (None, address.devid):
            continue
        own = own_name(address)
        names += dict.fromkeys((device.nodes.get("vifname", own), own))
    return names


def unlock(host: DeviceHost, names: Sequence[str]) -> None:
    """Take away the locks of interfaces that have gone."""
    for name in names:
        host.dom0.firewall.unguard(name)


def _locked(host: DeviceHost) -> Iterator[tuple[Address, Mapping[str, str]]]:
    """The locked vifs of all domains, and their nodes."""
    from xentool.devices.record import recorded

    try:
        domids = host.store.directory("/libxl")
    except StoreError:
        return  # no domain ever
    for domid in domids:
        if not domid.isdecimal():
            continue
        for device in recorded(host.store, DomId(int(domid)), "vif"):
            address = device.address
            if address is not None and address.backend == DOMAIN0 and {"lock", "mac"} <= device.nodes.keys():
                yield address, device.nodes
