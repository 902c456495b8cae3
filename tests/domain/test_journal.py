"""The journal survives its writer, and only its writer's death makes it abandoned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.descriptors import open_descriptors
from xentool.domain.journal import Journal

UUID = "0a2b9c2e-0000-4000-8000-000000000001"

DYING = """
import os, signal, sys
from xentool.domain.journal import Journal
entry = Journal(sys.argv[1]).begin(sys.argv[2])
entry.note("domid", 7)
os.write(1, b"x")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_finished_entry_is_gone(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    assert journal.is_empty()
    with journal.begin(UUID) as entry:
        entry.note("domid", 3)
        assert not journal.is_empty()
        assert entry.facts == {"uuid": UUID, "domid": "3"}
    assert journal.is_empty()


@pytest.mark.parametrize("call", ["open", "write", "rename"])
def test_what_a_signal_kept_from_beginning_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real = getattr(os, call)

    def interrupted(*words: object) -> None:
        if call == "open":
            os.close(real(*words))
        raise KeyboardInterrupt

    before = open_descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            Journal(str(tmp_path)).begin(UUID)
    assert os.listdir(tmp_path / "journal") == []
    assert open_descriptors() == before
    with Journal(str(tmp_path)).begin(UUID):
        assert not Journal(str(tmp_path)).is_empty()


def test_a_living_entry_is_nobodys_to_undo(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    with journal.begin(UUID):
        assert list(journal.abandoned()) == []
    assert list(journal.abandoned()) == []


def test_a_killed_writer_leaves_what_it_had_begun(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path), UUID], check=False, stdout=subprocess.PIPE
    )
    assert child.returncode == -signal.SIGKILL
    journal = Journal(str(tmp_path))
    entries = list(journal.abandoned())
    assert [entry.facts for entry in entries] == [{"uuid": UUID, "domid": "7"}]
    assert list(journal.abandoned()) == [], "an entry that is being undone is locked"
    entries[0].close()
    assert journal.is_empty()


def test_a_line_cut_short_is_not_believed(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    entry = journal.begin(UUID)
    path = next((tmp_path / "journal").iterdir())
    with path.open("a") as file:
        file.write("domid 12")  # of 1234, say
    entry.close(finished=False)
    (found,) = journal.abandoned()
    assert found.facts == {"uuid": UUID}
    found.close()


def test_an_entry_that_cannot_be_undone_stays(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.begin(UUID).close(finished=False)
    assert len(os.listdir(tmp_path / "journal")) == 1
    (found,) = journal.abandoned()
    found.close(finished=False)
    assert not journal.is_empty()
