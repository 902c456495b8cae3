"""The phys-to-machine list: which machine frame stands behind each of a guest's frames.

Memory is reserved in 2 MiB extents, so the list is a few arithmetic runs and a
short rest. It is kept in that shape: whole ranges of it, and of page-table
entries made from it, come out at C speed.
"""

from __future__ import annotations

from array import array

from xentool.units import PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENT_ORDER = 9  # 2 MiB
EXTENT_PAGES = 1 << EXTENT_ORDER


class P2m:
    """`extents`: the first mfn of each 2 MiB extent, from pfn 0; `singles`: the mfns of the pfns after them.

    Both are ``array('Q')``.
    """

    __slots__ = ("_singles_start", "extents", "singles")

    def __init__(self, extents: array[int], singles: array[int]) -> None:
        self.extents = extents
        self.singles = singles
        self._singles_start = len(extents) << EXTENT_ORDER

    def __len__(self) -> int:
        return self._singles_start + len(self.singles)

    def __getitem__(self, pfn: int) -> int:
        if not 0 <= pfn < len(self):
            raise IndexError(pfn)
        if pfn < self._singles_start:
            return self.extents[pfn >> EXTENT_ORDER] + (pfn & (EXTENT_PAGES - 1))
        return self.singles[pfn - self._singles_start]

    def mfns(self, pfn: int, count: int) -> array[int]:
        """The mfns behind `count` frames from `pfn` on, as ``array('Q')``."""
        return self._affine(pfn, count, 1, 0)

    def entries(self, pfn: int, count: int, flags: int) -> array[int]:
        """Page-table entries (mfn << 12 | flags) for `count` frames from `pfn` on, as ``array('Q')``."""
        return self._affine(pfn, count, 1 << PAGE_SHIFT, flags)

    def chunks(self, pages: int = 1 << 18) -> Iterator[array[int]]:
        """The whole list in pieces of `pages` entries, so that a huge guest costs no huge list."""
        for pfn in range(0, len(self), pages):
            yield self.mfns(pfn, min(pages, len(self) - pfn))

    def _affine(self, pfn: int, count: int, scale: int, offset: int) -> array[int]:
        """mfn * scale + offset for a range of pfns."""
        end = pfn + count
        if not 0 <= pfn <= end <= len(self):
            raise IndexError(f"pfns {pfn:#x} to {end:#x} of {len(self):#x}")
        out = array("Q")
        while pfn < end and pfn < self._singles_start:
            index, skip = pfn >> EXTENT_ORDER, pfn & (EXTENT_PAGES - 1)
            take = min(EXTENT_PAGES - skip, end - pfn)
            first = (self.extents[index] + skip) * scale + offset
            out.extend(array("Q", range(first, first + take * scale, scale)))
            pfn += take
        if pfn < end:
            rest = self.singles[pfn - self._singles_start : end - self._singles_start]
            out.extend(
                rest if (scale, offset) == (1, 0) else array("Q", [mfn * scale + offset for mfn in rest])
            )
        return out
