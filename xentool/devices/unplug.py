"""Unplugging: the backend is told Closing, the guest's driver follows, the ties and the nodes go.

A guest may refuse. By force, and when the whole domain goes, its frontend is
taken away first: the backend's driver then closes without asking it.

Nothing here believes what a guest can write: see `record`.

Source: tools/libs/light/libxl_device.c (libxl__initiate_device_generic_remove, libxl__device_destroy);
drivers/xen/xenbus/xenbus_probe.c of Linux (xenbus_otherend_changed).
"""

from __future__ import annotations

from time import monotonic

from xentool.devices.paths import domain_path
from xentool.devices.record import prune
from xentool.devices.xenbus import CLOSED, CLOSING, INIT_WAIT, await_state, parse_state, state_name
from xentool.errors import TimedOutError, XentoolError
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.devices.device import Address, DeviceHost
    from xentool.devices.record import Recorded
    from xentool.store.operations import Transaction

CLOSE_SECONDS = 10.0
"""How long a guest may take to let go of a device (libxl's LIBXL_DESTROY_TIMEOUT)."""


def detach(host: DeviceHost, device: Recorded, title: str, *, force: bool = False) -> None:
    """Unplug one device of a running guest; the guest is asked, unless by `force`.

    A device that no driver of the guest ever connected to goes at once: there is nobody to ask.

    Raises:
        TimedOutError: the guest keeps it; nothing was taken away, and it can go on using it.
    """
    address = device.address
    if address is None or force:
        remove(host, [device])
        return
    state = parse_state(host.store.try_read(f"{address.back}/state"))
    if state is not None and state > INIT_WAIT and state != CLOSED and _is_served(host, address):
        _tell_closing([address], host)
        state = await_state(host.store, address, (None, CLOSED), CLOSE_SECONDS)
        if state not in (None, CLOSED):
            front = parse_state(host.store.try_read(f"{address.front}/state"))
            raise TimedOutError(
                f"detach {title} from domain",
                address.domid,
                f"the guest did not let go of it within {CLOSE_SECONDS:g} s "
                f"(its driver says {state_name(front)}, the backend {state_name(state)})",
                hint="is it mounted or in use there? --force takes it away without asking",
            )
    remove(host, [device])


def remove(host: DeviceHost, devices: Sequence[Recorded]) -> None:
    """Take devices away without asking the guest: backends closed, ties undone, nodes gone.

    Every step is tried for every device. What is gone already is no error.

    Raises:
        XentoolError: the first step that failed, the others' failures beside it.
    """
    failed: list[XentoolError] = []
    addresses = [device.address for device in devices if device.address is not None]
    _tell_closing(addresses, host, without_frontend=True)
    deadline = monotonic() + CLOSE_SECONDS
    for address in addresses:
        if not _is_served(host, address):
            continue  # nobody is there to close it
        # Of a driver domain, whose own devd removes the backend, we wait for that; where it
        # is dead, or its devd is, we do not wait for ever.
        done = (None, CLOSED) if address.backend == DOMAIN0 else (None,)
        await_state(host.store, address, done, max(0.0, deadline - monotonic()))
    for device in devices:
        if device.address is not None and device.address.backend == DOMAIN0:
            from xentool.devices.kinds import disconnect

            try:
                disconnect(host, device.address, device.nodes)
            except XentoolError as error:
                failed.append(error)
    _remove_nodes(host, devices)
    if failed:
        for other in failed[1:]:
            failed[0].add_note(f"and: {other}")
        raise failed[0]


def _is_served(host: DeviceHost, address: Address) -> bool:
    """Whether somebody may be there to close the backend: a QEMU can have died."""
    if not address.by_qemu:
        return True
    from xentool.devices.qemu import model

    return model.is_running(host, address.domid)


def _tell_closing(addresses: Sequence[Address], host: DeviceHost, *, without_frontend: bool = False) -> None:
    """Set the backends to Closing and offline; those that are Closed or gone are left as they are."""
    if not addresses:
        return

    def tell(transaction: Transaction) -> None:
        states = transaction.read_many([f"{address.back}/state" for address in addresses])
        with transaction.batch() as batch:
            for address, state in zip(addresses, states, strict=True):
                if without_frontend:
                    batch.rm(address.front)
                if state is None:
                    continue
                batch.write(f"{address.back}/online", "0")
                if parse_state(state) != CLOSED:
                    batch.write(f"{address.back}/state", str(CLOSING))

    host.store.run_transaction(tell)


def _remove_nodes(host: DeviceHost, devices: Sequence[Recorded]) -> None:
    """Remove the places of the devices, and what is empty above them, as libxl does."""
    paths = []
    for device in devices:
        paths.append(device.path)
        if device.address is not None:
            error = f"{domain_path(device.address.backend)}/error/backend/"
            error += device.address.back.split("/backend/", 1)[1]
            paths += [device.address.front, device.address.back, error]

    def remove_all(transaction: Transaction) -> None:
        with transaction.batch() as batch:
            for path in paths:
                batch.rm(path)
        for path in paths:
            prune(transaction, path.rpartition("/")[0])

    if paths:
        host.store.run_transaction(remove_all)
