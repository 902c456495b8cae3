"""The mock host: hypervisor, store, console daemon and simulated guests around one event loop."""

from __future__ import annotations

import os

from xentool.domain.paths import Paths
from xentool.errors import MockHostError
from xentool.hypervisor.mock.arena import Arena
from xentool.hypervisor.mock.remote import SOCKET_NAME
from xentool.hypervisor.mock.session import Session
from xentool.mockhost.backends import BackendRoom
from xentool.mockhost.blocks import BlockTable
from xentool.mockhost.bounded import Log
from xentool.mockhost.consoled import ConsoleDaemon
from xentool.mockhost.dom0server import SOCKET_NAME as DOM0_NAME
from xentool.mockhost.dom0server import Dom0Server
from xentool.mockhost.guest import GuestYard
from xentool.mockhost.life import LOG_NAME, PID_NAME, STORE_NAME, lock_directory
from xentool.mockhost.loop import Loop
from xentool.mockhost.network import Network
from xentool.mockhost.qemu import SCRIPT_NAME, write_script
from xentool.mockhost.sessions import SessionServer
from xentool.mockhost.store import HostStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.xen import MockXen

_LOG_LIMIT = 1 << 20
_CONSOLE_FOLDER = "console"


class MockHost:
    """A mock host in `directory`, which must be ours. `run` serves until it is told to stop or is idle.

    `idle_seconds` is how long it lives without domains and clients; 0 is for ever. It ends with the
    process `owner`, if there is one, domains or not.

    Raises:
        MockHostError: another one lives there, or the owner does not live.
    """

    def __init__(self, directory: str, xen: MockXen, *, idle_seconds: float, owner: int = 0) -> None:
        self.directory = directory
        self._owner = _open_process(owner) if owner else -1
        self._idle_seconds = idle_seconds
        self._pid_file = _take_place(directory)
        self._log = Log(os.path.join(directory, LOG_NAME), _LOG_LIMIT)
        self._paths = [os.path.join(directory, name) for name in (SOCKET_NAME, STORE_NAME, DOM0_NAME)]
        self._remove_sockets()
        self._loop = Loop()
        self._signals = _Signals(self._loop)
        if owner:
            self._loop.watch(self._owner, lambda _events: self._end(f"process {owner}, its owner, has ended"))
        self._xen = xen
        self._arena = Arena()
        session = Session(xen, self._arena)
        self._store = HostStore(self._loop, xen, session, self._log, self._paths[1], self._changed)
        self._consoles = ConsoleDaemon(
            self._loop, session, self._store, self._log, os.path.join(directory, _CONSOLE_FOLDER)
        )
        network = Network()
        self._blocks = BlockTable()
        self._backends = BackendRoom(session, self._store, network, self._blocks, self._log)
        self._dom0 = Dom0Server(self._loop, network, self._blocks, self._log, self._paths[2], self._changed)
        write_script(directory)
        self._guests = GuestYard(self._loop, xen, self._log)
        xen.domains.on_exception = lambda: self._loop.later(self._store.domains_changed)
        self._callers = SessionServer(
            self._loop, xen, self._log, self._paths[0], changed=self._changed, stop=self._loop.stop
        )
        self._log.line(f"mock host {os.getpid()}: Xen {xen.release}, {xen.memory.frame_count >> 8} MiB")
        self._changed()

    def run(self) -> None:
        """Serve; then leave nothing behind but the logs, and unpacked kernels for the next host."""
        try:
            self._loop.run()
        finally:
            self._close()

    def _changed(self) -> None:
        """Somebody came or went: is there still a reason to live?"""
        seconds = self._idle_seconds if self._idle_seconds > 0 and self._is_idle() else None
        self._loop.set_deadline("idle", seconds, self._expire)

    def _is_idle(self) -> bool:
        return (
            not self._callers.callers
            and not self._store.client_count
            and not self._dom0.callers
            and len(self._xen.domains.all()) == 1
        )

    def _expire(self) -> None:
        if not self._is_idle():
            return
        # Whoever is starting a host has found this one alive: then it has to stay so.
        lock = lock_directory(self.directory, wait=False)
        if lock is None:
            self._changed()
            return
        try:
            self._end(f"idle for {self._idle_seconds:g} s")
        finally:
            os.close(lock)

    def _end(self, why: str) -> None:
        self._log.line(f"{why}: the end")
        self._remove_sockets()
        self._loop.stop()

    def _remove_sockets(self) -> None:
        """Be found no longer. What is of this host goes first: another may start as soon as they are gone."""
        if os.path.lexists(self._paths[0]):
            self._forget_domains()
        for path in self._paths:
            if os.path.lexists(path):
                os.unlink(path)

    def _close(self) -> None:
        self._remove_sockets()
        self._callers.close()
        self._dom0.close()
        self._consoles.close()
        self._backends.close()
        self._blocks.close()
        self._store.close()
        self._xen.close()
        self._arena.close()
        self._signals.close()
        self._loop.close()
        self._log.line("ended")
        self._log.close()
        for name in (SCRIPT_NAME, PID_NAME):
            os.unlink(os.path.join(self.directory, name))
        os.close(self._pid_file)
        if self._owner >= 0:
            os.close(self._owner)

    def _forget_domains(self) -> None:
        """Take away what commands wrote about domains, as a real host's /run loses it when the host ends."""
        import shutil

        paths = Paths.under(self.directory)
        for folder in (paths.run, paths.userdata):
            shutil.rmtree(folder, ignore_errors=True)
        if os.path.lexists(paths.domid_history):
            os.unlink(paths.domid_history)


class _Signals:
    """SIGTERM and SIGINT end the loop."""

    def __init__(self, loop: Loop) -> None:
        import signal

        self._loop = loop
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = {
            number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
        }
        signal.set_wakeup_fd(self._write)
        loop.watch(self._read, lambda _events: loop.stop())

    def close(self) -> None:
        import signal

        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)
        self._loop.forget(self._read)
        os.close(self._read)
        os.close(self._write)


def _open_process(pid: int) -> int:
    """A descriptor that is ready when the process has ended."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise MockHostError(
            "start the mock host",
            f"for process {pid}",
            f"its owner (XENTOOL_MOCK_OWNER) is no process that lives: {error.strerror}",
            hint="in a shell, XENTOOL_MOCK_OWNER=$$ names the shell itself",
        ) from error


def _take_place(directory: str) -> int:
    """The pid file, locked for as long as we live: the kernel gives the lock back whatever ends us."""
    import fcntl

    path = os.path.join(directory, PID_NAME)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise MockHostError(
                "start the mock host",
                directory,
                f"another one lives there, process {pid or 'unknown'}, and does not answer",
                hint="end that process, or name another directory with XENTOOL_MOCK_DIR",
            ) from None
        # Its last owner may have removed it between our open and our lock.
        if os.path.lexists(path) and os.stat(path).st_ino == os.fstat(descriptor).st_ino:
            break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
