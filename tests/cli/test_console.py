"""console: its log, its numbers, and a terminal that is as before whatever ends or stops it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_on_mock import Host, host
from xentool.devices.consolelog import log_path
from xentool.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.cli.fakes import FakeBackend

__all__ = ["host"]
TIME_LIMIT = 60


def test_the_log_is_printed_as_it_is(
    xentool: Callable[..., Outcome], backend: FakeBackend, tmp_path: Path
) -> None:
    backend.fake.log = str(tmp_path / "guest-web.log")
    (tmp_path / "guest-web.log").write_bytes(b"Linux\r\n\x1b[2Jlogin: ")
    outcome = xentool("console", "--log", "web")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Linux\r\n\x1b[2Jlogin: ", "")
    assert backend.fake.calls == [("console_log", "web")]


def test_on_a_terminal_a_log_commands_nothing(tmp_path: Path) -> None:
    path = tmp_path / "guest-web.log"
    path.write_bytes("1\r\n\x1b[2J\x9b ä€\t".encode())
    code = (
        "import sys; from xentool.devices.consolelog import show_log\n"
        "show_log(sys.argv[1], sys.stdout.buffer.write, safe=True)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, timeout=60, check=True)
    assert done.stdout.decode() == "1\n?[2J? ä€\t"


def test_follow_alone_means_nothing(xentool: Callable[..., Outcome]) -> None:
    assert xentool("console", "--follow", "web").code == 2


@pytest.mark.parametrize("name", ["web", "a b", "../etc", "x" * 300])
def test_no_log_says_how_to_have_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="there is none in") as caught:
        log_path(str(tmp_path), name)
    assert "--log=guest" in caught.value.hint
    (tmp_path / "guest-a b.log").write_text("x")
    assert log_path(str(tmp_path), "a b").endswith("guest-a b.log")


def test_a_numbered_console_is_asked_for(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    assert xentool("console", "-n", "2", "web").code == 1  # its terminal does not exist
    assert backend.fake.calls == [("console_path", 3, 2)]


def read_until(stream: int, wanted: bytes) -> bytes:
    got = b""
    while wanted not in got:
        assert select.select([stream], [], [], TIME_LIMIT)[0], got
        got += os.read(stream, 4096)
    return got


def test_a_log_is_followed_through_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "guest-web.log"
    path.write_bytes(b"one\n")
    code = (
        "import os, sys; from xentool.devices.consolelog import show_log\n"
        "show_log(sys.argv[1], lambda data: os.write(1, data), follow=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        stream = process.stdout.fileno()
        try:
            read_until(stream, b"one\n")
            with path.open("ab") as log:
                log.write(b"two\n")
            read_until(stream, b"two\n")
            path.rename(tmp_path / "guest-web.log.1")
            path.write_bytes(b"three\n")
            assert read_until(stream, b"three\n") == b"three\n"
            path.write_bytes(b"4\n")  # begun anew in place
            assert read_until(stream, b"4\n") == b"4\n"
        finally:
            process.kill()


def test_the_mock_hosts_log_outlives_its_domain(host: Host) -> None:
    host.run("create", "-c", "tiny.cfg", typed="\x1d")
    host.run("destroy", "tiny")
    code, out, _ = host.run("console", "--log", "tiny")
    assert code == 0
    assert "Linux version" in out
    code, _, err = host.run("console", "--log", "nobody")
    assert (code, "cannot show the console log of domain nobody: there is no such domain" in err) == (1, True)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def is_raw(descriptor: int) -> bool:
    return not termios.tcgetattr(descriptor)[3] & termios.ICANON


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_terminal_is_as_before_after_a_signal(host: Host, terminal: tuple[int, int], number: int) -> None:
    master, slave = terminal
    before = termios.tcgetattr(slave)
    host.run("create", "tiny.cfg")
    with host.start("console", "tiny", stdin=slave, stdout=slave) as process:
        read_until(master, b"Linux version")
        assert is_raw(slave)
        process.send_signal(number)
        assert process.wait(TIME_LIMIT) == 128 + number
    assert termios.tcgetattr(slave) == before


def test_a_terminal_is_as_before_after_escape(host: Host, terminal: tuple[int, int]) -> None:
    master, slave = terminal
    before = termios.tcgetattr(slave)
    host.run("create", "tiny.cfg")
    with host.start("console", "tiny", stdin=slave, stdout=slave) as process:
        read_until(master, b"Linux version")
        os.write(master, b"\x03\x1a\x1d")  # ^C and ^Z are the guest's
        assert process.wait(TIME_LIMIT) == 0
    assert termios.tcgetattr(slave) == before


def test_a_stopped_console_gives_the_terminal_back_and_takes_it_again(
    host: Host, terminal: tuple[int, int]
) -> None:
    master, slave = terminal
    before = termios.tcgetattr(slave)
    host.run("create", "tiny.cfg")
    # In a process group of its own: without job control above it, ours may be one that nothing can stop.
    with host.start("console", "tiny", stdin=slave, stdout=slave, process_group=0) as process:
        read_until(master, b"Linux version")
        process.send_signal(signal.SIGTSTP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert termios.tcgetattr(slave) == before
        process.send_signal(signal.SIGCONT)
        end = time.monotonic() + TIME_LIMIT
        while not is_raw(slave):  # till then it echoes what is typed, and ^] is a letter to it
            assert time.monotonic() < end
            time.sleep(0.01)
        os.write(master, b"uname\n")
        read_until(master, b"uname")
        os.write(master, b"\x1d")
        assert process.wait(TIME_LIMIT) == 0
    assert termios.tcgetattr(slave) == before
