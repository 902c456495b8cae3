"""Long operations through libxl: their ends, what is said meanwhile, and ^C."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.descriptors import open_descriptors
from xentool.errors import HostError, LibxlError, StoppedError, TimedOutError
from xentool.toolstack.libxl.context import Context
from xentool.toolstack.libxl.toolstack import LibxlToolstack
from xentool.toolstack.libxl.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xentool.domain.host import Host
    from xentool.toolstack.libxl.library import Library


def pause(
    context: Context, domid: int, progress: Callable[[str], None] | None = None, *, sheltered: bool = False
) -> None:
    function = context.library.function("libxl_domain_pause")

    def start(how: object) -> int:
        return function(context.handle, domid, how)

    context.run("pause domain", domid, start, progress=progress, sheltered=sheltered)


def test_a_store_that_is_not_there_is_not_waited_for(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As libxl would, without end."""
    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "socket"))
    host = cast("Host", SimpleNamespace(release=(4, 17)))
    toolstack = LibxlToolstack(host, lambda _release: library)
    with pytest.raises(HostError, match="no such socket"):
        print(toolstack.context)


def test_what_libxl_keeps_the_addresses_of_outlives_a_stop(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = library.function

    def interrupted(name: str) -> Callable[..., int]:
        function = find(name)

        def call(*arguments: object) -> int:
            code = function(*arguments)
            if name == "libxl_event_register_callbacks":
                os.kill(os.getpid(), signal.SIGINT)
            return code

        return call

    with Context(library) as context:
        monkeypatch.setattr(library, "function", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pause(context, 1)
        assert context._operations is not None
        pause(context, 1)


@pytest.mark.parametrize("domid", [1, 2, 7, 8])
def test_an_operation_is_over_when_its_own_event_comes(context: Context, domid: int) -> None:
    for _ in range(3):
        pause(context, domid)


def test_an_operation_that_fails_at_once_says_why(context: Context) -> None:
    with pytest.raises(LibxlError, match=r"pause domain 4: libxl says: it is made of cheese: Bad") as failed:
        pause(context, 4)
    assert failed.value.code == -3
    assert "libxl_domain.c:12" in failed.value.detail
    assert "ERROR_FAIL" in failed.value.detail


def test_an_operation_that_fails_later_says_what_came_first(context: Context) -> None:
    with pytest.raises(TimedOutError, match=r"\(the cause\)") as failed:
        pause(context, 5)
    assert [line.split(": ")[-1] for line in failed.value.detail.splitlines()[:3]] == [
        "Domain 5:the cause",
        "and more",
        "then",
    ]
    assert failed.value.exit_code == 9


def test_what_was_said_before_is_no_part_of_an_error(context: Context) -> None:
    with pytest.raises(LibxlError):
        pause(context, 4)
    with pytest.raises(TimedOutError) as failed:
        pause(context, 5)
    assert "cheese" not in failed.value.detail


def test_progress_is_told_while_it_is_asked_for(context: Context) -> None:
    told: list[str] = []
    pause(context, 2, told.append)
    pause(context, 2)
    assert told == ["Frames: 1/1  100%"]


def test_an_event_that_ends_nothing_is_refused(context: Context) -> None:
    with pytest.raises(LibxlError, match="in a way of its own"):
        pause(context, 9)


def test_a_disaster_is_said_and_libxl_is_left_alone(library: Library, fake: ctypes.CDLL) -> None:
    """As when xenstored dies meanwhile: libxl aborts a process that closes it while it is at work."""
    freed = ctypes.c_int.in_dll(fake, "fake_freed_at_work")
    before = freed.value
    with pytest.raises(LibxlError, match="read watches: Input/output"), Context(library) as context:
        pause(context, 10)
    assert freed.value == before


class StopError(Exception):
    """What a signal raises."""


@pytest.mark.parametrize("domid", [3, 6])
def test_a_signal_aborts_the_operation_and_is_raised_when_libxl_rests(context: Context, domid: int) -> None:
    def handler(_number: int, _frame: object) -> None:
        raise StopError

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    try:
        timer.start()
        began = time.monotonic()
        with pytest.raises(StopError):
            pause(context, domid)
        assert time.monotonic() - began < 30
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    pause(context, 2)  # nothing of it is left in the way of the next


@pytest.mark.parametrize("sheltered", [False, True])
def test_the_children_of_a_sheltered_operation_hear_no_terminal(
    context: Context, fake: ctypes.CDLL, sheltered: bool
) -> None:
    calls, blocked = (ctypes.c_int.in_dll(fake, name) for name in ("fake_calls", "fake_calls_blocked"))
    calls.value = blocked.value = 0
    pause(context, 2, sheltered=sheltered)
    assert calls.value > 1
    assert blocked.value == calls.value * sheltered
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_a_sheltered_operation_is_aborted_all_the_same(context: Context) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            pause(context, 3, sheltered=True)
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_a_signal_just_before_poll_is_not_slept_through(
    context: Context, fake: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(_number: int, _frame: object) -> None:
        raise StopError

    late = fake["fake_late_poll"]
    late.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int]
    monkeypatch.setattr(context.operations, "_poll", late)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(StopError):
            pause(context, 3)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_poll_that_the_kernel_refuses_ends_the_wait(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [errno.EINTR, errno.EINVAL]
    real = context.operations._poll

    def refuse(fds: object, count: int, timeout: int) -> int:
        if not refusals:
            return real(fds, count, timeout)
        ctypes.set_errno(refusals.pop(0))
        return -1

    monkeypatch.setattr(context.operations, "_poll", refuse)
    with pytest.raises(LibxlError, match="the kernel refuses: Invalid argument"):
        pause(context, 3)
    assert refusals == []


def test_what_the_descriptor_of_a_wakeup_says(context: Context) -> None:
    with Wakeup() as wakeup:
        assert wakeup.descriptor >= 0
        with Wakeup() as second:
            assert second.descriptor == -1  # the first is woken already
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(Wakeup().__enter__().descriptor))
        thread.start()
        thread.join()
        assert seen == [-1]
    assert signal.set_wakeup_fd(-1) == -1


def test_somebody_elses_handler_of_sigchld_is_refused(library: Library) -> None:
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        with pytest.raises(HostError, match="SIGCHLD"):
            Context(library)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_no_context_says_why_and_leaves_no_descriptor(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKELIBXL_NO_CONTEXT", "1")
    before = open_descriptors()
    with pytest.raises(LibxlError, match="cannot open libxc handle"):
        Context(library)
    assert open_descriptors() == before


def test_a_context_leaves_no_descriptor(library: Library) -> None:
    before = open_descriptors()
    for _ in range(5):
        with Context(library) as context:
            pause(context, 2)
            with pytest.raises(LibxlError):
                pause(context, 4)
    assert open_descriptors() == before


def test_what_libxl_stopped_is_no_failure_of_its_own(context: Context) -> None:
    from xentool.toolstack.libxl.failures import failure

    error = failure("create domain", "web", -22, [])
    assert isinstance(error, StoppedError)
    assert error.exit_code == 130
