"""^C and SIGTERM as an exception, so that whatever was begun is undone on the way out."""

from __future__ import annotations

import signal

from xentool.errors import StoppedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self


class Stopping:
    """While inside, the first SIGINT, SIGTERM or SIGHUP raises StoppedError, with the exit code that a shell
    would give (130, 143, 129). Those after it are ignored: an undo that is itself undone leaves a mess.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._before: dict[int, object] = {}
        self._stopped = False

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._stopped:
            return
        self._stopped = True
        error = StoppedError("", "", f"stopped by {signal.Signals(number).name}")
        error.exit_code = 128 + number
        raise error

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:  # nohup's wish, and of shells for background jobs
                self._before[number] = before
                signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
