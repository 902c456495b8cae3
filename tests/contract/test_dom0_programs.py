"""Domain-0's programs, hotplug scripts for one: what `xentool.dom0.port.Programs` promises."""

from __future__ import annotations

import os
from select import select
from typing import TYPE_CHECKING

import pytest

from xentool.errors import HostError, NotFoundError, TimedOutError

if TYPE_CHECKING:
    from pathlib import Path

    from xentool.dom0.port import Dom0


def _script(folder: Path, text: str) -> str:
    path = folder / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_script_runs(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, 'echo "$1 $COLOUR"; echo trouble >&2; exit 3')
    assert dom0.programs.exists(path)
    assert dom0.programs.run_script([path, "add"], {"COLOUR": "red"}, 90) == (3, "add red\ntrouble\n")


def test_a_script_that_is_killed(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, "kill -9 $$")
    assert dom0.programs.run_script([path], {}, 90)[0] == 128 + 9


def test_a_script_that_hangs_is_ended(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, "echo waiting; sleep 1000 & echo $! > $1; wait")
    pid_file = tmp_path / "pid"
    for seconds in (0.5, 5, 50):
        with pytest.raises(TimedOutError) as caught:
            dom0.programs.run_script([path, str(pid_file)], {}, seconds)
        if pid_file.exists() and pid_file.read_text():
            break  # else it was ended before it had begun
    assert "waiting" in caught.value.detail
    assert _has_ended(int(pid_file.read_text())), "what it had started runs on"


def _has_ended(pid: int) -> bool:
    """Whether the process ends, which it has been told to a moment ago."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select([process], [], [], 90)[0])
    finally:
        os.close(process)


def test_what_cannot_be_run(dom0: Dom0, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert not dom0.programs.exists(missing)
    with pytest.raises(NotFoundError):
        dom0.programs.run_script([missing], {}, 90)
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert not dom0.programs.exists(str(plain))
    with pytest.raises(HostError):
        dom0.programs.run_script([str(plain)], {}, 90)


def test_the_end_of_what_is_said_is_kept(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, "head -c 200000 /dev/zero | tr '\\0' x; echo the end")
    code, said = dom0.programs.run_script([path], {}, 90)
    assert code == 0
    assert len(said) <= 64 << 10
    assert said.endswith("the end\n")
