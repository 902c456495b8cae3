"""The client: what every command asks the store through.

One `StoreClient` is one connection, for one thread at a time, and for the process
that opened it: each thread, and a fork's child, opens its own. Requests of two
would interleave, and each would take the other's replies; so whoever comes while
another thread speaks is refused (EBUSY), and so is a child (EPIPE).

Requests raise `StoreError` with the daemon's word for why, and say what was
asked. A daemon that goes away is a `StoreGoneError`, one that does not answer a
`TimedOutError`, and either leaves the client unusable: what was asked may or may
not have happened, and a reply could be taken for another's.

    with StoreClient() as store:
        name = store.read_text("/local/domain/3/name")
        with store.transaction() as tx:
            tx.write("/tool/x", "1")
        with store.batch() as batch:            # one write, many requests
            batch.write("/tool/y", "1", ["n0", "r3"])
        with store.watch("/tool/y") as watch:
            event = watch.next(timeout_seconds=5)

Source: docs/misc/xenstore.txt.
"""

from __future__ import annotations

import _thread
import os

from xentool.abi import xs_wire
from xentool.errors import StoreError, StoreGoneError, TimedOutError
from xentool.store import codec
from xentool.store.operations import Administration, Transaction, describe
from xentool.store.transport import open_transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Final, NoReturn, Self, TypeVar

    from xentool.store.batch import Batch
    from xentool.store.transport import Transport
    from xentool.store.watching import Watch, WatchEvent

    T = TypeVar("T")
    Request = tuple[int, bytes]

REPLY_TIMEOUT_SECONDS: Final = 30.0
REPLY_MAX_BYTES: Final = 1 << 20
"""oxenstored lists a large node's children in one reply, whatever the protocol says of lengths."""
TRANSACTION_ATTEMPTS: Final = 100


class StoreClient(Administration):
    """A connection to the store. A context manager; `close` may be called twice.

    `path` is a socket or a device; by default XENSTORED_PATH, then the daemon's
    usual sockets, then the kernel's device. `transport` takes the place of both.

    Raises:
        HostError: there is no store here, or not for this user.
        StoreGoneError: there is a socket, and nobody behind it.
        TimedOutError: there is somebody, who takes no more connections.
    """

    __slots__ = (
        "_decoder",
        "_events",
        "_interrupted",
        "_lock",
        "_pid",
        "_replies",
        "_req_id",
        "_tokens",
        "_transport",
        "_why_gone",
        "incarnation",
        "path",
        "timeout",
    )

    def __init__(
        self,
        path: str | None = None,
        *,
        timeout_seconds: float = REPLY_TIMEOUT_SECONDS,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(self, 0)
        self._transport = transport or open_transport(path, timeout_seconds)
        # One that a thread may take again: ^C can come when it has just been taken, and who undoes asks more.
        self._lock = _thread.RLock()
        # What another connection to the same daemon is opened with, where that can be done.
        self.path = None if transport else self._transport.name
        self._interrupted = False
        self.incarnation = 0
        self.timeout = timeout_seconds
        self._decoder = codec.Decoder(REPLY_MAX_BYTES)
        self._replies: list[codec.Message] = []
        self._events: list[WatchEvent] = []
        self._req_id = 0
        self._tokens = 0
        self._why_gone = ""
        self._pid = os.getpid()

    # -- the connection ----------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the daemon forgets its watches and open transactions."""
        self._interrupted = False
        if not self._why_gone:
            self._why_gone = "the connection was closed"
            self._transport.close()

    def fileno(self) -> int:
        """A descriptor that polls readable when replies or watch events come. Check `has_events` first."""
        return self._transport.fileno()

    @property
    def where(self) -> str:
        """The socket or device that this client speaks through."""
        return self._transport.name

    # -- requests ----------------------------------------------------------

    def exchange(self, tx_id: int, requests: list[Request]) -> list[codec.Message]:
        """Send `requests` (type, payload) in one go, gather their replies in the same order.

        Replies are taken in while requests go out, so neither side can end up
        waiting for the other with full buffers. A reply may be an XS_ERROR: that
        is for the caller to judge.

        Raises:
            StoreGoneError: the daemon went away.
            TimedOutError: it stayed silent for the client's timeout.
            StoreError: E2BIG, a request is too long; EBUSY, another thread speaks. Nothing was sent then.
        """
        if self._pid != os.getpid() or not self._lock.acquire(False):
            self._refuse(requests)
        try:
            return self._exchange(tx_id, requests)
        finally:
            self._lock.release()

    def _exchange(self, tx_id: int, requests: list[Request]) -> list[codec.Message]:
        if self._why_gone:
            self._reopen(tx_id, requests)
        first = self._req_id + 1
        frames = [
            codec.encode(kind, (first + at) & 0xFFFFFFFF, tx_id, payload)
            for at, (kind, payload) in enumerate(requests)
        ]
        count = len(frames)
        self._req_id = (first + count - 1) & 0xFFFFFFFF
        try:
            self._send(frames)
            while len(self._replies) < count:
                if not self._receive(self.timeout):
                    self._silent(requests)
            replies, self._replies = self._replies, []
        except StoreGoneError as error:
            raise self._gone(error.reason, requests) from None
        except OSError as error:
            raise self._gone(error.strerror or str(error), requests) from error
        except BaseException:
            self._interrupt()
            raise
        for at, reply in enumerate(replies):
            if reply[1] != (first + at) & 0xFFFFFFFF:
                raise self._gone("the daemon's replies do not fit what was asked", requests)
        return replies

    def _send(self, frames: list[bytes]) -> None:
        transport = self._transport
        while frames:
            sent = transport.send(frames)
            if not sent:
                if not transport.wait_writable(self.timeout):
                    raise StoreGoneError("", "", "EIO", f"the daemon took nothing for {self.timeout:g} s")
                self._receive(0)
                continue
            done = 0
            while done < len(frames) and sent >= len(frames[done]):
                sent -= len(frames[done])
                done += 1
            del frames[:done]
            if sent:
                frames[0] = frames[0][sent:]

    def _receive(self, timeout_seconds: float | None) -> bool:
        """Take in what has come, wait for it if need be; whether anything came in time."""
        data = self._transport.receive(timeout_seconds)
        if data is None:
            return False
        if not data:
            raise StoreGoneError("", "", "EPIPE", "the daemon closed the connection")
        for message in self._decoder.feed(data):
            if message[0] == xs_wire.XS_WATCH_EVENT:
                self._take_event(message[3])
            else:
                self._replies.append(message)
        if self._decoder.broken:
            raise StoreGoneError("", "", "EIO", f"the daemon's answer is no XenStore: {self._decoder.broken}")
        return True

    def _take_event(self, payload: bytes) -> None:
        from xentool.store.watching import WatchEvent

        path, token, *_ = *codec.split_strings(payload), b"", b""
        self._events.append(
            WatchEvent(path.decode("utf-8", "surrogateescape"), token.decode("utf-8", "surrogateescape"))
        )

    def _interrupt(self) -> None:
        """End this connection, whose bytes ^C may have taken with it; `_reopen` makes another.

        The reply to what was asked would be taken for the next request's.
        """
        self._interrupted = not self._why_gone
        self._lose("an earlier request was interrupted")

    def _lose(self, why: str) -> None:
        if not self._why_gone:
            self._transport.close()
            self._why_gone = why

    def _gone(self, why: str, requests: list[Request]) -> StoreGoneError:
        self._lose(why)
        return StoreGoneError(
            *describe(*requests[0], len(requests)),
            "EPIPE",
            f"{why} ({self.where})",
            hint="is the XenStore daemon running? Open a new connection once it is",
        )

    def _silent(self, requests: list[Request]) -> None:
        self._lose("an earlier request was not answered")
        raise TimedOutError(
            *describe(*requests[0], len(requests)),
            f"the XenStore daemon did not answer within {self.timeout:g} s ({self.where})",
            hint="is the daemon stopped, or the host overloaded?",
        )

    def _reopen(self, tx_id: int, requests: list[Request]) -> None:
        """Connect anew after an interruption: who undoes what ^C broke off needs the store for it.

        The daemon has aborted the old connection's transactions and forgotten
        its watches, so these stay lost. Everything else lost is refused.
        """
        if not self._interrupted or tx_id or self.path is None:
            self._refuse(requests)
        self._transport = open_transport(self.path, self.timeout)
        self._decoder = codec.Decoder(REPLY_MAX_BYTES)
        self._replies = []
        self._events = []
        self._why_gone = ""
        self._interrupted = False
        self.incarnation += 1

    def _refuse(self, requests: list[Request]) -> NoReturn:
        if self._pid != os.getpid():
            raise StoreGoneError(
                *describe(*requests[0], len(requests)),
                "EPIPE",
                "this connection belongs to the process that opened it",
            )
        if not self._why_gone:
            raise StoreError(
                *describe(*requests[0], len(requests)),
                "EBUSY",
                "another thread is using this connection",
                hint="a StoreClient is for one thread at a time: give each its own",
            )
        raise StoreGoneError(*describe(*requests[0], len(requests)), "EPIPE", self._why_gone)

    # -- transactions and batches -------------------------------------------

    def transaction(self) -> Transaction:
        """Begin a transaction: a context manager that commits at its end, or aborts where an error leaves it.

        Committing raises `StoreError` EAGAIN where somebody changed what the
        transaction read or wrote; `run_transaction` tries again by itself.
        """
        return Transaction(self, int(self._ask(xs_wire.XS_TRANSACTION_START, b"\0").rstrip(b"\0")))

    def run_transaction(self, body: Callable[[Transaction], T], *, attempts: int = TRANSACTION_ATTEMPTS) -> T:
        """What `body` returns, having been carried out in a transaction that was committed.

        `body` is called again where another's change came between, so it may
        have no effect but on the transaction.

        Raises:
            StoreError: EAGAIN, it came between every one of `attempts` times; or what a request raised.
        """
        for _ in range(attempts):
            tx = self.transaction()
            try:
                result = body(tx)
                tx.commit()
            except StoreError as error:
                tx.abort()
                if error.errno_name != "EAGAIN":
                    raise
            except BaseException:
                tx.abort()
                raise
            else:
                return result
        raise StoreError(
            "commit transaction",
            "",
            "EAGAIN",
            f"others changed the same nodes, {attempts} times in a row",
            hint="something writes to the store without end; xenstore-watch shows what",
        )

    def batch(self) -> Batch:
        """Requests that are gathered and sent in one go when the ``with`` ends."""
        from xentool.store.batch import Batch

        return Batch(self, self.tx_id)

    # -- watches ------------------------------------------------------------

    def watch(self, path: str, token: str = "", *, depth: int | None = None) -> Watch:
        """Watch `path` and `depth` levels below it (None: all); `token` is chosen if none is given.

        The first event comes at once, as the protocol has it. Daemons before Xen 4.22
        refuse a `depth` (EINVAL; GET_FEATURE says whether there is one).
        """
        from xentool.store.watching import Watch

        self._tokens += 1
        return Watch(self, path, token or f"xentool-{self._tokens}", depth)

    def has_events(self) -> bool:
        """Whether watch events wait to be taken, without asking the transport."""
        return bool(self._events)

    def next_event(self, timeout_seconds: float | None = None, token: str | None = None) -> WatchEvent | None:
        """The next watch event (of the watch with `token`), or None when the time is over.

        Raises:
            StoreGoneError: the daemon went away.
        """
        from time import monotonic

        if self._why_gone or self._pid != os.getpid() or not self._lock.acquire(False):
            self._refuse([(xs_wire.XS_WATCH_EVENT, b"")])
        try:
            return self._await_event(
                None if timeout_seconds is None else monotonic() + timeout_seconds, token
            )
        finally:
            self._lock.release()

    def _await_event(self, end: float | None, token: str | None) -> WatchEvent | None:
        from time import monotonic

        looked_at = 0
        while True:
            for at in range(looked_at, len(self._events)):
                if token is None or self._events[at].token == token:
                    return self._events.pop(at)
            looked_at = len(self._events)
            left = None if end is None else max(0.0, end - monotonic())
            try:
                came = self._receive(left)
            except StoreGoneError as error:
                raise self._gone(error.reason, [(xs_wire.XS_WATCH_EVENT, b"")]) from None
            except OSError as error:
                raise self._gone(error.strerror or str(error), [(xs_wire.XS_WATCH_EVENT, b"")]) from error
            except BaseException:
                self._interrupt()
                raise
            if not came:
                return None

    def forget_events(self, token: str) -> None:
        """Drop what is still queued for a watch that ended."""
        self._events = [event for event in self._events if event.token != token]

    def reset_watches(self) -> None:
        """End all watches and transactions of this connection."""
        self._ask(xs_wire.XS_RESET_WATCHES, b"\0")
        self._events.clear()
