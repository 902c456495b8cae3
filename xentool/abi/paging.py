"""Bits of an x86-64 page-table entry.

Source: Intel SDM vol. 3, 4.5 (4-level paging and 5-level paging).
"""

from __future__ import annotations

from enum import IntFlag


class PageFlag(IntFlag):
    """The flag bits of an entry, at every level."""

    PRESENT = 1 << 0
    RW = 1 << 1
    USER = 1 << 2
    PWT = 1 << 3
    PCD = 1 << 4
    ACCESSED = 1 << 5
    DIRTY = 1 << 6
    PSE = 1 << 7
    GLOBAL = 1 << 8


ADDRESS_MASK = ((1 << 52) - 1) & ~0xFFF  # the frame's address in an entry
