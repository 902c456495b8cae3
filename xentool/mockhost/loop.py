"""The mock host's event loop: descriptors and what to do when they are ready. No threads, no polling."""

from __future__ import annotations

import select
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Loop:
    """Calls back ``ready(events)`` for each descriptor, and what is for `later` between two of them."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._later: list[Callable[[], None]] = []
        self._deadlines: dict[str, tuple[float, Callable[[], None]]] = {}
        self._stopped = True

    def watch(self, descriptor: int, ready: Callable[[int], None], events: int = READ) -> None:
        """Call ``ready(events)`` when the descriptor is. Again: change what is waited for."""
        if descriptor in self._ready:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._ready[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        if self._ready.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, call: Callable[[], None]) -> None:
        """Do something as soon as what is being done now is over."""
        self._later.append(call)

    def set_deadline(self, name: str, seconds: float | None, call: Callable[[], None]) -> None:
        """Call once after `seconds`, unless set anew under that name before; None: never."""
        if seconds is None:
            self._deadlines.pop(name, None)
        else:
            self._deadlines[name] = monotonic() + max(0.0, seconds), call

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        """Until `stop`."""
        self._stopped = False
        self._run_later()
        while not self._stopped:
            for descriptor, events in self._epoll.poll(self._seconds_left()):
                ready = self._ready.get(descriptor)
                if ready is not None:
                    ready(events)
                    self._run_later()
            self._expire()
            self._run_later()

    def _run_later(self) -> None:
        while self._later:
            calls, self._later = self._later, []
            for call in calls:
                call()

    def _seconds_left(self) -> float:
        if not self._deadlines:
            return -1.0
        return max(0.0, min(when for when, _ in self._deadlines.values()) - monotonic())

    def _expire(self) -> None:
        now = monotonic()
        for name in list(self._deadlines):
            # What was called before may have put it off, or taken it back.
            deadline = self._deadlines.get(name)
            if deadline is not None and deadline[0] <= now:
                del self._deadlines[name]
                deadline[1]()

    def close(self) -> None:
        self._epoll.close()
