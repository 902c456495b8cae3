"""Telling by its first bytes that an image is not of the format that was said.

The format is always said, never guessed from what a guest can write into its disk (XSA-142): what
is found here can refuse a disk, and never choose how it is read.

Source: QEMU's docs/interop/qcow2.txt, qed_spec.txt, parallels.txt, block/{vpc,vhdx,vdi,vmdk}.c.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_BYTES = 512
_MAGICS = (
    (0, b"QFI\xfb\0\0\0\1", "qcow"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"conectix", "vhd"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
)


def format_of(head: bytes) -> str:
    """The format whose mark an image bears at its beginning; "raw" if it has none."""
    for at, magic, name in _MAGICS:
        if head[at : at + len(magic)] == magic:
            return name
    return "raw"


def mismatch(said: str, size_bytes: int, read: Callable[[int, int], bytes]) -> str:
    """Which format the image has instead of the one that was said; "" if it fits.

    `read(count, offset)` gives its bytes. A VHD of fixed size bears its mark in its last sector alone.
    """
    found = format_of(read(HEAD_BYTES, 0))
    if said == "vhd" and found == "raw" and size_bytes >= 512:
        tail = read(512, size_bytes - 512)
        found = "vhd" if tail.startswith(b"conectix") else found
    return "" if found == said else found
