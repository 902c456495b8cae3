"""libxl's lock on a domain's files, where others tidy up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xentool.domain.locks import libxl_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_one_whose_file_is_gone_can_be_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    before = os.listdir("/proc/self/fd")
    with libxl_lock(str(path)):
        path.unlink()
    assert os.listdir("/proc/self/fd") == before
    with libxl_lock(str(path)):
        assert path.exists()
    assert not path.exists()
