"""Running commands, and everything that may go wrong, with a fake QEMU."""

from __future__ import annotations

import errno
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from tests.lab.conftest import CHECKOUT
from xentool.errors import LabError, TimedOutError, UsageError
from xentool.lab import session
from xentool.lab.cache import Cache
from xentool.lab.qemu import Share
from xentool.lab.run import run, shell
from xentool.lab.session import Lab


def here(
    lab: Lab, *command: str, timeout_seconds: float = 90, stdin: bytes = b""
) -> tuple[int, bytes, bytes]:
    """Run a command: the fake's dom0 is this machine, which has no checkout in /lab."""
    result = lab.run(command, folder="/", timeout_seconds=timeout_seconds, stdin=stdin)
    return result.exit_code, result.stdout, result.stderr


def test_a_command_comes_back_whole(fake_lab: Cache) -> None:
    streamed: list[bytes] = []
    with Lab("4.17", cache=fake_lab) as lab:
        lab.boot()
        result = lab.run(
            ["sh", "-c", "echo $A; echo err >&2; exit 7"],
            folder="/",
            environment={"A": "out"},
            stdout=streamed.append,
        )
    assert (result.exit_code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")
    assert b"".join(streamed) == b"out\n"
    assert (result.xen, result.kernel) == ("4.17.0", "fake")
    assert result.boot_seconds > 0


def test_commands_follow_one_another_in_one_boot(fake_lab: Cache) -> None:
    with Lab("4.17", cache=fake_lab) as lab:
        lab.boot()
        data = os.urandom(3_000_000)
        assert here(lab, "cat", stdin=data) == (0, data, b"")
        assert here(lab, "false") == (1, b"", b"")


def test_qemu_is_gone_after_the_lab(fake_lab: Cache) -> None:
    with Lab("4.17", cache=fake_lab) as lab:
        lab.boot()
        pid = lab._qemu.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("refused", [False, True])
def test_qemu_is_mended_as_soon_as_it_speaks_or_it_is_said_that_it_is_not(
    fake_lab: Cache, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    mended: list[int] = []
    said: list[str] = []

    def mend(pid: int) -> int:
        assert lab.facts == {}, "dom0 has not booted yet"
        mended.append(pid)
        if refused:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return 3

    monkeypatch.setattr(session, "mend", mend)
    with Lab("4.17", cache=fake_lab, progress=said.append) as lab:
        lab.boot()
        assert mended == [lab._qemu.pid]
    assert any("could not be mended" in line and "not permitted" in line for line in said) == refused


def test_a_command_that_takes_too_long(fake_lab: Cache) -> None:
    with Lab("4.17", cache=fake_lab) as lab:
        lab.boot()
        pid = lab._qemu.pid
        with pytest.raises(TimedOutError, match=r"run sleep 60 in the lab: not done within 0.3 s") as caught:
            here(lab, "sleep", "60", timeout_seconds=0.3)
    assert caught.value.exit_code == 9
    assert "a fake Xen" in caught.value.detail
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_boot_that_hangs(fake_lab: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENTOOL_FAKE_QEMU", "hang")
    with Lab("4.17", cache=fake_lab) as lab, pytest.raises(TimedOutError, match="boot Xen in the lab"):
        lab.boot(timeout_seconds=0.5)


def test_a_machine_that_crashes_shows_its_console(fake_lab: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENTOOL_FAKE_QEMU", "crash")
    with Lab("4.17", cache=fake_lab) as lab, pytest.raises(LabError, match="fake: out of luck") as caught:
        lab.boot()
    assert "(XEN) Panic on CPU 0" in caught.value.detail


def test_dom0s_own_reason_is_the_errors(fake_lab: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENTOOL_FAKE_QEMU", "complain")
    with (
        Lab("4.17", cache=fake_lab) as lab,
        pytest.raises(LabError, match=r"boot Xen in the lab: no module$"),
    ):
        lab.boot()


def test_a_machine_that_ends_during_a_command(fake_lab: Cache) -> None:
    with Lab("4.17", cache=fake_lab) as lab:
        lab.boot()
        with pytest.raises(LabError, match="the machine ended"):
            here(lab, "sh", "-c", "kill -9 $PPID; sleep 5")


def test_the_console_goes_to_a_file(fake_lab: Cache, tmp_path: Path) -> None:
    log = tmp_path / "xen.log"
    with Lab("4.17", cache=fake_lab, log=str(log)) as lab:
        lab.boot()
        here(lab, "true")
    assert log.read_bytes() == b"(XEN) a fake Xen\r\n"


def test_a_log_that_cannot_be_written(fake_lab: Cache, tmp_path: Path) -> None:
    with (
        Lab("4.17", cache=fake_lab, log=str(tmp_path / "no" / "log")) as lab,
        pytest.raises(LabError, match="no/log"),
    ):
        lab.boot()


def test_a_share_that_is_not_there(fake_lab: Cache, tmp_path: Path) -> None:
    with (
        Lab("4.17", cache=fake_lab, shares=[Share(str(tmp_path / "no"), "/mnt")]) as lab,
        pytest.raises(LabError, match="there is no such folder"),
    ):
        lab.boot()


def test_no_qemu_says_what_to_install(
    fake_lab: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("xentool.lab.tools._SYSTEM_FOLDERS", "/nonexistent")
    with (
        Lab("4.17", cache=fake_lab) as lab,
        pytest.raises(LabError, match="qemu-system-x86_64 is not") as caught,
    ):
        lab.boot()
    assert caught.value.hint == "on Debian: apt-get install qemu-system-x86"


def test_run_without_a_command() -> None:
    with pytest.raises(UsageError, match="no command"):
        run([])


def test_a_shell_needs_a_terminal(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file, pytest.raises(UsageError, match="there is no terminal"):
        shell(terminal=file.fileno())


def test_a_shell_on_a_terminal(fake_lab: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xentool.lab.session.CHECKOUT", "")
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    said = b""

    def user() -> None:
        nonlocal said
        while b"ready" not in said:
            said += os.read(ours, 1000)
        os.write(ours, b"stop\r")
        while b"got stop" not in said:
            said += os.read(ours, 1000)

    thread = threading.Thread(target=user)
    thread.start()
    try:
        code = shell(
            "4.17", ["sh", "-c", "echo ready; read x; echo got $x; exit 5"], terminal=its, cache=fake_lab
        )
    finally:
        thread.join(20)
        after = termios.tcgetattr(its)
        os.close(ours)
        os.close(its)
    assert code == 5
    assert after == before
    assert signal.getsignal(signal.SIGWINCH) == signal.SIG_DFL


KILLED = """
import sys
from xentool.lab import session
from xentool.lab.cache import Cache, Image
session.build = lambda xen, **_: Image(sys.argv[1])
session.make_layer = lambda *_: b""
with session.Lab("4.17", cache=Cache(sys.argv[1])) as lab:
    lab.boot()
    print(lab._qemu.pid, flush=True)
    lab.run(["sleep", "60"], folder="/")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_qemu_does_not_outlive_its_caller(fake_lab: Cache, tmp_path: Path, number: signal.Signals) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
    )
    with caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        qemu = os.pidfd_open(pid)
        caller.send_signal(number)
        caller.wait(90)
        poll = select.poll()
        poll.register(qemu, select.POLLIN)
        assert poll.poll(45_000), "QEMU still runs"
        os.close(qemu)
