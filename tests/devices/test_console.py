"""Attaching to a console: a pty pair plays the console daemon, another the user's terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import termios
import threading
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from xentool.devices.console import ENDED, LEFT, attach
from xentool.errors import HostError, InUseError, NotFoundError
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIME_LIMIT = 20
DOMID = DomId(7)


def read_exactly(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        assert select.select([descriptor], [], [], TIME_LIMIT)[0], f"only {data!r} came"
        data += os.read(descriptor, count - len(data))
    return data


class Console:
    """What xenconsoled holds: a pty whose other end `attach` opens."""

    def __init__(self) -> None:
        self.daemon, self._kept = pty.openpty()
        tty.setraw(self._kept)
        self.path = os.ttyname(self._kept)

    def end(self) -> None:
        for descriptor in (self.daemon, self._kept):
            if descriptor >= 0:
                os.close(descriptor)
        self.daemon = self._kept = -1


class Attached:
    """`attach` in a thread, with pipes for its input and output."""

    def __init__(
        self, console: Console, folder: Path, input_fd: int, ready: Callable[[], None] | None = None
    ) -> None:
        self.output, self._writing = os.pipe()
        self._is_ready = threading.Event()
        self._result: object = None

        def on_ready() -> None:
            if ready is not None:
                ready()
            self._is_ready.set()

        def body() -> None:
            try:
                self._result = attach(
                    console.path,
                    DOMID,
                    lock_directory=str(folder),
                    input_fd=input_fd,
                    output_fd=self._writing,
                    ready=on_ready,
                )
            except BaseException as exc:  # noqa: BLE001 - handed to the test
                self._result = exc
            finally:
                self._is_ready.set()
                os.close(self._writing)

        self._thread = threading.Thread(target=body, daemon=True)
        self._thread.start()
        assert self._is_ready.wait(TIME_LIMIT)

    def result(self) -> object:
        self._thread.join(TIME_LIMIT)
        assert not self._thread.is_alive()
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def close(self) -> None:
        os.close(self.output)


@pytest.fixture
def console() -> Iterator[Console]:
    console = Console()
    yield console
    console.end()


@pytest.fixture
def typed() -> Iterator[tuple[int, int]]:
    """A pipe: (for attach, for the test)."""
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The user's terminal: (for attach, the keyboard)."""
    keyboard, screen = pty.openpty()
    yield screen, keyboard
    os.close(keyboard)
    os.close(screen)


def test_bytes_pass_both_ways_unchanged(console: Console, tmp_path: Path, typed: tuple[int, int]) -> None:
    attached = Attached(console, tmp_path, typed[0])
    data = bytes(number for number in range(256) if number != 0x1D)
    os.write(typed[1], data)
    assert read_exactly(console.daemon, len(data)) == data
    os.write(console.daemon, data)
    assert read_exactly(attached.output, len(data)) == data
    console.end()
    assert attached.result() == ENDED
    attached.close()


def test_the_escape_key_leaves_and_what_came_before_it_is_sent(
    console: Console, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    attached = Attached(console, tmp_path, terminal[0])
    os.write(terminal[1], b"halt\r\x1dmore")
    assert attached.result() == LEFT
    assert read_exactly(console.daemon, 5) == b"halt\r"
    assert not select.select([console.daemon], [], [], 0)[0]
    attached.close()


def test_the_terminal_is_raw_inside_and_as_before_afterwards(
    console: Console, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    before = termios.tcgetattr(terminal[0])
    seen: list[int] = []
    attached = Attached(
        console, tmp_path, terminal[0], ready=lambda: seen.append(termios.tcgetattr(terminal[0])[tty.LFLAG])
    )
    os.write(terminal[1], b"\x03\x1d")  # ^C is the guest's
    assert attached.result() == LEFT
    assert read_exactly(console.daemon, 1) == b"\x03"
    assert not seen[0] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert termios.tcgetattr(terminal[0]) == before
    attached.close()


def test_the_terminal_is_as_before_when_starting_the_domain_fails(
    console: Console, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    before = termios.tcgetattr(terminal[0])

    def fail() -> None:
        raise HostError("start domain", "web", "no")

    attached = Attached(console, tmp_path, terminal[0], ready=fail)
    with pytest.raises(HostError):
        attached.result()
    assert termios.tcgetattr(terminal[0]) == before
    assert os.listdir(tmp_path) == []
    attached.close()


def test_the_end_of_the_input_does_not_end_the_output(
    console: Console, tmp_path: Path, typed: tuple[int, int]
) -> None:
    os.close(typed[1])
    attached = Attached(console, tmp_path, typed[0])
    os.write(console.daemon, b"still here")
    assert read_exactly(attached.output, 10) == b"still here"
    console.end()
    assert attached.result() == ENDED
    attached.close()


def test_a_guest_that_does_not_read_cannot_keep_the_user(
    console: Console, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    tty.setraw(terminal[0])
    attached = Attached(console, tmp_path, terminal[0])
    for _ in range(60):
        os.write(terminal[1], b"x" * 4000)
    os.write(console.daemon, b"output flows")
    assert read_exactly(attached.output, 12) == b"output flows"
    # When the guest reads at last, what waited for it is bounded: our backlog and what the pty holds.
    arrived = 0
    while select.select([console.daemon], [], [], 0.3)[0]:
        arrived += len(os.read(console.daemon, 1 << 16))
    assert arrived < 200_000
    os.write(terminal[1], b"\x1d")
    assert attached.result() == LEFT
    attached.close()


def test_a_pipe_larger_than_every_buffer_arrives_whole(
    console: Console, tmp_path: Path, typed: tuple[int, int]
) -> None:
    attached = Attached(console, tmp_path, typed[0])
    data = bytes(range(0x20, 0x7F)) * 4000
    writer = threading.Thread(target=os.write, args=(typed[1], data), daemon=True)
    writer.start()
    assert read_exactly(console.daemon, len(data)) == data
    writer.join(TIME_LIMIT)
    console.end()
    assert attached.result() == ENDED
    attached.close()


def test_only_one_is_attached_at_a_time(console: Console, tmp_path: Path, typed: tuple[int, int]) -> None:
    attached = Attached(console, tmp_path, typed[0])
    with pytest.raises(InUseError):
        attach(console.path, DOMID, lock_directory=str(tmp_path), input_fd=typed[0])
    os.write(typed[1], b"\x1d")
    assert attached.result() == LEFT
    assert os.listdir(tmp_path) == []
    attached.close()


def test_a_lock_file_that_nobody_holds_is_no_obstacle(
    console: Console, tmp_path: Path, typed: tuple[int, int]
) -> None:
    (tmp_path / "xenconsole.7").touch()
    os.write(typed[1], b"\x1d")
    assert attach(console.path, DOMID, lock_directory=str(tmp_path), input_fd=typed[0]) == LEFT


def test_our_lock_is_xenconsoles(console: Console, tmp_path: Path, typed: tuple[int, int]) -> None:
    with open(tmp_path / "xenconsole.7", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InUseError):
            attach(console.path, DOMID, lock_directory=str(tmp_path), input_fd=typed[0])


@pytest.mark.parametrize(
    ("path", "folder", "kind"),
    [
        ("/dev/pts/999999", "", NotFoundError),
        ("/dev/pts/999999", "/missing", HostError),
        ("/proc", "", HostError),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, path: str, folder: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        attach(path, DOMID, lock_directory=str(tmp_path) + folder)
    assert os.listdir(tmp_path) == []


def test_a_signal_restores_the_terminal(console: Console, tmp_path: Path, terminal: tuple[int, int]) -> None:
    from xentool.cli.stopping import Stopping
    from xentool.errors import StoppedError

    before = termios.tcgetattr(terminal[0])
    with pytest.raises(StoppedError), Stopping():
        attach(
            console.path, DOMID, lock_directory=str(tmp_path), input_fd=terminal[0],
            ready=lambda: os.kill(os.getpid(), signal.SIGTERM),
        )  # fmt: skip
    assert termios.tcgetattr(terminal[0]) == before
    assert os.listdir(tmp_path) == []
