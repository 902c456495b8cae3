"""libxl's lock on a domain's files, where others tidy up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.descriptors import open_descriptors
from xentool.domain.locks import libxl_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_one_whose_file_is_gone_can_be_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    before = open_descriptors()
    with libxl_lock(str(path)):
        path.unlink()
    assert open_descriptors() == before
    with libxl_lock(str(path)):
        assert path.exists()
    assert not path.exists()
