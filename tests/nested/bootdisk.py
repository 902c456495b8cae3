"""A disk that a PC's firmware boots: GRUB behind the boot record, and an ext2 partition with a kernel.

Made without root and without mounting anything, of what Debian's grub-pc-bin has. GRUB's own installer wants
a block device; what it would do is little: put boot.img and the core image at the disk's beginning, where by
default each looks for the next.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

MODULES: Final = Path("/usr/lib/grub/i386-pc")
SECTOR: Final = 512
PARTITION_AT: Final = 1 << 20
"""Where the partition begins, in bytes: the core image has the room before it."""

_LINUX: Final = 0x83
_ANY_CHS: Final = b"\xfe\xff\xff"
_CORE: Final = ("biosdisk", "part_msdos", "ext2", "linux", "boot")


def make_boot_disk(
    image: Path, scratch: Path, *, kernel: str, ramdisk: str, words: str, size_mib: int = 32
) -> None:
    """Make the disk `image`, whose Linux gets `words` on its command line. `scratch` is an empty folder."""
    root = scratch / "root"
    root.mkdir()
    shutil.copy(kernel, root / "vmlinuz")
    shutil.copy(ramdisk, root / "initrd")
    # In the core image itself, for GRUB's smallest shell: no menu, no waiting, no other module to load.
    script = scratch / "core.cfg"
    script.write_text(f"linux (hd0,msdos1)/vmlinuz {words}\ninitrd (hd0,msdos1)/initrd\nboot\n")
    core = scratch / "core.img"
    _call("grub-mkimage", "-O", "i386-pc", "-p", "/", "-c", str(script), "-o", str(core), *_CORE)
    sectors = (size_mib << 20) // SECTOR
    first = PARTITION_AT // SECTOR
    record = bytearray((MODULES / "boot.img").read_bytes())
    # On a disk the place of the partition table has code for floppies.
    entry = struct.pack("<B3sB3sII", 0x80, _ANY_CHS, _LINUX, _ANY_CHS, first, sectors - first)
    record[446:510] = entry.ljust(64, b"\0")
    content = bytes(record) + core.read_bytes()
    assert len(record) == SECTOR
    assert len(content) <= PARTITION_AT
    with open(image, "wb") as file:
        file.truncate(size_mib << 20)
        file.write(content)
    offset, blocks = f"offset={PARTITION_AT}", f"{(size_mib - 1) << 10}k"
    _call("mke2fs", "-q", "-t", "ext2", "-E", offset, "-d", str(root), str(image), blocks)
    shutil.rmtree(root)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
