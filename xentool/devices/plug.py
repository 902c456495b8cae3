"""Plugging: a device's nodes are written, its backend's driver finds them, hotplug ties it to Domain-0.

The two drivers then connect by themselves, as soon as the guest has one.

Source: tools/libs/light/libxl_device.c (libxl__device_generic_add, libxl__wait_device_connection).
"""

from __future__ import annotations

from time import monotonic

from xentool.devices.nodes import device_nodes
from xentool.devices.paths import domain_path, libxl_path
from xentool.devices.xenbus import CLOSED, CLOSING, INIT_WAIT, await_state
from xentool.errors import InUseError, NotFoundError, TimedOutError, XentoolError
from xentool.store.nodes import write_nodes
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from xentool.devices.device import Address, Device, DeviceHost
    from xentool.store.nodes import Node
    from xentool.store.operations import Transaction
    from xentool.units import DomId

_TAKEN = range(INIT_WAIT, 9)
READY_SECONDS = 10.0
"""How long a backend's driver may take to find its device (libxl's LIBXL_INIT_TIMEOUT)."""


def check(host: DeviceHost, devices: Iterable[Device]) -> None:
    """Find out, before anything is made, what cannot work: no bridge, no image, no script."""
    for device in devices:
        if device.hotplug is not None:
            device.hotplug.check(host)
        if device.by_qemu:
            from xentool.devices.qemu import model  # few need it

            model.check(host)


def place(
    host: DeviceHost, domid: DomId, devices: Sequence[Device], noted: Callable[[], None] | None = None
) -> None:
    """Prepare the devices and write their nodes, all in one transaction; start the QEMU that they may need.

    `noted` is called just before they are committed, once it is known that the numbers are free.

    Raises:
        InUseError: the domain has a device of that kind and number.
        NotFoundError: the domain was destroyed meanwhile.
        XentoolError: what a device's hotplug found.
    """
    if not devices:
        return
    prepared = []
    for device in devices:
        address = device.address(domid)
        more = device.hotplug.prepare(host, address) if device.hotplug is not None else {}
        prepared.append((device, address, more))

    def write(transaction: Transaction) -> None:
        _refuse_taken(transaction, domid, prepared)
        nodes: list[Node] = []
        with transaction.batch() as batch:
            for device, address, more in prepared:
                for stale in (address.front, address.back, address.record):
                    batch.rm(stale)
                nodes += device_nodes(device, address, more)
        write_nodes(transaction, nodes)
        if noted is not None:
            noted()

    host.store.run_transaction(write)
    for device, address, _ in prepared:
        if device.hotplug is not None:
            device.hotplug.placed(host, address)
    if any(device.by_qemu for device in devices):
        from xentool.devices.qemu import model

        model.start(host, domid)


def _refuse_taken(
    transaction: Transaction, domid: DomId, prepared: Sequence[tuple[Device, Address, object]]
) -> None:
    """Raise if a number is taken, or if there is no such domain any more.

    In the transaction: a domain that goes before that ends would be left with these nodes alone.
    """
    records = [f"{address.record}/backend" for _, address, _ in prepared]
    *taken, place, record = transaction.read_many([*records, domain_path(domid), libxl_path(domid)])
    if domid != DOMAIN0 and (place is None or record is None):
        raise _destroyed(prepared[0][0], domid)
    for (device, _, _), there in zip(prepared, taken, strict=True):
        if there is not None:
            raise InUseError(
                f"attach {device.title} to domain",
                domid,
                "it has that device already",
                hint="choose another number or name, or detach that one first",
            )


def connect(host: DeviceHost, domid: DomId, devices: Sequence[Device]) -> None:
    """Wait until each backend's driver has found its device, and tie it to Domain-0.

    Raises:
        TimedOutError: no driver took the backend.
        XentoolError: the driver gave up, or what tying it met.
    """
    if any(device.by_qemu for device in devices):
        from xentool.devices.qemu import model

        model.await_running(host, domid)
    deadline = monotonic() + READY_SECONDS
    for device in devices:
        address = device.address(domid)
        state = await_state(host.store, address, (None, *_TAKEN), max(0.0, deadline - monotonic()))
        if state is None:
            raise _destroyed(device, domid)
        if state not in _TAKEN:
            raise _not_taken(host, device, address)
        _refuse_failed(host, device, address, state)
        if device.hotplug is None:
            continue
        nodes = device.hotplug.connect(host, address)
        if nodes:
            with host.store.batch() as batch:
                for name, value in nodes.items():
                    batch.write(f"{address.back}/{name}", value)


def release(devices: Iterable[Device]) -> None:
    """Let go of what the devices' hotplug held while they were plugged."""
    for device in devices:
        if device.hotplug is not None:
            device.hotplug.release()


def _refuse_failed(host: DeviceHost, device: Device, address: Address, state: int | None) -> None:
    """Raise if the backend's driver gave the device up, with its own words."""
    if state not in (CLOSING, CLOSED):
        return
    error = f"{domain_path(address.backend)}/error/backend/{address.back.split('/backend/', 1)[1]}/error"
    words = host.store.try_read(error) or b""
    said = words.decode("utf-8", "replace").strip()
    raise XentoolError(
        f"attach {device.title} to domain",
        address.domid,
        f"the backend's driver in {_place(address)} gave it up" + (f": {said}" if said else ""),
        hint="`dmesg` there may say more",
    )


def _destroyed(device: Device, domid: DomId) -> NotFoundError:
    return NotFoundError(
        f"attach {device.title} to domain",
        domid,
        "it was taken away meanwhile",
        hint=f"`xentool list` shows whether domain {domid} is still there",
    )


def _not_taken(host: DeviceHost, device: Device, address: Address) -> TimedOutError:
    who, said = f"no driver in {_place(address)}", ""
    if address.by_qemu:
        from xentool.devices.qemu import model

        said = model.last_words(host, address.domid)
        last = said.rpartition("\n")[2]
        who = f'no QEMU (whose last words are: "{last}")' if last else "no QEMU"
    return TimedOutError(
        f"attach {device.title} to domain",
        address.domid,
        f"{who} took its backend within {READY_SECONDS:g} s",
        hint=_driver_hint(address),
        detail=said,
    )


def _place(address: Address) -> str:
    return "Domain-0" if address.backend == DOMAIN0 else f"domain {address.backend}"


def _driver_hint(address: Address) -> str:
    if address.backend != DOMAIN0:
        return f"does domain {address.backend} run a backend driver and `xl devd`?"
    if address.by_qemu:
        return "can it open the image? its log is in /var/log/xen, called after the domain"
    module = {"vif": "xen-netback", "vbd": "xen-blkback"}.get(address.backend_kind)
    if module:
        return f"is the driver loaded? `modprobe {module}`"
    return "does the program that serves it run?"
