"""Programs that stay: their log, their arguments, their end; with real processes."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.descriptors import open_descriptors
from xentool.dom0.linux import daemons as module
from xentool.dom0.linux.daemons import LinuxDaemons
from xentool.errors import HostError

MARKS = ("-test-domid", str(os.getpid()))
ENDING = "import sys; print('said so', file=sys.stderr); sys.exit(1)"
STAYING = "import time; print('here', flush=True); time.sleep(100)"
STUBBORN = f"import signal; signal.signal(15, lambda *_: None)\nwhile True: {STAYING}"
CHATTY = """
import os, signal, time
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
try:
    while True: os.write(1, b'x' * 4096)
except OSError:
    time.sleep(100)
"""
"""As QEMU, which ignores SIGPIPE."""


@pytest.fixture
def daemons() -> Iterator[LinuxDaemons]:
    found = LinuxDaemons()
    yield found
    while (left := found.find(MARKS)) is not None:
        left.end(0)
        left.close()
    for pid in module._started:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass
    module._started.clear()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "program.log"


def start(daemons: LinuxDaemons, script: str, log: Path, *marks: str) -> int:
    return daemons.spawn([sys.executable, "-S", "-c", script, *(marks or MARKS)], {"EXTRA": "1"}, str(log))


def until(text: str, log: Path) -> None:
    end = time.monotonic() + 90
    while text not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_nothing_that_stays_holds_the_output_of_the_command_that_started_it(
    daemons: LinuxDaemons, log: Path
) -> None:
    """Or ``xentool create … 2>&1 | tee log`` would end with the guest, not with the command."""
    reading, writing = os.pipe()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(writing, number)
        start(daemons, STAYING, log)
    finally:
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(writing)
    until("here", log)
    with open(reading, "rb") as output:
        assert select.select([output], [], [], 90)[0]
        assert output.read() == b""


def test_it_runs_in_a_session_of_its_own(daemons: LinuxDaemons, log: Path) -> None:
    script = f"import os; print(os.environ['EXTRA'], os.read(0, 1), os.getsid(0) == os.getpid());{STAYING}"
    pid = start(daemons, script, log)
    until("here", log)
    assert log.read_text().startswith("1 b'' True")
    found = daemons.find(MARKS, pid)
    assert found is not None
    assert found.pid == pid
    assert not select.select([found], [], [], 0)[0]
    found.end(10)
    assert select.select([found], [], [], 0)[0]
    found.close()
    assert daemons.find(MARKS, pid) is None


def test_what_it_says_before_it_ends_is_all_there(daemons: LinuxDaemons, log: Path) -> None:
    for _ in range(5):
        pid = start(daemons, ENDING, log)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert daemons.printed(str(log), ended=True) == "said so\n"


def test_its_log_ends_some_day(daemons: LinuxDaemons, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READS", 16)
    pid = start(daemons, CHATTY, log)
    lost = log.stat().st_size
    end = time.monotonic() + 90
    while log.stat().st_size < 16 << 10 or log.stat().st_size != lost:
        lost = log.stat().st_size
        assert time.monotonic() < end
        time.sleep(0.05)
    assert log.stat().st_size == 16 << 10
    assert daemons.find(MARKS, pid) is not None


def test_old_logs_are_kept_under_numbers(daemons: LinuxDaemons, log: Path) -> None:
    for number in range(13):
        pid = start(daemons, f"print({number})", log)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert daemons.printed(str(log), ended=True) == f"{number}\n"
    kept = {path.name: path.read_text().strip() for path in log.parent.iterdir()}
    assert kept == {"program.log": "12"} | {f"program.log.{n}": str(12 - n) for n in range(1, 11)}


def test_it_is_known_by_its_arguments_alone(daemons: LinuxDaemons, log: Path) -> None:
    pid = start(daemons, STAYING, log)
    other = start(daemons, STAYING, log.parent / "other.log", "-test-domid", f"{os.getpid()}0")
    assert daemons.find((MARKS[0], f"{os.getpid()}0"), pid) is None
    assert daemons.find((MARKS[1], MARKS[0])) is None
    assert daemons.find(("domid", MARKS[1])) is None
    for marks, expected in ((MARKS, pid), ((MARKS[0], f"{os.getpid()}0"), other)):
        found = daemons.find(marks)
        assert found is not None
        assert found.pid == expected
        found.close()
    last = daemons.find((MARKS[0], f"{os.getpid()}0"))
    assert last is not None
    last.end(10)
    last.close()


def test_one_that_will_not_end_is_killed(daemons: LinuxDaemons, log: Path) -> None:
    pid = start(daemons, STUBBORN, log)
    until("here", log)
    found = daemons.find(MARKS, pid)
    assert found is not None
    found.end(0.05)
    found.close()
    assert not Path(f"/proc/{pid}").exists()


def test_ending_what_has_ended_is_no_error(daemons: LinuxDaemons, log: Path) -> None:
    pid = start(daemons, STAYING, log)
    found = daemons.find(MARKS, pid)
    assert found is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    found.end(1)
    found.close()


def test_what_cannot_be_run(daemons: LinuxDaemons, log: Path) -> None:
    before = open_descriptors()
    with pytest.raises(HostError, match="run /nonexistent/qemu"):
        daemons.spawn(["/nonexistent/qemu"], {}, str(log))
    with pytest.raises(HostError, match="open the log"):
        daemons.spawn([sys.executable], {}, "/nonexistent/folder/log")
    assert open_descriptors() == before


def test_a_log_that_is_not_there_says_nothing(daemons: LinuxDaemons, log: Path) -> None:
    assert daemons.printed(str(log), ended=True) == ""


def test_qemu_is_looked_for_where_libxl_s_builders_put_it(
    daemons: LinuxDaemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, program = tmp_path / "plain", tmp_path / "qemu"
    plain.touch(0o644)
    monkeypatch.setattr(module, "QEMUS", (str(tmp_path / "none"), str(program)))
    assert daemons.qemu() is None
    program.touch(0o755)
    assert daemons.qemu() == str(program)
