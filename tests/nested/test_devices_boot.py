"""A guest that boots from its own disk, through pvgrub: bootloader, kernel and ramdisk are on its image."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.nested.dom0 import RAMDISK, Dom0, write_config
from tests.nested.traffic import QUIET, Guest

GRUB_CONFIG = f"""\
set timeout=0
menuentry guest {{
    linux /boot/vmlinuz console=hvc0 own-disk {QUIET}
    initrd /boot/initrd
}}
"""


def test_pvgrub_from_its_own_disk(dom0: Dom0, tmp_path: Path) -> None:
    image, root = Path("/var/tmp/own.img"), tmp_path / "root"
    (root / "boot/grub").mkdir(parents=True)
    shutil.copy(dom0.kernel, root / "boot/vmlinuz")
    shutil.copy(RAMDISK, root / "boot/initrd")
    (root / "boot/grub/grub.cfg").write_text(GRUB_CONFIG)
    try:
        dom0.run("mke2fs", "-q", "-t", "ext2", "-d", str(root), str(image), "32M")
        config = write_config(
            tmp_path / "own.cfg", name="own", type="pv", kernel=dom0.pvgrub, memory=192,
            disk=[f"{image},raw,xvda,w"],
        )  # fmt: skip
        with Guest(dom0, config) as guest:
            guest.wait_until_up()
            assert "own-disk" in guest.sh("cat /proc/cmdline")
    finally:
        image.unlink(missing_ok=True)
