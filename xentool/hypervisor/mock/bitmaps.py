"""struct xenctl_bitmap: sets of CPUs and nodes in the caller's memory.

Source: xen/common/domctl.c (bitmap_to_xenctl_bitmap and back); public/xen.h.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.arena import Arena


def read_bitmap(arena: Arena, address: int, bits: int, known_bits: int) -> int:
    """The caller's set, as far as Xen has bits for it. Raises `Fault`."""
    length = min((bits + 7) // 8, (known_bits + 7) // 8)
    if not length:
        return 0
    number = int.from_bytes(arena.memory(address, length), "little")
    return number & (1 << min(bits, known_bits)) - 1


def write_bitmap(arena: Arena, address: int, bits: int, number: int) -> None:
    """Fill the caller's bitmap of `bits` bits, all of it. Raises `Fault`."""
    length = (bits + 7) // 8
    if length:
        arena.memory(address, length)[:] = (number & (1 << 8 * length) - 1).to_bytes(length, "little")
