"""A compressed kernel, and a folder for a cache."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from tests.support.elfwriter import pv_kernel
from xentool.domain.kernel import cache as cache_module

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A compressed kernel, just written."""
    path = tmp_path / "vmlinux.gz"
    path.write_bytes(gzip.compress(pv_kernel()))
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need not be left alone for two seconds."""
    monkeypatch.setattr(cache_module, "SETTLED_SECONDS", -3600)
