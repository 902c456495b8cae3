"""A guest that boots from its own disk, through pvgrub: bootloader, kernel and ramdisk are on its image."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.nested.dom0 import RAMDISK, Dom0, write_config
from tests.nested.traffic import QUIET, Guest
from xentool.domain.kernel.formats import HEAD_SIZE, bzimage_payload, format_of
from xentool.domain.kernel.reader import Reader
from xentool.domain.kernel.unpack import unpack

GRUB_CONFIG = f"""\
set timeout=0
menuentry guest {{
    linux /boot/vmlinuz console=hvc0 own-disk {QUIET}
    initrd /boot/initrd
}}
"""


def copy_kernel(path: str, target: Path) -> None:
    """A kernel as GRUB can read it, which knows no zstd: so is Debian 13's compressed, and unpacked here."""
    reader = Reader(os.open(path, os.O_RDONLY), os.path.getsize(path), path)
    try:
        offset, _ = bzimage_payload(reader, reader.at(0, HEAD_SIZE, "header"))
        if format_of(reader.at(offset, HEAD_SIZE, "payload")) == "zstd":
            with open(target, "wb") as file:
                unpack(reader, file.fileno())
        else:
            shutil.copy(path, target)
    finally:
        reader.close()


@pytest.mark.once
def test_pvgrub_from_its_own_disk(dom0: Dom0, tmp_path: Path) -> None:
    image, root = Path("/var/tmp/own.img"), tmp_path / "root"
    (root / "boot/grub").mkdir(parents=True)
    copy_kernel(dom0.kernel, root / "boot/vmlinuz")
    shutil.copy(RAMDISK, root / "boot/initrd")
    (root / "boot/grub/grub.cfg").write_text(GRUB_CONFIG)
    try:
        dom0.run("mke2fs", "-q", "-t", "ext2", "-d", str(root), str(image), "96M")
        config = write_config(
            tmp_path / "own.cfg", name="own", type="pv", kernel=dom0.pvgrub, memory=192,
            disk=[f"{image},raw,xvda,w"],
        )  # fmt: skip
        with Guest(dom0, config) as guest:
            guest.wait_until_up()
            assert "own-disk" in guest.sh("cat /proc/cmdline")
    finally:
        image.unlink(missing_ok=True)
