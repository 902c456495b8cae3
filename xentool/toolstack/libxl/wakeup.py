"""A descriptor that is ready when a signal came: so that none is missed on the way into poll(2).

Python runs its handlers between two bytecodes. A signal that comes after the last one and before
the kernel sleeps would interrupt nothing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Self
else:
    import _signal as signal  # what signal has it from; that module would cost its enums' making


class Wakeup:
    """As a context: `descriptor` is ready to be read once a signal came; -1, which poll passes over, in
    threads to which no signals come, and where somebody else is woken already."""

    def __init__(self) -> None:
        self.descriptor = -1
        self._write = -1

    def __enter__(self) -> Self:
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        except ValueError:  # not the main thread
            before = 0
        if before != -1:
            if before > 0:
                signal.set_wakeup_fd(before)
            os.close(read)
            os.close(write)
        else:
            self.descriptor, self._write = read, write
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor >= 0:
            signal.set_wakeup_fd(-1)
            os.close(self.descriptor)
            os.close(self._write)
            self.descriptor = self._write = -1

    def drain(self) -> None:
        """Forget the signals that came: their handlers have run."""
        if self.descriptor >= 0:
            try:
                os.read(self.descriptor, 512)
            except BlockingIOError:
                pass
