"""A lab without QEMU, Debian and the network: what is tested with it is our side."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.lab.fakeqemu import LAUNCHER
from xentool.lab import session
from xentool.lab.cache import Cache, Image

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def fake_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache; a lab that is booted with it gets tests/lab/fakeqemu.py for QEMU, and an empty image."""
    bin_folder, image = tmp_path / "bin", tmp_path / "image"
    bin_folder.mkdir()
    image.mkdir()
    qemu = bin_folder / "qemu-system-x86_64"
    qemu.write_text(LAUNCHER.format(python=sys.executable, checkout=CHECKOUT))
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XENTOOL_FAKE_QEMU", "serve")
    monkeypatch.setattr(session, "build", lambda xen, **_: Image(str(image)))
    monkeypatch.setattr(session, "make_layer", lambda *_: b"")
    return Cache(str(tmp_path / "cache"))
