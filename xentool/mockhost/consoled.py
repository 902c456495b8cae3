"""The console daemon: what xenconsoled does for PV consoles.

For every domain that the store knows, it waits for console/ring-ref and port,
maps the ring, binds the event channel, makes a pty, and writes its name into
console/tty. What the guest prints goes to the pty and to a log file; what is typed
at the pty goes to the guest.

Source: tools/console/daemon/io.c.
"""

from __future__ import annotations

import os
from contextlib import suppress

from xentool.errors import StoreError
from xentool.mockhost.backend import RingBackend
from xentool.mockhost.bounded import BoundedFile
from xentool.mockhost.loop import READ, WRITE
from xentool.mockhost.ring import BrokenRingError, console_ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.session import Session
    from xentool.mockhost.bounded import Log
    from xentool.mockhost.loop import Loop
    from xentool.mockhost.store import HostStore
    from xentool.store.watching import Watch, WatchEvent

_GRANT_REFERENCE = 0  # GNTTAB_RESERVED_CONSOLE
_LOG_LIMIT = 1 << 20
_BACKLOG_LIMIT = 1 << 16  # what a pty that nobody reads keeps for whoever opens it next


class Console:
    """One domain's console, connected."""

    def __init__(self, daemon: ConsoleDaemon, domid: int, name: str, ring_ref: int, port: int) -> None:
        self._daemon = daemon
        self.key = (ring_ref, port)
        self._out = b""
        self._master = self._slave = -1
        self._log: BoundedFile | None = None
        self._backend = RingBackend(daemon.session, domid, _GRANT_REFERENCE, ring_ref, port, self._from_guest)
        self._output = console_ring(self._backend.page, "out")
        self._input = console_ring(self._backend.page, "in")
        try:
            self._master, self._slave = os.openpty()
            import tty

            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self.tty = os.ttyname(self._slave)
            self._log = BoundedFile(daemon.log_path(name), _LOG_LIMIT)
        except OSError:
            self.close()
            raise
        daemon.loop.watch(self._master, self._ready)
        self._from_guest()

    def _from_guest(self) -> None:
        if self._log is None:
            return
        try:
            data = self._output.read()
        except BrokenRingError:
            data = b""
        if data:
            self._log.write(data)
            self._out = (self._out + data)[-_BACKLOG_LIMIT:]
            self._backend.notify()
        self._flush()
        self._listen()

    def _flush(self) -> None:
        with suppress(BlockingIOError):
            while self._out:
                self._out = self._out[os.write(self._master, self._out) :]

    def _listen(self) -> None:
        """Wait for input while the guest has room for it, for the pty while output waits."""
        try:
            room = self._input.space()
        except BrokenRingError:
            room = 0
        events = (READ if room else 0) | (WRITE if self._out else 0)
        self._daemon.loop.watch(self._master, self._ready, events)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ:
            with suppress(BlockingIOError, BrokenRingError):
                data = os.read(self._master, self._input.space())
                if data:
                    self._input.write(data)
                    self._backend.notify()
        self._listen()

    def close(self) -> None:
        self._backend.close()
        if self._master >= 0:
            self._daemon.loop.forget(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1
        if self._log is not None:
            self._log.close()
            self._log = None


class ConsoleDaemon:
    """All consoles. `folder` is where the logs go: ``guest-NAME.log``."""

    def __init__(self, loop: Loop, session: Session, store: HostStore, log: Log, folder: str) -> None:
        self.loop = loop
        self.session = session
        self._log = log
        self._folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # What the last mock host's guests said has been there to read until now.
        for name in os.listdir(folder):
            if name.startswith("guest-"):
                os.unlink(os.path.join(folder, name))
        self._consoles: dict[int, Console | None] = {}
        self._watches: dict[int, Watch] = {}
        self._client = store.watching_client(self._handle)
        self._client.watch("@introduceDomain", "domains")
        self._client.watch("@releaseDomain", "domains")

    def log_path(self, name: str) -> str:
        """Where a domain's console is logged. A name is the guest's to choose: it must stay a file's name."""
        safe = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in name)
        return os.path.join(self._folder, f"guest-{safe[:200]}.log")

    def _handle(self, event: WatchEvent) -> None:
        if event.token == "domains":  # noqa: S105 - a watch's token
            self._look_at_domains()
        else:
            self._connect(int(event.token))

    def _look_at_domains(self) -> None:
        domains = self.session.xen.domains
        for domid in list(self._consoles):
            domain = domains.find(domid)
            if domain is None or domain.dying:
                console = self._consoles.pop(domid)
                if console is not None:
                    console.close()
                self._watches.pop(domid).unwatch()
        for domain in domains.all():
            if domain.domid and not domain.dying and domain.domid not in self._consoles:
                self._consoles[domain.domid] = None
                path = f"/local/domain/{domain.domid}/console"
                self._watches[domain.domid] = self._client.watch(path, str(domain.domid))

    def _connect(self, domid: int) -> None:
        """Connect a console if its nodes are there; again if they have changed."""
        if domid not in self._consoles:
            return
        base = f"/local/domain/{domid}"
        console = f"{base}/console"
        values = self._client.read_many(
            [f"{console}/ring-ref", f"{console}/port", f"{console}/type", f"{base}/name", f"{console}/tty"]
        )
        ring_ref, port, kind, name, _ = values
        if ring_ref is None or port is None or kind not in (None, b"xenconsoled"):
            return
        current = self._consoles[domid]
        try:
            key = int(ring_ref), int(port)
            if current is not None and current.key == key:
                return
            if current is not None:
                self._consoles[domid] = None
                current.close()
            title = name.decode("utf-8", "replace") if name else str(domid)
            opened = self._consoles[domid] = Console(self, domid, title, *key)
            self._client.write(f"{console}/tty", opened.tty)
        except (OSError, ValueError, StoreError) as error:
            self._log.line(f"console of domain {domid}: {error}")

    def close(self) -> None:
        for console in self._consoles.values():
            if console is not None:
                console.close()
        self._consoles.clear()
