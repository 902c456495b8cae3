"""^C and SIGTERM as an exception, so that whatever was begun is undone on the way out."""

from __future__ import annotations

import sys

from xentool.errors import StoppedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType, TracebackType
    from typing import ClassVar, Self
else:
    import _signal as signal  # what signal has it from; that module would cost its enums' making

# How soon a lost stop is raised again: late enough to have left the place that lost it.
AGAIN_SECONDS = 0.001


class Stopping:
    """While inside, the first SIGINT, SIGTERM or SIGHUP raises StoppedError, with the exit code that a shell
    would give (130, 143, 129). Those after it are ignored: an undo that is itself undone leaves a mess.

    Python drops what is raised inside a finalizer or a callback from C, with a traceback on stderr. A stop
    that arrives there is neither dropped nor shown: it is raised again a moment later.
    """

    _SIGNALS: ClassVar[dict[int, str]] = {
        signal.SIGINT: "SIGINT",
        signal.SIGTERM: "SIGTERM",
        signal.SIGHUP: "SIGHUP",
    }

    def __init__(self) -> None:
        self._before: dict[int, object] = {}
        self._stopped: StoppedError | None = None
        self._lost = False

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._stopped is None:
            self._stopped = StoppedError("", "", f"stopped by {self._SIGNALS[number]}")
            self._stopped.exit_code = 128 + number
            raise self._stopped

    def _again(self, _number: int, _frame: FrameType | None) -> None:
        if self._lost and self._stopped is not None:
            self._lost = False
            raise self._stopped

    def _unraisable(self, what: sys.UnraisableHookArgs) -> None:
        if self._stopped is None or what.exc_value is not self._stopped:
            self._hook(what)
            return
        self._lost = True
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    def __enter__(self) -> Self:
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._unraisable
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._again)
        for number in self._SIGNALS:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:  # nohup's wish, and of shells for background jobs
                self._before[number] = before
                signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        sys.unraisablehook = self._hook
        if kind is None:  # the work ended before its stop came back
            self._again(0, None)
