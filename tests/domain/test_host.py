"""What a host is asked before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from xentool.domain.host import Host
from xentool.domain.paths import Paths


class OpenedError(Exception):
    """The hypervisor was opened."""


def host_at(folder: Path) -> Host:
    def never() -> object:
        raise OpenedError

    return Host(never, never, Paths.under(str(folder)), never)  # type: ignore[arg-type]


def said(folder: Path, major: str, minor: str) -> None:
    version = folder / "version"
    version.mkdir()
    (version / "major").write_text(major)
    (version / "minor").write_text(minor)


def test_linux_says_which_xen_runs_and_no_hypercall_is_needed(tmp_path: Path) -> None:
    said(tmp_path, "4\n", "17\n")
    assert host_at(tmp_path).release == (4, 17)


def test_where_linux_does_not_say_xen_is_asked(tmp_path: Path) -> None:
    with pytest.raises(OpenedError):
        _ = host_at(tmp_path).release
    said(tmp_path, "4\n", "")
    with pytest.raises(OpenedError):
        _ = host_at(tmp_path).release
