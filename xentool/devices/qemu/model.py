"""The QEMU of a PV guest: started, waited for, ended.

Which QEMU a domain has is told by the pid that libxl keeps at ``image/device-model-pid``, where no guest
can write, and by QEMU's own arguments: a pid without them is another program's, and is left alone.
``/local/domain/0/device-model/D`` is there from before a QEMU is started until it has ended; so what a
killed process started is found without its pid, too.

xl starts a QEMU with the domain or never: what needs one later gets none, and waits for ever. Here
whatever needs one first starts it.

Source: tools/libs/light/libxl_dm.c (libxl__spawn_local_dm, libxl__destroy_device_model).
"""

from __future__ import annotations

import os
from time import monotonic

from xentool.devices.paths import domain_path, is_number, libxl_path
from xentool.devices.qemu import arguments as qemu
from xentool.devices.record import children, prune, recorded, values
from xentool.devices.xenbus import INITIALISING
from xentool.errors import HostError, NotFoundError, TimedOutError, XentoolError
from xentool.store.nodes import Node, commit_nodes
from xentool.units import DOMAIN0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from xentool.devices.device import DeviceHost
    from xentool.dom0.port import Daemon
    from xentool.store.operations import Transaction
    from xentool.store.watching import Watch
    from xentool.units import DomId

START_SECONDS: Final = 60.0
"""How long QEMU may take until it runs (libxl's LIBXL_DEVICE_MODEL_START_TIMEOUT)."""
END_SECONDS: Final = 60.0
"""How long it may take to write out what it has in hand; then it is killed."""
_DEFAULT_MEMORY_KIB = 16 << 10
_TAIL_LINES = 5
_POLLIN = 1
_KERNEL_KINDS: Final = ("vif", "vbd", "pci")
"""Backends that are no QEMU's."""


def check(host: DeviceHost) -> None:
    """Refuse what needs a QEMU where there is none.

    Raises:
        HostError: Domain-0 has no QEMU.
    """
    _program(host)


def start(host: DeviceHost, domid: DomId) -> bool:
    """Start the domain's QEMU, unless it runs; does not wait for it. Whether it was started.

    The domain has its name and its channels' records already: channels are given to QEMU now or
    never. Two callers at once would start two: who adds to a running domain holds libxl's lock on it.

    Raises:
        HostError: there is no QEMU, or it cannot be started.
    """
    if is_running(host, domid):
        return False
    program = _program(host)
    top = _top(domid)
    name = _name(host, domid)
    memory = (host.store.try_read(f"{domain_path(domid)}/memory/static-max") or b"").decode(
        "ascii", "replace"
    )
    memory_kib = int(memory) if is_number(memory) else _DEFAULT_MEMORY_KIB
    daemons = host.dom0.daemons
    words = qemu.arguments(
        program, domid, name, memory_kib >> 10, daemons.socket_directory, _channels(host, domid)
    )
    _forget_state(host, domid)
    _reset_consoles(host, domid)
    commit_nodes(host.store, [Node(top, "", ("n0",))])
    pid = daemons.spawn(words, qemu.ENVIRONMENT, _log(host, name))
    try:
        folder = f"{domain_path(domid)}/image"
        commit_nodes(host.store, [Node(f"{folder}/device-model-pid", str(pid), ("n0", f"r{domid}"))])
    except BaseException:
        _end(host, domid, pid)
        raise
    return True


def await_running(host: DeviceHost, domid: DomId) -> None:
    """Wait until the domain's QEMU runs: then it has seen every device of the domain that was there.

    Raises:
        HostError: it ended; with its own words.
        TimedOutError: it did not come up in time.
    """
    path = f"{_top(domid)}/state"
    deadline = monotonic() + START_SECONDS
    with host.store.watch(path) as watch:
        daemon = _find(host, domid)
        try:
            while host.store.try_read(path) != b"running":
                if daemon is None:
                    raise _ended(host, domid)
                if monotonic() >= deadline:
                    raise TimedOutError(
                        "start QEMU for domain",
                        domid,
                        f"it does not run after {START_SECONDS:g} s",
                        hint=f"its log is {_log(host, _name(host, domid))}",
                        detail=last_words(host, domid),
                    )
                _wait(host, watch, daemon, max(0.0, deadline - monotonic()))
                if _has_ended(daemon):
                    raise _ended(host, domid)
        finally:
            if daemon is not None:
                daemon.close()


def is_running(host: DeviceHost, domid: DomId) -> bool:
    """Whether the domain has a QEMU, running or starting."""
    daemon = _find(host, domid)
    if daemon is None:
        return False
    daemon.close()
    return True


def stop(host: DeviceHost, domid: DomId) -> None:
    """End the domain's QEMU, and remove its nodes and sockets. That there is none is no error.

    Disks are written out. To be called before the domain's own nodes go: they have the pid.

    Raises:
        XentoolError: it does not end, may not be ended, or is one that only libxl knows to end.
    """
    user = host.store.try_read(f"{domain_path(domid)}/image/device-model-kill-uid")
    if user is not None:
        raise XentoolError(
            "end QEMU of domain",
            domid,
            f"it runs without privileges, as user {user.decode('ascii', 'replace')}: its arguments cannot be "
            "believed",
            hint=f"use --toolstack libxl, or `xl destroy {domid}`",
        )
    while (daemon := _find(host, domid)) is not None:
        try:
            daemon.end(END_SECONDS)
        finally:
            daemon.close()
    for path in qemu.monitor_sockets(host.dom0.daemons.socket_directory, domid):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise HostError("remove", path, exc.strerror or str(exc), hint="are you root?") from exc
    _forget_state(host, domid)


def stop_if_idle(host: DeviceHost, domid: DomId) -> None:
    """End the domain's QEMU if no device of the domain is left that it could serve.

    Domain-0's own stays: the host starts it (xen-qemu-dom0-disk-backend.service). The caller holds
    libxl's lock on the domain, so that nobody is just adding one.

    Raises:
        XentoolError: as `stop`.
    """
    if (
        domid == DOMAIN0
        or not host.store.exists(_top(domid))
        or host.store.try_read(f"{libxl_path(domid)}/type") == b"hvm"
    ):
        return
    for device in recorded(host.store, domid):
        if device.address is None or device.address.backend_kind not in _KERNEL_KINDS:
            return
    stop(host, domid)


def last_words(host: DeviceHost, domid: DomId) -> str:
    """The last lines that the domain's QEMU has printed."""
    daemon = _find(host, domid)
    if daemon is not None:
        daemon.close()
    text = host.dom0.daemons.printed(_log(host, _name(host, domid)), ended=daemon is None)
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])


def _program(host: DeviceHost) -> str:
    program = host.dom0.daemons.qemu()
    if program is None:
        raise HostError(
            "find QEMU in",
            "Domain-0",
            "there is none that knows Xen, and this needs one as its backend",
            hint="install it: apt-get install qemu-system-xen; a raw image needs none",
        )
    return program


def _find(host: DeviceHost, domid: DomId) -> Daemon | None:
    """The domain's QEMU: by its recorded pid, or, where that leads nowhere, by its arguments."""
    marks = qemu.marks(domid)
    path = f"{domain_path(domid)}/image/device-model-pid"
    pid, top = host.store.read_many([path, _top(domid)])
    if pid is not None:
        text = pid.decode("ascii", "replace")
        daemon = host.dom0.daemons.find(marks, int(text)) if is_number(text) else None
        if daemon is not None:
            return daemon
    # Every process is looked at only where there may be one.
    return None if top is None else host.dom0.daemons.find(marks)


def _end(host: DeviceHost, domid: DomId, pid: int) -> None:
    daemon = host.dom0.daemons.find(qemu.marks(domid), pid)
    if daemon is not None:
        try:
            daemon.end(END_SECONDS)
        finally:
            daemon.close()


def _wait(host: DeviceHost, watch: Watch, daemon: Daemon, seconds: float) -> None:
    """Until the watch has something to say, or the QEMU has ended."""
    from select import poll

    descriptor = host.store.fileno()
    if descriptor >= 0 and not host.store.has_events():
        waiting = poll()
        waiting.register(descriptor, _POLLIN)
        waiting.register(daemon.fileno(), _POLLIN)
        waiting.poll(seconds * 1000)
        seconds = 0
    while watch.next(seconds) is not None:
        seconds = 0


def _has_ended(daemon: Daemon) -> bool:
    from select import poll

    waiting = poll()
    waiting.register(daemon.fileno(), _POLLIN)
    return bool(waiting.poll(0))


def _ended(host: DeviceHost, domid: DomId) -> HostError:
    said = last_words(host, domid)
    last = said.rpartition("\n")[2] or "it said nothing"
    return HostError(
        "start QEMU for domain",
        domid,
        f"it ended at once: {last}",
        hint=f"its log is {_log(host, _name(host, domid))}",
        detail=said,
    )


def _channels(host: DeviceHost, domid: DomId) -> dict[int, tuple[str, str]]:
    """The connection and path of each channel on record, by number."""
    top = f"{libxl_path(domid)}/device/console"
    found = {}
    for number in children(host.store, top):
        if is_number(number) and number != "0":
            record = values(host.store, f"{top}/{number}")
            if record.get("connection") in ("pty", "socket") and record.get("backend", "").startswith(
                f"{domain_path(DOMAIN0)}/"
            ):
                found[int(number)] = (record["connection"], record.get("path", ""))
    return found


def _reset_consoles(host: DeviceHost, domid: DomId) -> None:
    """Let a QEMU take up consoles that one before it, which has died, had taken up: it does so in this state
    alone (xen_be_try_setup of QEMU's hw/xen/xen-legacy-backend.c)."""
    for device in recorded(host.store, domid, "console"):
        if device.address is not None and device.address.by_qemu and device.nodes.get("online") == "1":
            state = f"{device.address.back}/state"
            if host.store.exists(state):
                host.store.write(state, str(INITIALISING))


def _name(host: DeviceHost, domid: DomId) -> str:
    value = host.store.try_read(f"{domain_path(domid)}/name")
    if value is None:
        raise NotFoundError("find domain", domid, "it has no name in the store: is it gone?")
    return value.decode("utf-8", "surrogateescape")


def _log(host: DeviceHost, name: str) -> str:
    return f"{host.dom0.daemons.log_directory}/qemu-dm-{name.replace('/', '_')}.log"


def _top(domid: DomId) -> str:
    return f"{domain_path(DOMAIN0)}/device-model/{domid}"


def _forget_state(host: DeviceHost, domid: DomId) -> None:
    """Remove what a QEMU that has ended left in the store."""
    top, pid = _top(domid), f"{domain_path(domid)}/image/device-model-pid"

    def remove(transaction: Transaction) -> None:
        with transaction.batch() as batch:
            batch.rm(top)
            batch.rm(pid)
        for path in (top, pid):
            prune(transaction, path.rpartition("/")[0])
        # QEMU makes the folder of its backends anew when one goes.
        prune(transaction, f"{domain_path(DOMAIN0)}/backend/qdisk/{domid}")

    host.store.run_transaction(remove)
