"""The numbers of a Xen host, as types, and the sizes they are counted in.

Frame numbers come in two kinds that must never be mixed: a *pfn* is the
guest's number for a page of its memory, an *mfn* is the machine's. Both count
4 KiB frames. They cost nothing at run time: the type checker alone tells them
apart, so that hot paths need not import ``typing``.

Source: xen/include/xen/mm.h (terminology), public/xen.h (domid_t).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NewType

    Pfn = NewType("Pfn", int)
    Mfn = NewType("Mfn", int)
    Vaddr = NewType("Vaddr", int)
    DomId = NewType("DomId", int)
    Port = NewType("Port", int)
else:
    Pfn = Mfn = Vaddr = DomId = Port = int

DOMAIN0 = DomId(0)
"""The domain that runs the toolstack and, mostly, the backends."""

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40


def pages_for(size_bytes: int) -> int:
    """How many whole frames hold `size_bytes` bytes."""
    return (size_bytes + PAGE_SIZE - 1) >> PAGE_SHIFT


def format_size(size_bytes: int) -> str:
    """A size for people, exact: ``"4 KiB"``, ``"1,024 MiB"``, ``"4,097 bytes"``.

    The largest unit that divides the size, and no larger than MiB, because that
    is what configs and `list` speak in.
    """
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit:,} {name}"
    return f"{size_bytes:,} bytes"


def uuid_text(raw: bytes) -> str:
    """A UUID's 16 bytes (a domain's handle) as text, RFC 9562."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid_bytes(text: str) -> bytes:
    """The 16 bytes of a UUID's text."""
    return bytes.fromhex(text.replace("-", ""))
