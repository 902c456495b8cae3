"""The devices' benchmark measures what has a bar, by both tools in turn, and says which bar is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import devices, measure
from tests.bench.__main__ import COMMAND_BARS, command_table


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that it would run in dom0; xl takes a second for each, we an eighth, but for detach."""
    ran: list[list[str]] = []

    def run(command: list[str], result: measure.Result | None = None) -> None:
        ran.append(command)
        if result is not None:
            quick = command[0] == "xentool" and not command[1].endswith("-detach")
            result.seconds.append(0.125 if quick else 1.01 if command[0] == "xentool" else 1.0)

    def peak_kib(command: list[str]) -> int:
        run(command)
        return 1024

    for module in (devices, measure):
        monkeypatch.setattr(module, "run", run)
        monkeypatch.setattr(module, "peak_kib", peak_kib)
    monkeypatch.setattr(devices, "await_connected", lambda domid, node: ran.append(["connected", node]))
    monkeypatch.setattr(devices.DeviceBench, "start", lambda bench: 7)
    monkeypatch.setattr("glob.glob", lambda pattern: ["/boot/vmlinuz"])
    monkeypatch.setattr(Path, "glob", lambda path, pattern: ["/boot/vmlinuz"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return ran


def test_the_bars_are_of_rows_that_are_measured(commands: list[list[str]], tmp_path: Path) -> None:
    bench = devices.DeviceBench(2, str(tmp_path))
    bench.everything()
    text, missed = command_table(bench.rows)
    assert missed == ["detach a vif", "detach a raw-file disk"]
    assert "attach a vif" in text
    assert {name for name in COMMAND_BARS if name in bench.rows} == set(bench.rows) - {"python3 -c pass"}


def test_the_tools_take_turns_and_the_guest_connects(commands: list[list[str]], tmp_path: Path) -> None:
    devices.DeviceBench(1, str(tmp_path)).everything()
    vif = [words for words in commands if words[-1] in ("vif/0", f"bridge={devices.BRIDGE}", "0")]
    turn = [
        [tool, "network-attach", "running", f"bridge={devices.BRIDGE}"] if step == 0
        else ["connected", "vif/0"] if step == 1 else [tool, "network-detach", "running", "0"]
        for tool in ("xl", "xentool")
        for step in range(3)
    ]  # fmt: skip
    assert vif == turn * 2
