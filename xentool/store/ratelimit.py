"""How often a domain may disturb others' transactions.

A transaction fails if what it read has changed. A domain that writes all the
time could so keep dom0's transactions from ever being committed. So writes of
domains that come while a transaction is open (and commits while another one is)
cost credit, which grows with time: together, domains may do RATE of them a
second, each BURST at once. Who has no credit left is not listened to until he
has some again; nothing is refused. Domains that do not disturb anybody are never
held up, and dom0 never is.

A domain that was connected without INTRODUCE is this process itself, and not
limited: nobody would come back for it.

Source: tools/xenstore/xenstored_domain.c (4.17; wrl_*, WRL_*), XSA-206.
"""

from __future__ import annotations

from xentool.abi import xs_wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.codec import Message
    from xentool.store.domains import Domain

RATE: Final = 200.0
"""Disturbing writes a second, of all domains together."""
BURST: Final = 10.0
_RESERVE: Final = 1000.0
_NEW_DOMAINS: Final = 5


class WriteRate:
    """Each domain's credit. `open_transactions` is kept by transactions themselves."""

    __slots__ = ("_clock", "_count", "_log", "_reserve", "held_up", "limited", "open_transactions", "told")

    def __init__(self, clock: Callable[[], float], log: Callable[[str], None]) -> None:
        self._clock = clock
        self._log = log
        # Dom0 takes part, though it is never held up.
        self._count = 1
        self._reserve = -BURST
        self.limited = True
        """Whether domains that are introduced are limited at all."""
        self.open_transactions = 0
        self.held_up: dict[int, Domain] = {}
        """Who is not listened to just now, by domid."""
        self.told: set[int] = set()

    def add(self, domain: Domain) -> None:
        """Limit a domain from now on; the first few get a burst on credit."""
        if domain.credit is None and self.limited:
            self._count += 1
            domain.credit = max(0.0, min(self._reserve + _NEW_DOMAINS * BURST, BURST))
            domain.credit_at = self._clock()
            self._reserve -= domain.credit

    def forget(self, domain: Domain) -> None:
        if domain.credit is not None:
            self._count -= 1
            self._reserve = max(self._reserve, min(self._reserve + max(domain.credit, 0.0), BURST))
            domain.credit = None
            self.held_up.pop(domain.domid, None)
            self.told.discard(domain.domid)

    def settle(self, domain: Domain, message: Message, writes: int) -> None:
        """Take off what a request cost that was carried out, and changed nodes `writes` times."""
        kind, _, tx_id, payload = message
        if kind == xs_wire.XS_TRANSACTION_END:
            # The domain's own transaction is no longer among the open ones.
            cost = 1 if self.open_transactions and payload == b"T\0" else 0
        elif kind == xs_wire.XS_TRANSACTION_START or tx_id or not self.open_transactions:
            return
        else:
            cost = writes
        if domain.credit is None or not cost:
            return
        self._update(domain)
        domain.credit -= cost
        if domain.credit < 0:
            self.held_up[domain.domid] = domain
            if domain.domid not in self.told:
                self.told.add(domain.domid)
                self._log(f"domain {domain.domid} is slowed down: its writes make others' transactions fail")

    def may_ask(self, domain: Domain) -> bool:
        """Whether the domain is listened to."""
        if domain.credit is None or domain.credit >= 0:
            return True
        self._update(domain)
        if domain.credit < 0:
            return False
        self.held_up.pop(domain.domid, None)
        return True

    def seconds_left(self, domain: Domain) -> float:
        """How long until it is."""
        return max(0.0, -(domain.credit or 0.0)) * self._count / RATE

    def _update(self, domain: Domain) -> None:
        now = self._clock()
        credit = (domain.credit or 0.0) + (now - domain.credit_at) * RATE / self._count
        domain.credit_at = now
        if credit < 0 < self._reserve:
            lent = min(-credit, self._reserve)
            credit += lent
            self._reserve -= lent
        if credit > BURST:
            self._reserve = max(self._reserve, min(self._reserve + credit - BURST, _RESERVE))
            credit = BURST
        domain.credit = credit
