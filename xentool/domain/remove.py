"""Taking a domain away: from the hypervisor, the store, and the files that toolstacks keep.

What a domain owns is read from ``/libxl/DOMID``, which no guest can write, and
never from its own nodes (XSA-175, XSA-178).
"""

from __future__ import annotations

import os

from xentool.devices.paths import backend_path, domain_path, libxl_path
from xentool.devices.record import prune, recorded
from xentool.domain.domid_history import mark_recent
from xentool.domain.locks import libxl_lock
from xentool.domain.nodes import vm_path
from xentool.domain.reach import refuse_destroy
from xentool.domain.userdata import LOCK_NAME, userdata_path
from xentool.errors import HostError, NotFoundError, StoreError, XentoolError
from xentool.units import DomId, uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.devices.record import Recorded
    from xentool.domain.host import Host
    from xentool.store.operations import Transaction


def remove_domain(host: Host, domid: DomId, uuid: str) -> None:
    """Destroy the domain and everything that was made for it. What is gone already is no error.

    A step that fails keeps none of the others from being done: a domain must never stay
    behind without its name because a file could not be written.

    Raises:
        UnsupportedError: it has what we do not take away; nothing is done then.
        XentoolError: the first step that failed, the others' failures beside it.
    """
    devices = recorded(host.store, domid)
    _refuse_others_devices(host, devices, domid)
    consoles = _owned_consoles(host, domid)

    def remove_nodes() -> None:
        _remove_nodes(host, domid, uuid, [*consoles, domain_path(domid), libxl_path(domid)])

    failed: list[Exception] = []
    steps: tuple[Callable[[], object], ...] = (
        lambda: _if_there(host.hypercalls.pause_domain, domid),  # it must not act on nodes that vanish
        lambda: _end_qemu(host, domid),  # it writes out its disks
        lambda: _remove_devices(host, devices),
        remove_nodes,
        lambda: _prune(host, [console.rpartition("/")[0] for console in consoles]),
        lambda: remove_userdata(host.paths.userdata, domid, uuid),
        lambda: mark_recent(host.paths.domid_history, domid),
        lambda: _if_there(host.hypercalls.destroy_domain, domid),
        lambda: _release(host, domid),
        # Once more: xenconsoled may have been writing `console/tty` while the nodes went. Now that
        # the domain is gone it has nothing more to say.
        remove_nodes,
    )
    for step in steps:
        try:
            step()
        except OSError as exc:
            where = exc.filename or host.paths.userdata
            failed.append(HostError("clean up after domain", domid, f"{exc.strerror} ({where})"))
        except XentoolError as exc:
            failed.append(exc)
    if failed:
        for other in failed[1:]:
            failed[0].add_note(f"and: {other}")
        raise failed[0]


def _remove_nodes(host: Host, domid: DomId, uuid: str, paths: Sequence[str]) -> None:
    """Remove the domain's nodes at `paths` and by its uuid; before them, the devices that were plugged since
    we began.

    Who plugs one writes its nodes in a transaction that fails once the domain's own are gone
    (`plug.place`). So each is either seen here or never there.
    """

    tries_left = 3

    def remove(transaction: Transaction) -> list[Recorded]:
        late = recorded(transaction, domid) if tries_left else []
        if not late:
            # Asked within the transaction: who gets the uuid after this makes it fail.
            others = _is_anothers(host, domid, uuid)
            with transaction.batch() as batch:
                for path in paths if others else (*paths, vm_path(uuid)):
                    batch.rm(path)
        return late

    failed: list[XentoolError] = []
    while tries_left:
        tries_left -= 1
        late = host.store.run_transaction(remove)
        if not late:
            break
        try:
            _remove_devices(host, late)
        except XentoolError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _is_anothers(host: Host, domid: DomId, uuid: str) -> bool:
    """Whether a domain that lives has that uuid beside this one: where this one was destroyed before and
    dies, or is gone, its uuid was free for it (`taken`)."""
    handle = uuid_bytes(uuid)
    infos = host.hypercalls.domain_infos()
    return any(info.handle == handle and info.domid != domid and not info.dying for info in infos)


def _if_there(call: Callable[[DomId], None], domid: DomId) -> None:
    try:
        call(domid)
    except NotFoundError:
        pass


def _release(host: Host, domid: DomId) -> None:
    try:
        host.store.release(domid)
    except StoreError as exc:
        if exc.errno_name not in ("ENOENT", "EINVAL"):  # it was never introduced, or the store saw it die
            raise


def _refuse_others_devices(host: Host, devices: Sequence[Recorded], domid: DomId) -> None:
    """Refuse a domain with devices, or a QEMU, that take more than we do.

    Raises:
        UnsupportedError: it has such; nothing was touched.
    """
    user, kind = host.store.read_many(
        [f"{domain_path(domid)}/image/device-model-kill-uid", f"{libxl_path(domid)}/type"]
    )
    refuse_destroy(domid, kind, user, (device.path.split("/")[-2] for device in devices))


def _end_qemu(host: Host, domid: DomId) -> None:
    if host.store.exists(f"{domain_path(DomId(0))}/device-model/{domid}"):
        from xentool.devices.qemu import model  # few domains have one

        model.stop(host, domid)


def _owned_consoles(host: Host, domid: DomId) -> list[str]:
    """The backend path of the domain's console, by our own record of what it owns; none or one."""
    backend = host.store.try_read(f"{libxl_path(domid)}/device/console/0/backend")
    if backend is None:
        return []
    path = backend.decode("ascii", "replace")
    parts = path.split("/")
    # Exactly /local/domain/B/backend/console/D/0, and nothing else: it is about to be removed.
    if len(parts) != 8 or not parts[3].isdigit():
        return []
    return [path] if path == backend_path(DomId(int(parts[3])), "console", domid, 0) else []


def _remove_devices(host: Host, devices: Sequence[Recorded]) -> None:
    if devices:
        from xentool.devices.unplug import remove  # what has no devices need not load it

        remove(host, devices)


def _prune(host: Host, folders: list[str]) -> None:
    """Remove `backend/console/D`, then what that leaves empty above it, as libxl does."""

    def prune_all(transaction: Transaction) -> None:
        for folder in folders:
            prune(transaction, folder)

    if folders:
        host.store.run_transaction(prune_all)


def remove_userdata(directory: str, domid: DomId, uuid: str) -> None:
    """Remove libxl's files about the domain, under its lock, which goes last."""
    marks = tuple(f"userdata-{kind}.{domid}.{uuid}." for kind in "dnl")
    names = [name for name in _listing(directory) if name.startswith(marks)]
    if not names:
        return
    with libxl_lock(userdata_path(directory, "l", domid, uuid, LOCK_NAME)):
        for name in _listing(directory):
            if name.startswith(marks) and not name.endswith(LOCK_NAME):
                os.unlink(f"{directory}/{name}")


def _listing(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
