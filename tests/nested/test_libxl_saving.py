"""Guests that are saved go on where they were, whoever saves them and whoever restores them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.nested.dom0 import RAMDISK, Dom0, write_config
from tests.nested.traffic import BRIDGE, QUIET, TOOL, Guest
from tests.nested.witness import FOLDER, MEBIBYTE, Witness, world

pytestmark = pytest.mark.usefixtures("nothing_of_libxl_s")

SMALL = Path("/run/too-small")
OPTIONS: dict[str, list[str]] = {"xl": [], "xentool": ["-q"]}


def linux(dom0: Dom0, folder: Path, kind: str, image: str) -> Path:
    return write_config(
        folder / f"{kind}.cfg", name=f"a-{kind}", type=kind, kernel=dom0.kernel, ramdisk=RAMDISK, memory=128,
        extra=f"console=hvc0 {QUIET}", vif=[f"bridge={BRIDGE}"], disk=[f"{image},raw,xvda,w"],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["pv", "pvh"])
def test_a_guest_goes_on_where_it_was(dom0: Dom0, tmp_path: Path, kind: str) -> None:
    with world(dom0) as image, Guest(dom0, linux(dom0, tmp_path, kind, image)) as guest:
        file = FOLDER / "saved"
        guest.wait_until_up()
        witness = Witness(guest, image)
        no_room(dom0, guest)
        for saver, restorer in ((TOOL, "xl"), ("xl", TOOL)):
            dom0.run(saver, "save", *OPTIONS[saver], guest.name, str(file))
            assert dom0.domids() == [0]
            if saver == TOOL and kind == "pv":
                not_the_whole(dom0, file)
            dom0.run(restorer, "restore", "-p", *OPTIONS[restorer], str(file))
            file.unlink()
            guest.take_up()
            witness.testifies()


@contextmanager
def small_file_system(dom0: Dom0) -> Iterator[Path]:
    SMALL.mkdir()
    dom0.run("mount", "-t", "tmpfs", "-o", "size=16m", "small", str(SMALL))
    try:
        yield SMALL
    finally:
        dom0.run("umount", str(SMALL))
        SMALL.rmdir()


def no_room(dom0: Dom0, guest: Guest) -> None:
    """What cannot be saved for want of room runs on, and there is no part of a file."""
    with small_file_system(dom0) as folder:
        done = dom0.run(TOOL, "save", guest.name, str(folder / "saved"), check=False)
        assert done.returncode
        assert "No space left" in done.stderr
        if TOOL == "xentool":
            assert os.listdir(folder) == []
            assert "there is no room" in done.stderr.splitlines()[0], done.stderr
    assert guest.domid in dom0.domids()
    guest.sh("sleep 0.1")


def not_the_whole(dom0: Dom0, file: Path) -> None:
    """A file that was cut inside the guest is refused, and nothing is left of the domain that was begun."""
    size = file.stat().st_size
    cut = FOLDER / "cut"
    for length in (MEBIBYTE, size - 100):
        shutil.copy(file, cut)
        os.truncate(cut, length)
        done = dom0.run(TOOL, "restore", str(cut), check=False)
        assert done.returncode, length
        assert dom0.domids() == [0]
        if TOOL == "xentool":
            first, *rest = done.stderr.splitlines()
            assert str(cut) in first or "a-p" in first, f"{length}: {done.stderr}"
            assert any(line.startswith("hint: ") for line in rest), f"{length}: {done.stderr}"
            assert "Traceback" not in done.stderr
    cut.unlink()


@pytest.mark.once
@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\nexit\n" * 9, b"Xen saved domain, xl format\n \0 \r" + bytes(99)],
    ids=["empty", "foreign", "damaged"],
)
def test_files_that_are_no_saved_domains(dom0: Dom0, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "foreign"
    file.write_bytes(content)
    done = dom0.run(TOOL, "restore", str(file), check=False)
    assert done.returncode, done.stdout
    first, *rest = done.stderr.splitlines()
    assert str(file) in first
    assert any(line.startswith("hint: ") for line in rest), done.stderr
    assert "Traceback" not in done.stderr
    assert dom0.domids() == [0]
