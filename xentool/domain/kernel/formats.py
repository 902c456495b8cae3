"""What a file is, told by its first bytes; and Linux's bzImage, which carries a compressed ELF file.

Source: Linux, Documentation/arch/x86/boot.rst; tools/libs/guest/xg_dom_bzimageloader.c.
"""

from __future__ import annotations

import struct

from xentool.domain.kernel.elf import ELF_MAGIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.kernel.reader import Reader

HEAD_SIZE = 4096
"""So many first bytes tell what a file is."""

ELF64 = "elf64"
BZIMAGE = "bzImage"

_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x5d\0\0", "lzma"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x04\x22\x4d\x18", "lz4 frame"),
)

_SETUP_SECTS = 0x1F1
_HDRS = 0x202
_VERSION = 0x206
_PAYLOAD_OFFSET = 0x248
_SETUP_END = 0x250
_SECTOR = 512


def format_of(head: bytes) -> str:
    """``"elf64"`` (any ELF), ``"bzImage"``, a compression's name, or ``""``."""
    if head.startswith(ELF_MAGIC):
        return ELF64
    if head[_HDRS : _HDRS + 4] == b"HdrS":
        return BZIMAGE
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    return ""


def describe_unknown(head: bytes) -> str:
    """A hint for a file of no known format."""
    if head.startswith(b"MZ"):
        return "this is an EFI program (a unified kernel image?), take the kernel (vmlinuz) itself"
    if head[0x38:0x3C] == b"ARMd":
        return "this is an ARM kernel, take the amd64 (x86-64) one"
    if head.startswith((b"070701", b"070702")):
        return "this is a ramdisk (a cpio archive): are kernel and ramdisk swapped?"
    if head.startswith(b"#!"):
        return "this is a script"
    if head.count(0) == len(head):
        return "it begins with zeros only: was it copied in full?"
    return "a kernel is an ELF file or a bzImage (vmlinuz), or one of these compressed"


def bzimage_payload(reader: Reader, head: bytes) -> tuple[int, int]:
    """Offset and length of the compressed kernel in a bzImage whose first bytes are `head`.

    Raises:
        KernelError: the header is cut off, or of a boot protocol without a payload.
    """
    if len(head) < _SETUP_END:
        raise reader.refuse("is truncated: a bzImage's header ends behind the end of the file")
    (version,) = struct.unpack_from("<H", head, _VERSION)
    if version < 0x208:
        raise reader.refuse(
            f"has boot protocol {version >> 8}.{version & 0xFF:02}, and payloads begin with 2.08",
            hint="Linux before 2.6.26 cannot be booted from its bzImage: take its vmlinux",
        )
    offset, length = struct.unpack_from("<II", head, _PAYLOAD_OFFSET)
    if not length:
        raise reader.refuse("is a bzImage without a payload")
    return (head[_SETUP_SECTS] + 1) * _SECTOR + offset, length
