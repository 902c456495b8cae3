"""The domid history is libxl's file: its lines, its clock, its 60 seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from xentool.domain.domid_history import mark_recent, recent_domids
from xentool.units import DomId


def test_no_file_means_no_recent_domids(tmp_path: Path) -> None:
    assert recent_domids(str(tmp_path / "none")) == frozenset()


def test_marked_domids_are_recent_for_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "run" / "domid-history")
    monkeypatch.setattr(time, "monotonic", lambda: 1000.9)
    mark_recent(path, DomId(5))
    monkeypatch.setattr(time, "monotonic", lambda: 1060.0)
    mark_recent(path, DomId(6))
    assert recent_domids(path) == {5, 6}
    assert Path(path).read_text() == "1000 5\n1060 6\n"
    monkeypatch.setattr(time, "monotonic", lambda: 1061.0)
    assert recent_domids(path) == {6}
    mark_recent(path, DomId(7))
    assert Path(path).read_text() == "1060 6\n1061 7\n"
    assert not Path(f"{path}.lock").exists()


def test_lines_that_are_none_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b"\nrubbish\n1 2 3\n\xff 4\n%d 9\n" % time.monotonic())
    assert recent_domids(str(path)) == {9}
