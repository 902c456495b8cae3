"""Programs that Domain-0 runs: what comes back of them, and that nothing of one that hangs stays."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from xentool.dom0.linux import LinuxDom0
from xentool.dom0.linux import programs as module
from xentool.dom0.linux.programs import OUTPUT_BYTES, LinuxPrograms
from xentool.errors import HostError, NotFoundError, TimedOutError

SECONDS = 90.0


@pytest.fixture
def programs() -> LinuxPrograms:
    return LinuxPrograms()


def script(folder: Path, text: str, mode: int = 0o755) -> str:
    path = folder / "hotplug-it"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    """Whether the process is gone, or goes at once: whoever adopted it has to look away first."""
    end = time.monotonic() + SECONDS
    while running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not running(pid)


def test_what_it_says_and_how_it_ends(programs: LinuxPrograms, tmp_path: Path) -> None:
    path = script(tmp_path, '#!/bin/sh\necho "$0 $1 $vif $HOME"; echo wrong >&2; read x; exit 7\n')
    code, said = programs.run_script([path, "online"], {"vif": "vif1.0"}, SECONDS)
    assert code == 7
    assert said == f"{path} online vif1.0 {os.environ['HOME']}\nwrong\n"


def test_a_group_of_its_own(programs: LinuxPrograms, tmp_path: Path) -> None:
    path = script(tmp_path, "#!/bin/sh\necho $$; ps -o pgid= -p $$\n")
    _, said = programs.run_script([path], {}, SECONDS)
    pid, group = map(int, said.split())
    assert pid == group != os.getpgrp()


def test_killed_by_a_signal(programs: LinuxPrograms, tmp_path: Path) -> None:
    code, _ = programs.run_script([script(tmp_path, "#!/bin/sh\nkill -KILL $$\n")], {}, SECONDS)
    assert code == 128 + signal.SIGKILL


def test_signals_are_as_usual_for_it(programs: LinuxPrograms, tmp_path: Path) -> None:
    """Python ignores SIGPIPE; a script must not."""
    path = script(tmp_path, "#!/bin/sh\nkill -PIPE $$\necho deaf\n")
    assert programs.run_script([path], {}, SECONDS) == (128 + signal.SIGPIPE, "")


def test_much_output_keeps_its_end(programs: LinuxPrograms, tmp_path: Path) -> None:
    path = script(tmp_path, "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x; echo end\n")
    code, said = programs.run_script([path], {}, SECONDS)
    assert code == 0
    assert len(said) == OUTPUT_BYTES
    assert said.endswith("xend\n")


def test_what_runs_on_in_the_background_is_not_waited_for(programs: LinuxPrograms, tmp_path: Path) -> None:
    path = script(tmp_path, "#!/bin/sh\nsleep 300 &\necho $!\n")
    before = time.monotonic()
    code, said = programs.run_script([path], {}, SECONDS)
    assert (code, time.monotonic() - before < SECONDS / 2) == (0, True)
    assert running(int(said))
    os.kill(int(said), signal.SIGKILL)


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_one_that_hangs_is_ended_with_what_it_started(
    programs: LinuxPrograms, tmp_path: Path, trap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    late = [0.0]
    hear = module._Running._hear

    def heard(program: module._Running, output: int) -> bool:
        """It has said what it has to say: from then on the time is over."""
        if spoke := hear(program, output):
            late[0] = 1000.0
        return spoke

    monkeypatch.setattr(module._Running, "_hear", heard)
    monkeypatch.setattr(module, "monotonic", lambda: time.monotonic() + late[0])
    path = script(tmp_path, f"#!/bin/sh\n{trap}sleep 300 &\necho $$ $!; wait; sleep 300\n")
    with pytest.raises(TimedOutError, match=r"did not end within 90 s") as caught:
        programs.run_script([path], {}, SECONDS)
    leader, child = map(int, caught.value.detail.split())
    assert gone(leader)
    assert gone(child)


def test_an_interrupted_wait_leaves_nothing(
    programs: LinuxPrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    spawn = os.posix_spawn

    def spawned(*words: Any, **options: Any) -> int:
        started.append(spawn(*words, **options))
        return started[0]

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    path = script(tmp_path, "#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr(os, "posix_spawn", spawned)
    monkeypatch.setattr("xentool.dom0.linux.programs._Running._follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        programs.run_script([path], {}, SECONDS)
    with pytest.raises(ChildProcessError):
        os.waitpid(started[0], os.WNOHANG)


def test_no_descriptors_are_lost(programs: LinuxPrograms, tmp_path: Path) -> None:
    path = script(tmp_path, "#!/bin/bash\nexec ls -l /proc/self/fd\n")
    mine = [int(number) for number in os.listdir("/proc/self/fd")]
    given = {0, 1, 2} | {number for number in mine if is_inheritable(number)}
    _, said = programs.run_script([path], {}, SECONDS)
    with pytest.raises(NotFoundError):
        programs.run_script([f"{path}.none"], {}, SECONDS)
    assert [int(number) for number in os.listdir("/proc/self/fd")] == mine
    found = dict(line.split()[-3:][::2] for line in said.splitlines()[1:])
    assert {int(number) for number, target in found.items() if not target.endswith("/fd")} == given
    assert found["0"] == "/dev/null"


def is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False  # that of the listing itself


@pytest.mark.parametrize(
    ("text", "mode", "error", "reason"),
    [
        ("#!/bin/sh\n", 0o644, HostError, "may not be run"),
        ("no first line\n", 0o755, HostError, "Exec format error"),
        ("#!/no/such/shell\n", 0o755, HostError, "No such file"),
    ],
)
def test_what_cannot_be_run(
    programs: LinuxPrograms, tmp_path: Path, text: str, mode: int, error: type[Exception], reason: str
) -> None:
    path = script(tmp_path, text, mode)
    with pytest.raises(error, match=reason) as caught:
        programs.run_script([path], {}, SECONDS)
    assert caught.value.hint  # type: ignore[attr-defined]
    assert programs.exists(path) == (mode == 0o755)


def test_what_is_there(programs: LinuxPrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path, "#!/bin/sh\n")
    assert not programs.exists(str(tmp_path))
    assert programs.find("hotplug-it") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.find("hotplug-it") == path
    assert programs.find("sh") == "/usr/bin/sh"  # though $PATH lacks it


def test_hooks(tmp_path: Path) -> None:
    assert LinuxDom0().hooks(str(tmp_path / "none")) == []
    for name, mode in (("b.hook", 0o755), ("a.hook", 0o755), ("c.hook", 0o644), ("d.sh", 0o755)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    assert LinuxDom0().hooks(str(tmp_path)) == ["a.hook", "b.hook"]
