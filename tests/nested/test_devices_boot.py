"""A guest that boots from its own disk, through pvgrub: bootloader, kernel and ramdisk are on its image."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

from tests.nested.dom0 import RAMDISK, Dom0, write_config
from tests.nested.traffic import QUIET, Guest
from xentool.domain.kernel.reader import Reader
from xentool.domain.kernel.unpack import unpack

GRUB_CONFIG = f"""\
set timeout=0
menuentry guest {{
    linux /boot/vmlinuz console=hvc0 own-disk {QUIET}
    initrd /boot/initrd
}}
"""


def unpack_kernel(path: str, target: Path) -> None:
    """A kernel as GRUB can read it, which knows no zstd: Debian 13's kernel is compressed so."""
    vmlinux = target.with_suffix(".elf")
    reader = Reader(os.open(path, os.O_RDONLY), os.path.getsize(path), path)
    try:
        with open(vmlinux, "wb") as file:
            unpack(reader, file.fileno())
    finally:
        reader.close()
    with open(vmlinux, "rb") as source, gzip.open(target, "wb", compresslevel=1) as packed:
        shutil.copyfileobj(source, packed)
    vmlinux.unlink()


def test_pvgrub_from_its_own_disk(dom0: Dom0, tmp_path: Path) -> None:
    image, root = Path("/var/tmp/own.img"), tmp_path / "root"
    (root / "boot/grub").mkdir(parents=True)
    unpack_kernel(dom0.kernel, root / "boot/vmlinuz")
    shutil.copy(RAMDISK, root / "boot/initrd")
    (root / "boot/grub/grub.cfg").write_text(GRUB_CONFIG)
    try:
        dom0.run("mke2fs", "-q", "-t", "ext2", "-d", str(root), str(image), "64M")
        config = write_config(
            tmp_path / "own.cfg", name="own", type="pv", kernel=dom0.pvgrub, memory=192,
            disk=[f"{image},raw,xvda,w"],
        )  # fmt: skip
        with Guest(dom0, config) as guest:
            guest.wait_until_up()
            assert "own-disk" in guest.sh("cat /proc/cmdline")
    finally:
        image.unlink(missing_ok=True)
