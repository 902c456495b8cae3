"""One client of the server: what it has sent, what it is to be sent, what it holds.

A connection does no I/O. Bytes that came go into `feed`; bytes to go come from
`take`. What carries them is a socket, a guest's ring, or a client in the same
process. Sockets, and connections of dom0, are privileged; a guest's connection
is its domain's, and bounded: while too many of its replies (or of the events
that its writes caused) wait to be taken, while it holds too much memory, or while
it disturbs others' transactions too often, its further requests wait as well. And
it never gets more than TURN_REQUESTS done before the others have had their turn.
"""

from __future__ import annotations

from collections import deque

from xentool.abi.xs_wire import XS_ERROR, XS_WATCH_EVENT, XSD_ERRORS
from xentool.store.codec import HEADER, PAYLOAD_MAX, Decoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.codec import Message
    from xentool.store.domains import Domain
    from xentool.store.server import Server
    from xentool.store.transactions import Transaction
    from xentool.store.watches import Watch

_pack = HEADER.pack
_HEADER_BYTES: Final = HEADER.size
TURN_REQUESTS: Final = 8
"""How many of a guest's requests are carried out before others are looked after (XSA-206)."""
_SMALL_REPLY_BYTES: Final = 16
"""xenstored's DEFAULT_BUFFER_SIZE: replies up to here are sent however much memory a domain uses."""
_ERRORS: Final = {word: word.encode() + b"\0" for word in XSD_ERRORS}


class Cause:
    """An unprivileged domain's request: outstanding until its reply and all events it caused were taken."""

    __slots__ = ("domain", "events", "replied")

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.events = 0
        self.replied = False


class Outgoing:
    """A message that waits to be taken, and is accounted for when it was: an event, or a reply to a guest.

    `event` is a watch event's payload, else empty. Replies to dom0, which has no
    limits, wait as the bare frames that they are.
    """

    __slots__ = ("cause", "deadline", "event", "frame")

    def __init__(self, frame: bytes, cause: Cause | None, event: bytes, deadline: float) -> None:
        self.frame = frame
        self.cause = cause
        self.event = event
        self.deadline = deadline


class Connection:
    """A client. `domain` is None for a socket, and for dom0 in this process: that has all rights.

    `on_output` is called when something is to be taken, after nothing was;
    `on_turn`, when its requests may be carried out again after they had to wait.
    """

    __slots__ = (
        "_decoder",
        "_inbox",
        "_message",
        "_out",
        "_queued_bytes",
        "_sent",
        "_waiting_events",
        "base",
        "cause",
        "closed",
        "domain",
        "domid",
        "failed",
        "next_transaction",
        "on_output",
        "on_turn",
        "privileged",
        "serial",
        "server",
        "target",
        "transactions",
        "watches",
    )

    def __init__(self, server: Server, domain: Domain | None, serial: int) -> None:
        self.server = server
        self.domain = domain
        self.domid = domain.domid if domain else 0
        self.privileged = domain is None
        self.base = domain.path if domain else b"/local/domain/0"
        self.serial = serial
        self.target = -1
        self.transactions: dict[int, Transaction] = {}
        self.next_transaction = 1
        self.watches: dict[tuple[bytes, bytes], Watch] = {}
        self.on_output: Callable[[Connection], None] | None = None
        self.on_turn: Callable[[Connection], None] | None = None
        self.closed = False
        self.failed = ""
        self.cause: Cause | None = None
        self._decoder = Decoder()
        self._inbox: deque[Message] = deque()
        self._message: Message = (0, 0, 0, b"")
        self._out: deque[Outgoing | bytes] = deque()
        self._sent = 0
        self._queued_bytes = 0
        self._waiting_events: dict[bytes, int] = {}

    # -- in ----------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes that the client sent. What is complete is carried out, as far as its limits allow."""
        if self.closed or self.failed:
            return
        messages = self._decoder.feed(data)
        if self.domain is not None:
            self._inbox.extend(messages)
            self.run()
            return
        handle = self.server.handle_message
        for message in messages:
            self._message = message
            handle(self, message)
        if self._decoder.broken:
            self.ignore(self._decoder.broken)

    def run(self) -> None:
        """Carry out what waits, as far as the client's limits allow. Dom0's requests never wait."""
        if self.domain is not None:
            self._run_guest(self.domain)
        if self._decoder.broken and not self._inbox:
            self.ignore(self._decoder.broken)

    def _run_guest(self, domain: Domain) -> None:
        """One turn: a few requests; what is left then waits for `Server.take_turns`."""
        server = self.server
        inbox = self._inbox
        for _ in range(TURN_REQUESTS):
            if not inbox or not self._within_limits():
                return
            self._message = message = inbox.popleft()
            self.cause = Cause(domain)
            before = server.tree.generation
            server.handle_message(self, message)
            server.rate.settle(domain, message, server.tree.generation - before)
            self.cause = None
        if inbox and self._within_limits():
            server.waiting[self.serial] = self

    def take_turn(self) -> None:
        """Go on with what had to wait."""
        if not self.closed:
            self.run()
            if self.on_turn is not None:
                self.on_turn(self)

    def ignore(self, why: str) -> None:
        """What the client sends makes no sense: it gets no more answers, though its domain lives on."""
        if not self.failed:
            self.failed = why
            self.reset()

    def may_ask(self) -> bool:
        """Whether a request of this client would be carried out now. A ring is not read while not."""
        return not self._inbox and self._within_limits()

    def _within_limits(self) -> bool:
        if self.closed or self.failed:
            return False
        domain = self.domain
        if domain is None:
            return True
        server = self.server
        most = domain.quota.outstanding
        return (
            (domain.outstanding < most or not most)
            and not server.domains.over_memory(domain)
            and server.rate.may_ask(domain)
        )

    # -- out ---------------------------------------------------------------

    def reply(self, payload: bytes) -> None:
        """Answer the request that is being carried out."""
        kind, req_id, tx_id, _ = self._message
        length = len(payload)
        if length > PAYLOAD_MAX:
            self.refuse("E2BIG")
            return
        frame = _pack(kind, req_id, tx_id, length) + payload
        domain = self.domain
        if domain is None:
            self._queue(frame, length + _HEADER_BYTES)
            return
        charged = self.server.domains.charge(
            self.domid, length + _HEADER_BYTES, checked=length > _SMALL_REPLY_BYTES
        )
        if not charged:
            self.refuse("ENOMEM")
            return
        domain.outstanding += 1
        self.server.domains.note(domain, "outstanding", domain.outstanding)
        self._queue(Outgoing(frame, self.cause, b"", 0.0), length + _HEADER_BYTES)

    def refuse(self, word: str) -> None:
        """Answer it with an error."""
        _, req_id, tx_id, payload = self._message
        self._message = (XS_ERROR, req_id, tx_id, payload)
        self.reply(_ERRORS[word])

    def send_event(self, path: bytes, token: bytes, cause: Cause | None) -> None:
        """Tell of a change, unless the very same event waits to be taken already."""
        payload = path + b"\0" + token + b"\0"
        if len(payload) > PAYLOAD_MAX or (path[:1] != b"@" and payload in self._waiting_events):
            return
        if self.domain is not None and not self.server.domains.charge(
            self.domid, len(payload) + _HEADER_BYTES, checked=True
        ):
            return
        if cause is not None:
            cause.events += 1
        self._waiting_events[payload] = self._waiting_events.get(payload, 0) + 1
        deadline = 0.0
        if self.domain is not None:
            deadline = self.server.clock() + self.server.quota.event_seconds
            self.server.expect_expiry(self, deadline)
        frame = _pack(XS_WATCH_EVENT, 0, 0, len(payload)) + payload
        self._queue(Outgoing(frame, cause, payload, deadline), len(frame))

    def _queue(self, outgoing: Outgoing | bytes, size: int) -> None:
        out = self._out
        out.append(outgoing)
        self._queued_bytes += size
        if len(out) == 1 and self.on_output is not None:
            self.on_output(self)

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait to be taken."""
        return self._queued_bytes - self._sent

    def take(self, limit_bytes: int) -> bytes:
        """Up to `limit_bytes` of what is to be sent; what is taken counts as sent."""
        out = self._out
        parts: list[bytes] = []
        while out and limit_bytes > 0:
            outgoing = out[0]
            frame = outgoing if isinstance(outgoing, bytes) else outgoing.frame
            size = len(frame)
            if self._sent or size > limit_bytes:
                part = frame[self._sent : self._sent + limit_bytes]
                parts.append(part)
                self._sent += len(part)
                if self._sent < size:
                    break
                limit_bytes -= len(part)
                self._sent = 0
            else:
                parts.append(frame)
                limit_bytes -= size
            out.popleft()
            self._queued_bytes -= size
            if not isinstance(outgoing, bytes):
                self._account(outgoing)
        if self._inbox and parts:
            self.server.waiting[self.serial] = self
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _account(self, outgoing: Outgoing) -> None:
        """A message has left the queue: sent, or dropped."""
        if outgoing.event:
            left = self._waiting_events[outgoing.event] - 1
            if left:
                self._waiting_events[outgoing.event] = left
            else:
                del self._waiting_events[outgoing.event]
        if self.domain is not None:
            self.server.domains.charge(self.domid, -len(outgoing.frame), checked=False)
        cause = outgoing.cause
        if cause is None:
            return
        if outgoing.event:
            cause.events -= 1
        else:
            cause.replied = True
        if cause.replied and not cause.events:
            cause.domain.outstanding -= 1
            if cause.domain is not self.domain:
                self.server.wake(cause.domain)

    def expire_events(self, now: float) -> float:
        """Drop events that have waited too long; when the next one will have (0: none waits)."""
        kept: deque[Outgoing | bytes] = deque()
        following = 0.0
        for at, outgoing in enumerate(self._out):
            begun = at == 0 and self._sent
            if isinstance(outgoing, Outgoing) and outgoing.event and not begun:
                if outgoing.deadline <= now:
                    self._drop(outgoing)
                    continue
                following = min(following or outgoing.deadline, outgoing.deadline)
            kept.append(outgoing)
        self._out = kept
        return following

    def _drop(self, outgoing: Outgoing | bytes) -> None:
        if isinstance(outgoing, bytes):
            self._queued_bytes -= len(outgoing)
        else:
            self._queued_bytes -= len(outgoing.frame)
            self._account(outgoing)

    # -- ends ----------------------------------------------------------------

    def end_transactions(self) -> None:
        transactions, self.transactions = self.transactions, {}
        for transaction in transactions.values():
            transaction.close()

    def end_watches(self) -> None:
        for watch in list(self.watches.values()):
            self.server.watches.remove(watch)

    def reset(self) -> None:
        """As new: no watches, no transactions, nothing read in part, nothing to send."""
        self.end_watches()
        self.end_transactions()
        self._decoder = Decoder()
        self._inbox.clear()
        self.server.waiting.pop(self.serial, None)
        while self._out:
            self._drop(self._out.popleft())
        self._sent = 0

    def close(self) -> None:
        """The client is gone. A domain's connection ends with `Server.release` instead."""
        if not self.closed:
            self.closed = True
            self.reset()
            self.server.connections.pop(self.serial, None)
