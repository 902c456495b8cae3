"""Holding back ^C and SIGTERM, where half of something must not be left."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import TracebackType
    from typing import Self
else:
    import _signal as signal  # what signal has it from; that module would cost its enums' making

STOPS = frozenset((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


class WithoutInterruption:
    """As a context: what would stop us waits for its end."""

    def __enter__(self) -> Self:
        self._held = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._held)


def without_interruption() -> WithoutInterruption:
    """Hold back ^C and SIGTERM: an undo that is itself interrupted would leave what it should take away."""
    return WithoutInterruption()
