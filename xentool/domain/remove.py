"""Taking a domain away: from the hypervisor, the store, and the files that toolstacks keep.

What a domain owns is read from ``/libxl/DOMID``, which no guest can write, and
never from its own nodes (XSA-175, XSA-178).
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

from xentool.domain.domid_history import mark_recent
from xentool.domain.locks import libxl_lock
from xentool.domain.nodes import backend_path, domain_path, libxl_path, vm_path
from xentool.domain.userdata import LOCK_NAME, userdata_path
from xentool.errors import NotFoundError, StoreError, XentoolError
from xentool.units import DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.domain.host import Host
    from xentool.store.operations import Operations, Transaction


@contextmanager
def without_interruption() -> Iterator[None]:
    """Hold back ^C and SIGTERM: an undo that is itself interrupted would leave what it should take away."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def remove_domain(host: Host, domid: DomId, uuid: str) -> None:
    """Destroy the domain and everything that was made for it. What is gone already is no error.

    Raises:
        XentoolError: it has devices that we cannot take away, or Xen refused.
    """
    consoles = _owned_consoles(host, domid)
    try:
        # The guest must not act on nodes that vanish under it.
        host.hypercalls.pause_domain(domid)
    except NotFoundError:
        pass
    with host.store.batch() as batch:
        for console in consoles:
            batch.rm(console)
        batch.rm(vm_path(uuid))
        batch.rm(domain_path(domid))
        batch.rm(libxl_path(domid))
    _prune(host, [console.rpartition("/")[0] for console in consoles])
    remove_userdata(host.paths.userdata, domid, uuid)
    mark_recent(host.paths.domid_history, domid)
    try:
        host.hypercalls.destroy_domain(domid)
    except NotFoundError:
        pass
    try:
        host.store.release(domid)
    except StoreError as exc:
        if exc.errno_name not in ("ENOENT", "EINVAL"):  # it was never introduced, or the store saw it die
            raise


def _owned_consoles(host: Host, domid: DomId) -> list[str]:
    """The backend paths of the domain's consoles, by our own record of what it owns.

    Raises:
        XentoolError: it also owns devices of kinds whose backends need more than that.
    """
    record = f"{libxl_path(domid)}/device"
    kinds = _children(host.store, record)
    others = [kind for kind in kinds if kind != "console" and _children(host.store, f"{record}/{kind}")]
    if others:
        raise XentoolError(
            "destroy domain",
            domid,
            f"it has devices that xentool does not detach yet ({', '.join(sorted(others))})",
            hint=f"use `xl destroy {domid}`",
        )
    paths = []
    for devid in _children(host.store, f"{record}/console") if "console" in kinds else []:
        backend = host.store.try_read(f"{record}/console/{devid}/backend")
        if backend is None or not devid.isdigit():
            continue
        path = backend.decode("ascii", "replace")
        parts = path.split("/")
        # Exactly /local/domain/B/backend/console/D/I, and nothing else: it is about to be removed.
        if len(parts) == 8 and parts[3].isdigit():
            expected = backend_path(DomId(int(parts[3])), "console", domid, int(devid))
            if path == expected:
                paths.append(path)
    return paths


def _children(store: Operations, path: str) -> list[str]:
    try:
        return store.directory(path)
    except StoreError as exc:
        if exc.errno_name == "ENOENT":
            return []
        raise


def _prune(host: Host, folders: list[str]) -> None:
    """Remove `backend/console/D`, then what that leaves empty above it, as libxl does."""

    def prune(transaction: Transaction) -> None:
        for folder in folders:
            path = folder
            while path.count("/") > 3 and not _children(transaction, path):  # never above /local/domain/B
                if transaction.exists(path):
                    transaction.rm(path)
                path = path.rpartition("/")[0]

    if folders:
        host.store.run_transaction(prune)


def remove_userdata(directory: str, domid: DomId, uuid: str) -> None:
    """Remove libxl's files about the domain, under its lock, which goes last."""
    marks = tuple(f"userdata-{kind}.{domid}.{uuid}." for kind in "dlprtu")
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
