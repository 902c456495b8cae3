"""A simulated PV guest: it boots from what the builder left in memory, and obeys control/shutdown.

It sees what a CPU would see: the context of vcpu 0, page tables, start_info, the
rings by their machine frames. What a real kernel could not start from, this one
crashes on. It talks to the store through its ring, and to its console through
another, never around them.

On its command line, ``mock.ignore-shutdown`` makes it deaf to the toolstack; `frontends` has more.
"""

from __future__ import annotations

from contextlib import suppress

from xentool.abi import sched, start_info
from xentool.abi.vcpu import USER_REGS, cpu_user_regs
from xentool.errors import StoreError, TimedOutError
from xentool.hypervisor.mock.mmu import Refused
from xentool.mockhost.frontends import Frontends
from xentool.mockhost.guestmemory import GuestMemory
from xentool.mockhost.ring import BrokenRingError, console_ring, store_ring
from xentool.mockhost.shell import Shell
from xentool.store.client import StoreClient
from xentool.units import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.hypervisor.mock.domains import Domain
    from xentool.hypervisor.mock.xen import MockXen
    from xentool.mockhost.bounded import Log
    from xentool.mockhost.driverdomain import DriverDomain
    from xentool.mockhost.loop import Loop

_UNSENT_LIMIT = 1 << 16
_SHUTDOWN_REASONS = {
    b"poweroff": sched.SHUTDOWN_poweroff,
    b"halt": sched.SHUTDOWN_poweroff,
    b"reboot": sched.SHUTDOWN_reboot,
}


class BootError(Exception):
    """The machine is not as a PV kernel needs it."""


class GuestRing:
    """The guest's end of its store ring, as a client's transport."""

    def __init__(self, guest: Guest, page: memoryview, port: int) -> None:
        self.name = f"the store ring of domain {guest.domain.domid}"
        self._guest = guest
        self._port = port
        self._requests = store_ring(page, "requests")
        self._replies = store_ring(page, "replies")

    def send(self, frames: Sequence[bytes]) -> int:
        # The store answers within the notification, so a full ring that stays full has nobody behind it.
        sent = self._requests.write(frames[0])
        self._guest.notify(self._port)
        if not sent:
            raise BrokenPipeError(32, "nobody reads the store ring")
        return sent

    def receive(self, timeout_seconds: float | None) -> bytes | None:  # noqa: ARG002 - see send
        data = self._replies.read()
        if data:
            self._guest.notify(self._port)
        return data or None

    def wait_writable(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - see send
        return True

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        """A domain's ring lives as long as the domain."""


class Guest:
    """A running guest of `domain`. Made by `GuestYard` when the domain first runs."""

    def __init__(self, loop: Loop, xen: MockXen, domain: Domain, log: Log) -> None:
        self.domain = domain
        self.xen = xen
        self.command_line = ""
        self.store: StoreClient | None = None
        self.frontends: Frontends | None = None
        self._drivers: DriverDomain | None = None
        self._loop = loop
        self._log = log
        self.alive = True
        self._unsent = b""
        self._console_port = self._store_port = 0
        self._waiting: set[int] = set()
        self.heard: dict[int, Callable[[], None]] = {}
        self._shell: Shell | None = None

    def boot(self) -> None:
        """Start; a machine that cannot be started from crashes the domain."""
        try:
            self._read_start_info()
        except BootError as error:
            self._log.line(f"domain {self.domain.domid} crashed at boot: {error}")
            self.shut_down(sched.SHUTDOWN_crash)
            return
        self.domain.ports.fired = self._event
        self._shell = Shell(self)
        self._connect_store()
        self._start_vcpus()
        self.print(self._banner())
        self._find_devices()
        self._shell.start()

    def _read_start_info(self) -> None:
        xen, domain = self.xen, self.domain
        vcpu = domain.vcpus[0] if domain.vcpus else None
        if vcpu is None or vcpu.context is None:
            raise BootError("vcpu 0 has no context")
        context = vcpu.context
        cr3 = vcpu.kernel_l4 << 12
        rip, rsi, rsp = (cpu_user_regs.get(context, name, USER_REGS) for name in ("rip", "rsi", "rsp"))
        if xen.mmu.walk(cr3, rip) is None:
            raise BootError(f"page fault at the entry point {rip:#x}")
        if xen.mmu.walk(cr3, rsp - 8) is None:
            raise BootError(f"page fault on the boot stack {rsp:#x}")
        address = xen.mmu.walk(cr3, rsi)
        if address is None or address % PAGE_SIZE:
            raise BootError(f"no start_info at {rsi:#x}")
        info = start_info.start_info.unpack_from(xen.memory.page(address >> 12))
        if info["magic"].rstrip(b"\0") != start_info.START_INFO_MAGIC:
            raise BootError(f"start_info has the magic {info['magic']!r}")
        if info["shared_info"] != domain.shared_info << 12:
            raise BootError("start_info names another shared_info than Xen's")
        if info["nr_pages"] > domain.total_pages:
            raise BootError(f"start_info promises {info['nr_pages']} pages of {domain.total_pages}")
        if xen.mmu.walk(cr3, info["pt_base"]) != cr3:
            raise BootError("pt_base is not where the page tables are")
        self.command_line = info["cmd_line"].split(b"\0")[0].decode("utf-8", "replace")
        self._console_port, self._store_port = info["console_evtchn"], info["store_evtchn"]
        self._memory = GuestMemory(xen, domain, cr3, info["mfn_list"], info["nr_pages"])
        console = self._page(info["console_mfn"], "console")
        self._output, self._input = console_ring(console, "out"), console_ring(console, "in")
        self._store_page = self._page(info["store_mfn"], "store")

    def _page(self, mfn: int, what: str) -> memoryview:
        if not self.xen.memory.owned_by(mfn, self.domain.domid):
            raise BootError(f"the {what} page, frame {mfn:#x}, is not the domain's")
        return self.xen.memory.page(mfn)

    def _banner(self) -> str:
        mib = self.domain.total_pages >> 8
        vcpus = sum(1 for vcpu in self.domain.vcpus if vcpu is not None and not vcpu.down)
        return (
            f"[    0.000000] Linux version 6.1.0-mock (xentool mock guest)\n"
            f"[    0.000000] Command line: {self.command_line}\n"
            f"[    0.000000] Hypervisor detected: Xen PV\n"
            f"[    0.000000] Xen version: {self.xen.release}\n"
            f"[    0.000000] Memory: {mib}M available, {vcpus} of {len(self.domain.vcpus)} vcpus online\n"
            f"[    0.100000] xenbus: {'connected' if self.store else 'no store'}\n"
        )

    # -- the store ---------------------------------------------------------

    def _connect_store(self) -> None:
        try:
            self.store = StoreClient(transport=GuestRing(self, self._store_page, self._store_port))
            if "mock.ignore-shutdown" in self.command_line.split():
                return
            for feature in ("feature-poweroff", "feature-reboot"):
                self.store.write(f"control/{feature}", "1")
            self.store.watch("control/shutdown", "shutdown")
        except (StoreError, TimedOutError, OSError) as error:
            self._log.line(f"domain {self.domain.domid} has no store: {error}")
            self.store = None

    def _find_devices(self) -> None:
        """Start the frontends' drivers; what they find comes as events of their watch."""
        if self.store is None:
            return
        try:
            self.frontends = Frontends(self, self._memory)
            # The toolstack makes this place for a driver domain's own toolstack.
            if self.store.exists("libxl"):
                from xentool.mockhost.driverdomain import DriverDomain

                self._drivers = DriverDomain(self, self.store)
        except (StoreError, TimedOutError, OSError) as error:
            self.log(f"domain {self.domain.domid} has no devices: {error}")

    def _start_vcpus(self) -> None:
        """Bring up the other vcpus, as Linux does at boot, but those that the toolstack wants offline."""
        for number, vcpu in enumerate(self.domain.vcpus):
            if vcpu is None or not number:
                continue
            wanted = b"online"
            if self.store is not None:
                with suppress(StoreError, TimedOutError):
                    wanted = self.store.try_read(f"cpu/{number}/availability") or wanted
            vcpu.down = wanted != b"online"

    def _handle_store(self) -> None:
        try:
            while self.alive and self.store is not None:
                event = self.store.next_event(0)
                if event is None:
                    return
                if event.token == "shutdown":  # noqa: S105 - a watch's token
                    self._obey()
                elif event.token.startswith("device/") and self.frontends is not None:
                    self.frontends.handle(event.path, event.token)
                elif self._drivers is not None:
                    self._drivers.handle(event.path, event.token)
        except (StoreError, TimedOutError, OSError) as error:
            self._log.line(f"domain {self.domain.domid} lost its store: {error}")
            self.store = None

    def _obey(self) -> None:
        """Do what control/shutdown says, and empty it, so that the toolstack sees it was heard."""
        assert self.store is not None
        command = self.store.try_read("control/shutdown") or b""
        if not command:
            return
        self.store.write("control/shutdown", "")
        reason = _SHUTDOWN_REASONS.get(command)
        if reason is None:
            self.print(f"xen: control/shutdown: cannot {command.decode('ascii', 'replace')}\n")
            return
        self.print(f"reboot: {'Restarting system' if command == b'reboot' else 'Power down'}\n")
        self.shut_down(reason)

    # -- the console --------------------------------------------------------

    def log(self, text: str) -> None:
        """To the mock host's log."""
        self._log.line(text)

    def print(self, text: str) -> None:
        """To the console; what does not fit into the ring waits for room, up to a bound."""
        self._unsent = (self._unsent + text.replace("\n", "\r\n").encode())[-_UNSENT_LIMIT:]
        self._flush_console()

    def _flush_console(self) -> None:
        with suppress(BrokenRingError):
            while self._unsent:
                sent = self._output.write(self._unsent)
                if not sent:
                    break
                self._unsent = self._unsent[sent:]
                self.notify(self._console_port)

    def _handle_console(self) -> None:
        with suppress(BrokenRingError):
            data = self._input.read()
            if data and self._shell is not None:
                self._shell.typed(data)
        if self.alive:
            self._flush_console()

    # -- life ----------------------------------------------------------------

    def notify(self, port: int) -> None:
        with suppress(Refused):
            self.xen.events.send(self.domain.domid, port)

    def shut_down(self, reason: int) -> None:
        """SCHEDOP_shutdown. What was printed last should still reach the console's log."""
        self._flush_console()
        self.alive = False
        self.xen.domains.shut_down(self.domain, reason)

    def stop(self) -> None:
        """The domain is being destroyed."""
        self.alive = False
        if self._drivers is not None:
            self._drivers.close()
            self._drivers = None

    def _event(self, port: int) -> None:
        first = not self._waiting
        self._waiting.add(port)
        if first:
            self._loop.later(self.run)

    def run(self) -> None:
        """Handle what events have come, if the domain may run now."""
        if not self.alive or not self.domain.runnable:
            return
        ports, self._waiting = self._waiting, set()
        if self._store_port in ports:
            self._handle_store()
        if self._console_port in ports and self.alive:
            self._handle_console()
        for port in ports & self.heard.keys():
            self.heard[port]()


class GuestYard:
    """All simulated guests: starts one when a domain first runs, stops it when the domain goes."""

    def __init__(self, loop: Loop, xen: MockXen, log: Log) -> None:
        self._loop = loop
        self._xen = xen
        self._log = log
        self._guests: dict[int, Guest] = {}
        xen.domains.on_run = self._runs
        xen.domains.on_gone = self._gone

    def _runs(self, domain: Domain, first: bool) -> None:
        if first:
            guest = self._guests[domain.domid] = Guest(self._loop, self._xen, domain, self._log)
            # Not now: the hypercall that unpaused it comes first.
            self._loop.later(lambda: self._boot(guest))
        else:
            known = self._guests.get(domain.domid)
            if known is not None:
                self._loop.later(known.run)

    def _boot(self, guest: Guest) -> None:
        if self._guests.get(guest.domain.domid) is guest and not guest.domain.dying:
            guest.boot()

    def _gone(self, domain: Domain) -> None:
        guest = self._guests.pop(domain.domid, None)
        if guest is not None:
            guest.stop()
