"""Long operations of libxl: begun, awaited, and aborted by what a signal raises.

Every operation that libxl can do asynchronously is begun so, and its end awaited in our own
poll(2): a call that blocks inside libxl would hear of no signal. What a signal raises aborts the
operation, and is raised once libxl has come to rest, because libxl keeps the addresses that it was
given until then.

Children (QEMU, hotplug scripts, the save helper) are libxl's: it owns SIGCHLD from the first operation
until the context is closed, and reaps its own alone, so that those of others (`subprocess`) stay theirs.

Source: libxl_event.h (OS event handling, subprocess handling), libxl.h (libxl_asyncop_how).
"""

from __future__ import annotations

import errno
import os
import time

from xentool.cfunctions import (
    CFUNCTYPE,
    Structure,
    byref,
    c_char_p,
    c_int,
    c_short,
    c_uint64,
    c_void_p,
    get_errno,
)
from xentool.domain.interruption import without_interruption
from xentool.errors import LibxlError
from xentool.toolstack.libxl.codes import ABORTED, BUFFERFULL, NOT_READY, NOTFOUND
from xentool.toolstack.libxl.signatures import TimeOfDay
from xentool.toolstack.libxl.wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import ClassVar

    from xentool.toolstack.libxl.context import Context

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


class AsyncHow(Structure):
    """libxl_asyncop_how: without a callback, the operation's end is an event that carries `for_event`."""

    _fields_: ClassVar = [("callback", c_void_p), ("for_event", c_uint64)]


class PollFd(Structure):
    """struct pollfd."""

    _fields_: ClassVar = [("fd", c_int), ("events", c_short), ("revents", c_short)]


class ChildHooks(Structure):
    """libxl_childproc_hooks."""

    _fields_: ClassVar = [("owner", c_int), ("fork_replacement", c_void_p), ("reaped_callback", c_void_p)]


DISASTER = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_int)
"""libxl_event_hooks.disaster: user, type of event, message, errno."""


class EventHooks(Structure):
    """libxl_event_hooks."""

    _fields_: ClassVar = [("mask", c_uint64), ("event_occurs", c_void_p), ("disaster", DISASTER)]


class Operations:
    """The long operations of a context, one at a time.

    `at_rest` says whether libxl has let go of all that it was given.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._library, self._handle, self._log = context.library, context.handle, context.log
        self._poll = context.library.function("poll")
        self._next = 0
        self._disaster = ""
        self.at_rest = True
        self._blocked: tuple[int, ...] = ()
        self._fds = (PollFd * 8)()
        # Whose the children are, and who is told of disasters: libxl keeps the addresses of both.
        self._children = ChildHooks(SELECTIVE_REAP, None, None)
        self._events = EventHooks(0, None, DISASTER(self._note_disaster))
        context.library.function("libxl_childproc_setmode")(context.handle, byref(self._children), None)
        context.library.function("libxl_event_register_callbacks")(context.handle, byref(self._events), None)

    def run(self, start: Start, *, sheltered: bool = False) -> int:
        """Begin an operation and wait for its end; the code with which it ended.

        The children of a `sheltered` one hear of no ^C that is typed: libxl, which we tell of it, ends them
        in its own way. What may fork, `start` or a turn, does so with such signals blocked, as its children
        then have them too.
        """
        with Wakeup() as wakeup:
            self._next += 1
            how = AsyncHow(None, self._next)
            self._blocked = OF_TERMINALS if sheltered else ()
            try:
                with without_interruption(self._blocked):
                    code = start(byref(how))
                return code or self._await(how.for_event, wakeup)
            except BaseException:
                self._abandon(how, wakeup)
                raise

    def _abandon(self, how: AsyncHow, wakeup: Wakeup) -> None:
        """Abort an operation, and wait until libxl has let go of all that it was given."""
        with without_interruption():
            self._log.steps_to(None)
            rested, self.at_rest = self.at_rest, False
            code = self._library.function("libxl_ao_abort")(self._handle, byref(how))
            if code in (0, ABORTED):
                self._await(how.for_event, wakeup)
            elif code == NOTFOUND:
                self._take_event(how.for_event)  # it had ended, or never begun
            self.at_rest = rested

    def _await(self, number: int, wakeup: Wakeup) -> int:
        while (code := self._take_event(number)) is None:
            self._turn(wakeup)
        return code

    def _take_event(self, number: int) -> int | None:
        """The code with which the operation of that number ended, if it has; events of others are dropped."""
        check, free = (
            self._library.function("libxl_event_check"),
            self._library.function("libxl_event_free"),
        )
        event = c_void_p()
        while True:
            code = check(self._handle, byref(event), ALL_EVENTS, None, None)
            if code == NOT_READY:
                return None
            if code or not event.value:
                raise LibxlError("ask", self._library.title, f"it has lost its events ({code})")
            try:
                told = self._context.read("event", event.value)
            finally:
                free(self._handle, event)
            if told.get("for_user", 0) == number:
                outcome = told.get(COMPLETE)
                if not isinstance(outcome, dict):
                    raise LibxlError(
                        "ask",
                        self._library.title,
                        f"it ends an operation in a way of its own: {told}",
                    )
                return int(outcome.get("rc", 0))

    def _turn(self, wakeup: Wakeup) -> None:
        """Wait once for what libxl waits for, or for a signal, and let libxl act on it."""
        before = self._library.function("libxl_osevent_beforepoll")
        count, timeout = c_int(), c_int()
        while True:
            room = len(self._fds) - 1
            count.value, timeout.value = room, -1
            code = before(self._handle, byref(count), self._fds, byref(timeout), _now())
            if code != BUFFERFULL:
                break
            if not room < count.value < MOST_DESCRIPTORS:
                raise LibxlError(
                    "ask", self._library.title, f"it wants to wait for {count.value} descriptors"
                )
            self._fds = (PollFd * (count.value + 9))()
        if code:
            raise LibxlError("ask", self._library.title, f"it cannot say what it waits for ({code})")
        own = self._fds[count.value]
        own.fd, own.events, own.revents = wakeup.descriptor, 1, 0
        ready = self._poll(self._fds, count.value + 1, timeout.value)
        # Here, back in Python, what a signal means is raised.
        if own.revents or ready < 0:
            wakeup.drain()
        if ready < 0 and (number := get_errno()) != errno.EINTR:
            raise LibxlError("wait for", self._library.title, f"the kernel refuses: {os.strerror(number)}")
        if ready >= 0:
            with without_interruption(self._blocked):
                self._library.function("libxl_osevent_afterpoll")(
                    self._handle, count.value, self._fds, _now()
                )
        self._log.drain()
        if self._disaster:
            raise LibxlError("go on with", self._library.title, self._disaster)

    def _note_disaster(self, _user: int, _kind: int, message: bytes | None, number: int) -> None:
        words = (message or b"").decode("utf-8", "replace")
        self._disaster = f"it has lost track of what happens: {words}: {os.strerror(number)}"


def _now() -> TimeOfDay:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return TimeOfDay(seconds, nanoseconds // 1000)
