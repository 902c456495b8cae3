"""A connection through libxl: calls, and long operations that ^C ends.

Every operation that libxl can do asynchronously is begun so, and its end awaited in our own
poll(2): a call that blocks inside libxl would hear of no signal. What a signal raises aborts the
operation, and is raised once libxl has come to rest, because libxl keeps the addresses that it was
given until then.

A context is used by one thread at a time (libxl allows no two to poll), which a lock sees to.
Children (QEMU, hotplug scripts, the save helper) are libxl's: it owns SIGCHLD while the context is
open and reaps its own alone, so that those of others (`subprocess`) stay theirs.

Source: libxl_event.h (OS event handling, subprocess handling), libxl.h (libxl_asyncop_how).
"""

from __future__ import annotations

import errno
import os
import time

from xentool.cfunctions import byref, c_int, c_uint64, c_void_p, get_errno, string_at
from xentool.errors import HostError, LibxlError
from xentool.toolstack.libxl import jsontext
from xentool.toolstack.libxl.codes import ABORTED, BUFFERFULL, NOT_READY, NOTFOUND
from xentool.toolstack.libxl.log import PROGRESS, Log
from xentool.toolstack.libxl.signatures import (
    DISASTER,
    AsyncHow,
    ChildHooks,
    EventHooks,
    PollFd,
    TimeOfDay,
)
from xentool.toolstack.libxl.wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from xentool.errors import XentoolError
    from xentool.toolstack.libxl.library import Library
    from xentool.toolstack.libxl.log import Line

    Start = Callable[[object], int]
    """Begins an operation: is given the address of a libxl_asyncop_how, returns libxl's code."""

else:
    import _signal as signal  # what signal has it from; that module would cost its enums' making

SELECTIVE_REAP = 3
"""libxl_sigchld_owner_libxl_always_selective_reap."""
ALL_EVENTS = (1 << 64) - 1
COMPLETE = "type.operation_complete"
"""What is in the JSON of an event that ends an operation: its ``rc``, unless that is 0."""
MOST_DESCRIPTORS = 1 << 16
OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""What a terminal sends to all processes of its foreground group: to libxl's children as well as to us."""


class Blocked:
    """As a context: these signals wait until its end, where Python's handlers hear of them."""

    __slots__ = ("_before", "_signals")

    def __init__(self, signals: tuple[int, ...]) -> None:
        self._signals = signals

    def __enter__(self) -> None:
        if self._signals:
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def __exit__(self, *_: object) -> None:
        if self._signals:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


class Said:
    """What libxl said from a moment on."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._mark = log.count

    def __enter__(self) -> Self:
        self._log.begin()
        self._mark = self._log.count
        return self

    def __exit__(self, *_: object) -> None:
        self._log.end()

    @property
    def lines(self) -> list[Line]:
        return self._log.since(self._mark)

    @property
    def text(self) -> str:
        return "\n".join(map(str, self.lines))

    def failure(self, action: str, subject: object, code: int, *, hint: str = "") -> XentoolError:
        """The error that `code` and what was said mean."""
        from xentool.toolstack.libxl.failures import failure  # which what goes well need not load

        return failure(action, subject, code, self.lines, hint=hint)


class Context:
    """A libxl_ctx. `listener` hears what libxl says, from `level` on, as it says it.

    Raises:
        HostError: libxl cannot be used: no Xen, no store, or somebody else's handler of SIGCHLD.
    """

    def __init__(
        self, library: Library, *, level: int = PROGRESS, listener: Callable[[Line], None] | None = None
    ) -> None:
        from _thread import RLock

        self.library = library
        self._lock = RLock()
        self._free = library.function("free")
        self._poll = library.function("poll")
        self._next = 0
        self._disaster = ""
        self._at_rest = True
        self._blocked: tuple[int, ...] = ()
        self._fds = (PollFd * 8)()
        _check_sigchld()
        self.log = Log(library, level=level, listener=listener)
        handle = c_void_p()
        try:
            with self.said() as said:
                code = library.function("libxl_ctx_alloc")(byref(handle), 0, 0, self.log.logger)
            if code or not handle.value:
                raise said.failure("use", library.title, code, hint="are you root, on a Xen host?")
        except BaseException:
            self.log.close()
            raise
        self.handle: int = handle.value
        self._hooks: tuple[ChildHooks, EventHooks] | None = None

    def close(self) -> None:
        """Let go of libxl. What it could not be brought to rest from stays as it is until the process ends:
        libxl_ctx_free would end the process on the spot (assert), and with it what is to be said and undone.
        """
        if self.handle:
            handle, self.handle = self.handle, 0
            if self._at_rest:
                self.library.function("libxl_ctx_free")(handle)
                self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def said(self) -> Said:
        """As a context: what libxl says in it."""
        return Said(self.log)

    def call(self, action: str, subject: object, name: str, *arguments: object, hint: str = "") -> int:
        """Call a function that is quick and returns a code; what it returns, if that is no error.

        Raises:
            XentoolError: what its code and libxl's words mean.
        """
        with self._lock, self.said() as said:
            code = self.library.function(name)(self.handle, *arguments)
            if code < 0:
                raise said.failure(action, subject, code, hint=hint)
        return code

    def run(
        self,
        action: str,
        subject: object,
        start: Start,
        *,
        hint: str = "",
        progress: Callable[[str], None] | None = None,
        sheltered: bool = False,
    ) -> None:
        """Begin a long operation and wait for its end. `progress` hears libxl's own steps.

        The children of a `sheltered` one hear of no ^C that is typed: libxl, which we tell of it, ends them
        in its own way. What may fork, `start` or a turn, does so with such signals blocked, as its children
        then have them too.

        Raises:
            XentoolError: what its code and libxl's words mean.
        """
        with self._lock, self.said() as said, Wakeup() as wakeup:
            if self._hooks is None:
                self._hooks = self._hook_in()
            heard_before = self.log.steps_to(progress)
            self._next += 1
            how = AsyncHow(None, self._next)
            self._blocked = OF_TERMINALS if sheltered else ()
            try:
                with Blocked(self._blocked):
                    code = start(byref(how))
                if not code:
                    code = self._await(how.for_event, wakeup)
            except BaseException:
                self._abandon(how, wakeup)
                raise
            finally:
                self.log.steps_to(heard_before)
            if code:
                raise said.failure(action, subject, code, hint=hint)

    def _hook_in(self) -> tuple[ChildHooks, EventHooks]:
        """Tell libxl whose the children are, and who is told of disasters. Nothing before the first long
        operation has any, and a function for C to call takes Python a while to make.

        libxl keeps the addresses of what is returned.
        """
        children = ChildHooks(SELECTIVE_REAP, None, None)
        events = EventHooks(0, None, DISASTER(self._note_disaster))
        self.library.function("libxl_childproc_setmode")(self.handle, byref(children), None)
        self.library.function("libxl_event_register_callbacks")(self.handle, byref(events), None)
        return children, events

    def _abandon(self, how: AsyncHow, wakeup: Wakeup) -> None:
        """Abort an operation, and wait until libxl has let go of all that it was given."""
        from xentool.domain.interruption import without_interruption

        with without_interruption():
            self.log.steps_to(None)
            rested, self._at_rest = self._at_rest, False
            code = self.library.function("libxl_ao_abort")(self.handle, byref(how))
            if code in (0, ABORTED):
                self._await(how.for_event, wakeup)
            elif code == NOTFOUND:
                self._take_event(how.for_event)  # it had ended, or never begun
            self._at_rest = rested

    def _await(self, number: int, wakeup: Wakeup) -> int:
        while (code := self._take_event(number)) is None:
            self._turn(wakeup)
        return code

    def _take_event(self, number: int) -> int | None:
        """The code with which the operation of that number ended, if it has; events of others are dropped."""
        check, free = self.library.function("libxl_event_check"), self.library.function("libxl_event_free")
        event = c_void_p()
        while True:
            code = check(self.handle, byref(event), ALL_EVENTS, None, None)
            if code == NOT_READY:
                return None
            if code or not event.value:
                raise LibxlError("ask", self.library.title, f"it has lost its events ({code})")
            try:
                told = self.read("event", event.value)
            finally:
                free(self.handle, event)
            if told.get("for_user", 0) == number:
                outcome = told.get(COMPLETE)
                if not isinstance(outcome, dict):
                    raise LibxlError(
                        "ask", self.library.title, f"it ends an operation in a way of its own: {told}"
                    )
                return int(outcome.get("rc", 0))

    def _turn(self, wakeup: Wakeup) -> None:
        """Wait once for what libxl waits for, or for a signal, and let libxl act on it."""
        before = self.library.function("libxl_osevent_beforepoll")
        count, timeout = c_int(), c_int()
        while True:
            room = len(self._fds) - 1
            count.value, timeout.value = room, -1
            code = before(self.handle, byref(count), self._fds, byref(timeout), _now())
            if code != BUFFERFULL:
                break
            if not room < count.value < MOST_DESCRIPTORS:
                raise LibxlError("ask", self.library.title, f"it wants to wait for {count.value} descriptors")
            self._fds = (PollFd * (count.value + 9))()
        if code:
            raise LibxlError("ask", self.library.title, f"it cannot say what it waits for ({code})")
        own = self._fds[count.value]
        own.fd, own.events, own.revents = wakeup.descriptor, 1, 0
        ready = self._poll(self._fds, count.value + 1, timeout.value)
        # Here, back in Python, what a signal means is raised.
        if own.revents or ready < 0:
            wakeup.drain()
        if ready < 0 and (number := get_errno()) != errno.EINTR:
            raise LibxlError("wait for", self.library.title, f"the kernel refuses: {os.strerror(number)}")
        if ready >= 0:
            with Blocked(self._blocked):
                self.library.function("libxl_osevent_afterpoll")(self.handle, count.value, self._fds, _now())
        self.log.drain()
        if self._disaster:
            raise LibxlError("go on with", self.library.title, self._disaster)

    def _note_disaster(self, _user: int, _kind: int, message: bytes | None, number: int) -> None:
        words = (message or b"").decode("utf-8", "replace")
        self._disaster = f"it has lost track of what happens: {words}: {os.strerror(number)}"

    def read(self, struct: str, address: int) -> dict[str, object]:
        """A structure of libxl's, as its JSON says it.

        Raises:
            LibxlError: libxl makes no sense of it.
        """
        text = self.text_of(self.library.function(f"libxl_{struct}_to_json")(self.handle, address))
        try:
            value = jsontext.parse(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise LibxlError("read", f"libxl_{struct}", f"libxl says {text[:80]!r}, which is no map in JSON")
        return value

    def text_of(self, address: int | None, errors: str = "surrogateescape") -> str:
        """A string that libxl allocated, which is freed; `errors` as for `bytes.decode`."""
        if not address:
            return ""
        try:
            return string_at(address).decode("utf-8", errors)
        finally:
            self._free(address)

    def number(self, action: str, subject: object, name: str, *arguments: object) -> int:
        """What a function writes to the 64-bit number that is its last argument."""
        result = c_uint64()
        self.call(action, subject, name, *arguments, byref(result))
        return result.value

    def array(
        self, struct: str, name: str, *arguments: object, free: str = ""
    ) -> list[dict[str, object]] | None:
        """The structures of the array that a function returns; it takes the count's address last.

        None if it returns no array: it failed, or there are none. `free` names the function that frees
        the array, if that is not the structure's own.
        """
        count = c_int()
        with self._lock:
            address = self.library.function(name)(self.handle, *arguments, byref(count))
            if not address:
                return None
            size = self.library.size_of(struct)
            try:
                return [self.read(struct, address + size * index) for index in range(count.value)]
            finally:
                self._free_array(struct, free, address, count.value)

    def _free_array(self, struct: str, free: str, address: int, count: int) -> None:
        free = free or f"libxl_{struct}_list_free"
        if self.library.has(free):
            self.library.function(free)(address, count)
            return
        size, dispose = self.library.size_of(struct), self.library.function(f"libxl_{struct}_dispose")
        for index in range(count):
            dispose(address + size * index)
        self._free(address)


def _now() -> TimeOfDay:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return TimeOfDay(seconds, nanoseconds // 1000)


def _check_sigchld() -> None:
    """libxl ends the process if somebody else handles SIGCHLD.

    Raises:
        HostError: somebody does.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    if handler not in (signal.SIG_DFL, signal.SIG_IGN):
        raise HostError(
            "use libxl in",
            "this process",
            "its SIGCHLD is handled by another part of the program",
            hint="one program cannot run libxl and, say, asyncio's child watcher",
        )
