"""Life without the cache: what is not trusted is not used, and what fails is done without."""

from __future__ import annotations

import errno
import gzip
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.cachedkernels import FRESH, origin
from tests.support.descriptors import open_descriptors
from tests.support.elfwriter import pv_kernel
from xentool.domain.kernel import load_kernel
from xentool.errors import KernelError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_directory_open_to_others_is_not_used(kernel: Path, directory: Path, mode: int) -> None:
    directory.mkdir(parents=True)
    directory.chmod(mode)
    assert "not cached" in origin(kernel, directory)
    assert list(directory.iterdir()) == []


def test_a_directory_of_another_is_not_used(
    kernel: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir(parents=True, mode=0o700)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert "not cached" in origin(kernel, directory)


def test_a_link_instead_of_the_directory_is_not_used(kernel: Path, directory: Path) -> None:
    directory.parent.mkdir()
    (directory.parent / "real").mkdir(mode=0o700)
    directory.symlink_to("real")
    assert "not cached" in origin(kernel, directory)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("function", ["mkdir", "ftruncate", "pwrite", "rename", "listdir", "symlink"])
@pytest.mark.usefixtures("settled")
def test_a_failing_cache_is_done_without(
    kernel: Path, directory: Path, number: int, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        text = origin(kernel, directory)
    if function in ("listdir", "symlink"):
        assert text == FRESH
    else:
        assert "not cached" in text
        assert os.strerror(number) in text
    if directory.exists():
        assert [path.name for path in directory.iterdir() if path.suffix == ".part"] == []
    descriptors = open_descriptors()
    origin(kernel, directory)
    assert open_descriptors() == descriptors


@pytest.mark.usefixtures("settled")
def test_no_space_anywhere(kernel: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(KernelError, match="cannot be decompressed: No space left") as caught:
        load_kernel(str(kernel), cache_dir=str(directory))
    assert "/var/tmp" in caught.value.hint


def test_no_temporary_files_either(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where O_TMPFILE is unknown (some overlay file systems) memory serves."""
    monkeypatch.setattr(os, "O_TMPFILE", os.O_WRONLY | os.O_DIRECTORY)
    with load_kernel(str(kernel), cache_dir="") as image:
        assert image.origin == "decompressed"


def test_a_broken_kernel_leaves_nothing(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.gz"
    path.write_bytes(gzip.compress(pv_kernel())[:-100])
    with pytest.raises(KernelError):
        load_kernel(str(path), cache_dir=str(directory))
    assert list(directory.iterdir()) == []
