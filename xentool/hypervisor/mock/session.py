"""What one caller holds of the mock: its hypercall memory, mappings and event channels.

On Linux a process that dies gives back everything that it held through
/dev/xen/*; a session does the same when it closes. It belongs to Domain-0.
"""

from __future__ import annotations

import errno
import os
from array import array
from contextlib import suppress

from xentool.hypervisor.mock.arena import Fault
from xentool.hypervisor.mock.mmu import Refused
from xentool.hypervisor.mock.ranges import runs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeVar

    from xentool.hypervisor.mock.arena import Arena
    from xentool.hypervisor.mock.xen import MockXen

    Run = tuple[int, int]
    T = TypeVar("T")

    class Listener(Protocol):
        """Who is told when a port of Domain-0 fires."""

        def fired(self, port: int, /) -> None: ...


CALLER = 0  # sessions are Domain-0's, but for the mappings of a simulated driver domain


class _Mapped:
    """Frames that are mapped: whose they are, which, and what was counted for them."""

    __slots__ = ("domid", "grants", "runs", "writable")

    def __init__(self, domid: int, runs: list[Run], writable: bool, grants: Sequence[int] = ()) -> None:
        self.domid = domid
        self.runs = runs
        self.writable = writable
        self.grants = grants


class EventHandle:
    """Ports bound through one handle, and the pipe that pending ones are told through.

    As with /dev/xen/evtchn, a port that fired is masked until `unmask`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        # Packets would do too, but a pipe never blocks us: a masked port is in it at most once.
        self.read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._write_fd, False)
        self._masked: dict[int, bool] = {}
        self._waiting: set[int] = set()

    def close_read_end(self) -> None:
        """The reader has a descriptor of its own now."""
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    def bind(self, port: int) -> int:
        self._masked[port] = False
        self._session.xen.domain_0_handles[port] = self
        return port

    def fired(self, port: int) -> None:
        if self._masked.get(port, True):
            self._waiting.add(port)
            return
        self._masked[port] = True
        # A reader that is gone will be noticed when its connection breaks.
        with suppress(BrokenPipeError):
            os.write(self._write_fd, array("I", [port]).tobytes())

    def check(self, port: int) -> None:
        """Raises ENOTCONN, Linux's word for a port that was not bound through this handle."""
        if port not in self._masked:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    def unmask(self, port: int) -> None:
        self.check(port)
        self._masked[port] = False
        if port in self._waiting:
            self._waiting.discard(port)
            self.fired(port)

    def unbind(self, port: int) -> None:
        self.check(port)
        del self._masked[port]
        self._waiting.discard(port)
        self._session.xen.domain_0_handles.pop(port, None)
        try:
            self._session.xen.events.close(CALLER, port)
        except Refused as refused:
            raise OSError(refused.errno, os.strerror(refused.errno)) from None

    def close(self) -> None:
        for port in list(self._masked):
            self.unbind(port)
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1


class Session:
    """One caller of the mock. Everything that fails raises ``OSError`` with Xen's errno.

    `caller` is the domain that maps grants.
    """

    def __init__(self, xen: MockXen, arena: Arena, caller: int = CALLER) -> None:
        self.xen = xen
        self.caller = caller
        self.arena = arena
        self._mapped: dict[int, _Mapped] = {}
        self._handles: dict[int, EventHandle] = {}
        self._next = 1
        xen.sessions.add(self)

    @property
    def open_mappings(self) -> int:
        """How many mappings are open: zero when nothing has leaked."""
        return len(self._mapped)

    @property
    def open_event_handles(self) -> int:
        return len(self._handles)

    def hypercall(self, number: int, *arguments: int) -> int:
        result = self.xen.hypercall(self.arena, number, *arguments)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def map_frames(self, domid: int, frames: Sequence[int], writable: bool) -> int:
        """Check and record a mapping of `frames`; its number, for `unmap`."""
        return self._checked(lambda: self._map_foreign(domid, frames, writable))

    def map_resource(
        self, domid: int, kind: int, index: int, frame: int, count: int
    ) -> tuple[int, list[int]]:
        """Check and record; the mapping's number, and its frames."""

        def carry_out() -> tuple[int, list[int]]:
            frames = self.xen.resource_frames(domid, kind, index, frame, count)
            return self._record(_Mapped(domid, list(runs_of(frames)), writable=True)), frames

        return self._checked(carry_out)

    def map_grants(self, domid: int, references: Sequence[int], writable: bool) -> tuple[int, list[int]]:
        """Check and record; the mapping's number, and its frames."""

        def carry_out() -> tuple[int, list[int]]:
            table = self.xen.domains.get(domid, errno.EINVAL).grants
            done: list[int] = []
            frames: list[int] = []
            try:
                for reference in references:
                    frames.append(table.map(reference, self.caller, writable))
                    done.append(reference)
                runs = list(runs_of(frames))
                if writable and not self.xen.memory.get_writable(runs):
                    raise Refused(errno.EINVAL)
            except Refused:
                for reference in done:
                    table.unmap(reference, writable)
                raise
            self.xen.memory.hold(runs)
            number = self._number()
            self._mapped[number] = _Mapped(domid, runs, writable, tuple(references))
            return number, frames

        return self._checked(carry_out)

    def unmap(self, number: int) -> None:
        mapped = self._mapped.pop(number, None)
        if mapped is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        memory = self.xen.memory
        if mapped.writable:
            memory.put_writable(mapped.runs)
        memory.unhold(mapped.runs)
        domain = self.xen.domains.find(mapped.domid)
        if domain is not None and not domain.dying:
            for reference in mapped.grants:
                domain.grants.unmap(reference, mapped.writable)
        self.xen.domains.let_go(mapped.domid, mapped.runs)

    def open_events(self) -> tuple[int, EventHandle]:
        handle = EventHandle(self)
        number = self._number()
        self._handles[number] = handle
        return number, handle

    def events(self, number: int) -> EventHandle:
        handle = self._handles.get(number)
        if handle is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def event_operation(self, number: int, operation: str, first: int, second: int) -> int:
        """Carry out an operation of a handle, by the port's name for it."""
        handle = self.events(number)
        events = self.xen.events

        def carry_out() -> int:
            if operation == "bind_interdomain":
                port = events.bind_interdomain(CALLER, first, second, bound=handle.bind)
            elif operation == "bind_virq":
                port = handle.bind(self.xen.bind_virq(CALLER, first))
            elif operation == "alloc_unbound":
                port = handle.bind(events.alloc_unbound(CALLER, first))
            else:
                handle.check(first)
                port = first
                if operation == "notify":
                    events.send(CALLER, first)
                elif operation == "unmask":
                    handle.unmask(first)
                else:
                    handle.unbind(first)
            return port

        return self._checked(carry_out)

    def close_events(self, number: int) -> None:
        handle = self._handles.pop(number, None)
        if handle is not None:
            handle.close()

    def close(self) -> None:
        """Give back everything, as the kernel does for a process that ends."""
        for number in list(self._handles):
            self.close_events(number)
        for number in list(self._mapped):
            self.unmap(number)
        self.xen.sessions.discard(self)

    def _map_foreign(self, domid: int, frames: Sequence[int], writable: bool) -> int:
        xen = self.xen
        domain = xen.domains.get(domid)
        if domain.is_hvm:
            raise Refused(errno.EOPNOTSUPP)
        runs = list(runs_of(frames))
        if not xen.memory.all_owned_by(runs, domid):
            for frame in frames:
                xen.check_foreign_frame(domid, frame)
        if writable and not xen.memory.get_writable(runs):
            raise Refused(errno.EBUSY)
        xen.memory.hold(runs)
        number = self._number()
        self._mapped[number] = _Mapped(domid, runs, writable)
        return number

    def _record(self, mapped: _Mapped) -> int:
        memory = self.xen.memory
        if mapped.writable and not memory.get_writable(mapped.runs):
            raise Refused(errno.EBUSY)
        memory.hold(mapped.runs)
        number = self._number()
        self._mapped[number] = mapped
        return number

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    @staticmethod
    def _checked(carry_out: Callable[[], T]) -> T:
        try:
            return carry_out()
        except Refused as refused:
            raise OSError(refused.errno, os.strerror(refused.errno)) from None
        except Fault:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
