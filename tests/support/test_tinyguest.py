"""The tiny guest is what its tests take it for: a kernel with just the notes that were asked for."""

from __future__ import annotations

import shutil
from itertools import combinations

import pytest

from tests.support import tinyguest
from xentool.domain.kernel import load_kernel
from xentool.units import MIB

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

VARIANTS = [
    chosen
    for count in range(len(tinyguest.VARIANTS) + 1)
    for chosen in combinations(tinyguest.VARIANTS, count)
]


@pytest.mark.parametrize("variants", VARIANTS, ids="+".join)
def test_variants_have_their_notes(variants: tuple[str, ...]) -> None:
    with load_kernel(str(tinyguest.build(*variants))) as image:
        assert image.virt_base == image.vstart == image.entry == 0xFFFF_FFFF_8000_0000
        assert image.vend - image.vstart < MIB
        assert (image.init_p2m is not None) == ("INIT_P2M" in variants)
        assert image.mod_start_pfn == ("MOD_START_PFN" in variants)
        assert (image.hypercall_page is None) == ("NO_HYPERCALL_PAGE" in variants)
        assert image.guest_os == "tiny"


def test_it_is_built_once(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = tinyguest.build("INIT_P2M")
    before = first.stat()
    assert tinyguest.build("INIT_P2M") == first
    assert first.stat().st_mtime_ns == before.st_mtime_ns
    assert tinyguest.build() != first
    assert first.read_bytes() != tinyguest.build().read_bytes()


def test_a_missing_compiler_is_named(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt install gcc binutils"):
        tinyguest.build()
