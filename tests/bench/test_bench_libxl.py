"""The libxl toolstack's benchmark measures what has a bar, in turns, and counts what is beyond the start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench import libxl, measure
from tests.bench.__main__ import LIBXL_BARS, libxl_table

START_SECONDS = 0.25
THEIRS = 1.0


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that it would run in dom0: xl takes a second, we the interpreter's start and as long, but
    for `save`."""
    ran: list[list[str]] = []

    def run(command: list[str], result: measure.Result | None = None) -> None:
        ran.append(command)
        if command[1] == "save":
            Path(command[-1]).touch()
        if result is not None:
            ours = START_SECONDS + THEIRS * (1.2 if command[1] == "save" else 1.05)
            seconds = {"python3": START_SECONDS, "xl": THEIRS, "xentool": ours}
            result.seconds.append(seconds[command[0]])

    def peak_kib(command: list[str]) -> int:
        run(command)
        return 1024

    for module in (libxl, measure):
        monkeypatch.setattr(module, "run", run)
        monkeypatch.setattr(module, "peak_kib", peak_kib)
    monkeypatch.setattr(libxl, "await_up", lambda guest: ran.append(["up", guest]))
    monkeypatch.setattr(Path, "glob", lambda path, pattern: ["/boot/vmlinuz"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XENTOOL_TOOLSTACK", "native")
    return ran


def test_the_bars_are_beyond_the_interpreters_start(commands: list[list[str]], tmp_path: Path) -> None:
    bench = libxl.LibxlBench("/tiny", 2, str(tmp_path))
    bench.everything()
    assert os.environ["XENTOOL_TOOLSTACK"] == "libxl"
    text, missed = libxl_table(bench.rows)
    assert missed == ["save --no-sync, PV, 128 MiB", "save to the disk, PV, 128 MiB"]
    assert f"{START_SECONDS:.3f}" in text.splitlines()[-1]
    assert set(bench.rows) >= set(LIBXL_BARS)


def test_until_the_disk_has_it_counts_for_both(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libxl, "settle", lambda _path: 0.5)
    bench = libxl.LibxlBench("/tiny", 1, str(tmp_path))
    bench.everything()
    kernel, disk = (bench.rows[f"{name}, PV, 128 MiB"] for name in ("save", "save to the disk"))
    for tool in ("xl", "xentool"):
        assert disk[tool]["median"] == kernel[tool]["median"] + 0.5


def test_what_one_saves_it_restores(commands: list[list[str]], tmp_path: Path) -> None:
    libxl.LibxlBench("/tiny", 1, str(tmp_path)).everything()
    saving = [words[:2] for words in commands if words[1] in ("save", "restore", "linux")]
    turn = [[tool, command] for tool in ("xl", "xentool", "xentool") for command in ("save", "restore")]
    assert saving == [["up", "linux"], *turn, *turn]
    assert ["xentool", "save", "--no-sync", "linux", f"{tmp_path}/xentool-bench.saved"] in commands
    assert [name for name in os.listdir(tmp_path) if name.endswith(".saved")] == []
