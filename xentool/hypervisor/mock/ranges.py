"""Sets of frame numbers, kept as sorted runs: a host's memory is a few runs, not millions of frames."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def runs_of(frames: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The runs ``(start, end)`` of consecutive numbers in `frames`, in the order given."""
    start = end = -1
    for frame in frames:
        if frame == end:
            end += 1
            continue
        if end > start:
            yield start, end
        start, end = frame, frame + 1
    if end > start:
        yield start, end


class Ranges:
    """A set of integers as disjoint, sorted, non-adjacent half-open runs."""

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def add(self, start: int, end: int) -> None:
        """Put in ``start <= n < end``, none of which may be in the set yet."""
        if end <= start:
            return
        at = bisect_left(self._starts, start)
        joins_left = at > 0 and self._ends[at - 1] == start
        joins_right = at < len(self._starts) and self._starts[at] == end
        assert at == 0 or self._ends[at - 1] <= start
        assert at == len(self._starts) or self._starts[at] >= end
        self.total += end - start
        if joins_left and joins_right:
            self._ends[at - 1] = self._ends[at]
            del self._starts[at], self._ends[at]
        elif joins_left:
            self._ends[at - 1] = end
        elif joins_right:
            self._starts[at] = start
        else:
            self._starts.insert(at, start)
            self._ends.insert(at, end)

    def remove(self, start: int, end: int) -> None:
        """Take out ``start <= n < end``, all of which must be in the set, in one run."""
        if end <= start:
            return
        at = bisect_right(self._starts, start) - 1
        first, last = self._starts[at], self._ends[at]
        assert at >= 0
        assert first <= start
        assert end <= last
        self.total -= end - start
        if first == start and last == end:
            del self._starts[at], self._ends[at]
        elif first == start:
            self._starts[at] = end
        elif last == end:
            self._ends[at] = start
        else:
            self._ends[at] = start
            self._starts.insert(at + 1, end)
            self._ends.insert(at + 1, last)

    def take(self, order: int, count: int, limit: int) -> list[tuple[int, int]]:
        """Take out up to `count` naturally aligned blocks of ``1 << order`` below `limit`, as runs of blocks.

        Small blocks come from the smallest run, so that large ones stay whole.
        """
        size = 1 << order
        runs: list[tuple[int, int]] = []
        while count > 0:
            best: tuple[int, int, int] | None = None
            for start, end in zip(self._starts, self._ends, strict=True):
                aligned = (start + size - 1) & -size
                blocks = (min(end, limit) - aligned) >> order
                if blocks > 0 and (best is None or end - start < best[0]):
                    best = (end - start, aligned, blocks)
            if best is None:
                break
            _, aligned, blocks = best
            blocks = min(blocks, count)
            stop = aligned + (blocks << order)
            self.remove(aligned, stop)
            runs.append((aligned, stop))
            count -= blocks
        return runs
