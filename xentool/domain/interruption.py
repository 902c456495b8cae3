"""Holding back ^C and SIGTERM, where half of something must not be left."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Collection
    from types import TracebackType
else:
    import _signal as signal  # what signal has it from; that module would cost its enums' making

STOPS = frozenset((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


class WithoutInterruption:
    """As a context: these signals wait for its end, when Python's handlers hear of them."""

    __slots__ = ("_before", "_signals")

    def __init__(self, signals: Collection[int]) -> None:
        self._signals = signals

    def __enter__(self) -> None:
        if self._signals:
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._signals:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def without_interruption(signals: Collection[int] = STOPS) -> WithoutInterruption:
    """Hold back ^C and SIGTERM: an undo that is itself interrupted would leave what it should take away.

    With `signals` hold back those; none of them is nothing held back.
    """
    return WithoutInterruption(signals)
