"""Watches, as their client sees them."""

from __future__ import annotations

from time import monotonic

from xentool.abi import xs_wire
from xentool.errors import StoreError, StoreGoneError, TimedOutError
from xentool.store import codec
from xentool.store.operations import failure
from xentool.store.paths import check_watch_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from xentool.store.client import StoreClient


class WatchEvent:
    """Something changed at `path` (or may have: the daemon may say so once too often)."""

    __slots__ = ("path", "token")

    def __init__(self, path: str, token: str) -> None:
        self.path = path
        self.token = token

    def __repr__(self) -> str:
        return f"WatchEvent({self.path!r}, {self.token!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WatchEvent) and (self.path, self.token) == (other.path, other.token)

    def __hash__(self) -> int:
        return hash((self.path, self.token))


class Watch:
    """A watch that is set; leaving its ``with`` ends it. Iterating yields events for ever.

    Several watches on one client may be waited for in turn: each gets its own
    events, whichever was waiting when they came.
    """

    __slots__ = ("_client", "_incarnation", "_raw", "_set", "path", "token")

    def __init__(self, client: StoreClient, path: str, token: str, depth: int | None = None) -> None:
        self._client = client
        self.path = path
        self.token = token
        self._raw = codec.strings(check_watch_path("watch", path), token.encode("utf-8", "surrogateescape"))
        limit = b"" if depth is None else b"%d\0" % depth
        reply = client.exchange(0, [(xs_wire.XS_WATCH, self._raw + limit)])[0]
        if reply[0] != xs_wire.XS_WATCH:
            raise failure(xs_wire.XS_WATCH, self._raw, reply[3])
        self._incarnation = client.incarnation
        self._set = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.unwatch()
            return
        try:  # contextlib.suppress would cost 3 ms to import
            self.unwatch()
        except (StoreError, TimedOutError):
            pass  # the error that is on its way says more

    def unwatch(self) -> None:
        """End the watch and drop its queued events. May be called twice.

        Raises:
            StoreGoneError, TimedOutError: the daemon went away, or does not answer.
        """
        if not self._set or self._incarnation != self._client.incarnation:
            return
        self._set = False
        reply = self._client.exchange(0, [(xs_wire.XS_UNWATCH, self._raw)])[0]
        self._client.forget_events(self.token)
        if reply[0] != xs_wire.XS_UNWATCH:
            raise failure(xs_wire.XS_UNWATCH, self._raw, reply[3])

    def next(self, timeout_seconds: float | None = None) -> WatchEvent | None:
        """The next event, None when the time is over (None: never).

        Raises:
            StoreGoneError: the daemon went away.
        """
        if self._incarnation != self._client.incarnation:
            raise StoreGoneError(
                "wait for", self.path, "EPIPE", "the connection on which this watch was set was interrupted"
            )
        return self._client.next_event(timeout_seconds, self.token)

    def events(self, timeout_seconds: float | None = None) -> Iterator[WatchEvent]:
        """Events as they come, until `timeout_seconds` after the first was asked for."""
        end = None if timeout_seconds is None else monotonic() + timeout_seconds
        while True:
            event = self.next(None if end is None else max(0.0, end - monotonic()))
            if event is None:
                return
            yield event

    def __iter__(self) -> Iterator[WatchEvent]:
        return self.events()
