"""Kernels that are loaded through a cache, and a look at what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xentool.domain.kernel import load_kernel

if TYPE_CHECKING:
    from pathlib import Path

FRESH = "decompressed into the cache"
HIT = "the cache"


def origin(path: Path, directory: Path) -> str:
    """Load; check that the right kernel came; where it came from."""
    with load_kernel(str(path), cache_dir=str(directory)) as image:
        memory = bytearray(image.vend - image.vstart)
        image.copy_into(memoryview(memory), image.vstart)
        text = bytes(index * 7 % 251 for index in range(0x3000))
        assert memory[:0x3000] == text
        return image.origin


def entries(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if not path.is_symlink()]


def links(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_symlink()]
