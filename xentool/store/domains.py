"""Domains, as the store knows them: who is there, since when, and what they use.

Domids come back: the next domain 5 must not inherit what the last one was
granted. So each domain remembers the store's generation at which it came, and a
permission counts only if its node is younger than the domain it names.

Source: tools/xenstore/xenstored_domain.c (4.17), tools/xenstored/domain.c (4.22);
XSA-322 and XSA-419 for why.
"""

from __future__ import annotations

from xentool.abi.xen import DOMID_ANY, DOMID_SELF
from xentool.store.permissions import READ, REVOKED, WRITE, Permission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.connection import Connection
    from xentool.store.quota import Quota
    from xentool.store.tree import Permissions

_REPORTS_SECONDS: Final = 10.0
"""xenstored's MEM_WARN_MINTIME_SEC: a domain's memory is not talked about more often."""
_SOFT_REPORTED: Final = 1
_HARD_REPORTED: Final = 2
_STALLED: Final = 4


class StoreHost:
    """What the store asks of, and tells, the host around it. To be subclassed by who knows the domains.

    This one believes in every domain that it is told of, and connects none: the
    store by itself, for tests and for looking at saved trees.
    """

    def exists(self, domid: int) -> bool:
        """Whether the hypervisor has such a domain."""
        return 0 <= domid < DOMID_SELF

    def is_shut_down(self, domid: int) -> bool:  # noqa: ARG002 - for subclasses
        """Whether the domain has shut down or crashed."""
        return False

    def is_dying(self, domid: int) -> bool:  # noqa: ARG002 - for subclasses
        """Whether the domain is being destroyed."""
        return False

    def introduce(self, domid: int, gfn: int, port: int, connection: Connection) -> None:
        """A domain is introduced, or once more: its ring is in frame `gfn`, its event channel `port`.

        Bytes from the ring go to `connection.feed`, those for it come from
        `connection.take`; `connection.on_output` is called when there are some.

        Raises:
            OSError: it cannot be connected; INTRODUCE is refused with that errno.
        """

    def release(self, domid: int) -> None:
        """The store has let go of a domain."""


class Domain:
    """One domain's account. `connection` is there while it is introduced."""

    __slots__ = (
        "connection",
        "credit",
        "credit_at",
        "domid",
        "features",
        "generation",
        "introduced",
        "memory",
        "nodes",
        "outstanding",
        "path",
        "peak_memory",
        "peaks",
        "quota",
        "reported",
        "reported_at",
        "shut_down",
        "watches",
    )

    def __init__(self, domid: int, generation: int, quota: Quota) -> None:
        self.domid = domid
        self.generation = generation
        self.quota = quota.for_domain()
        self.features = quota.release.features
        """XENSTORE_SERVER_FEATURE_*: what of the protocol's later parts it is offered."""
        self.path = b"/local/domain/%d" % domid
        self.connection: Connection | None = None
        self.introduced = False
        self.shut_down = False
        self.nodes = 0
        self.memory = 0
        self.watches = 0
        self.outstanding = 0
        self.peak_memory = 0
        self.peaks: dict[str, int] = {}
        self.reported = 0
        self.reported_at = float("-inf")
        self.credit: float | None = None
        """See `xentool.store.ratelimit`; None: not limited."""
        self.credit_at = 0.0

    def used(self, attribute: str) -> int:
        """What counts against the quota in `attribute` just now; 0 where that limits each node by itself."""
        if attribute == "transactions":
            return len(self.connection.transactions) if self.connection is not None else 0
        return getattr(self, attribute, 0) if attribute in _COUNTED else 0

    def peak(self, attribute: str) -> int:
        """The most that it was."""
        return self.peak_memory if attribute == "memory" else self.peaks.get(attribute, 0)


_COUNTED: Final = ("nodes", "watches", "outstanding", "memory")


class Domains:
    """All domains that the store has heard of. `tick` moves the store's generation on."""

    __slots__ = ("_by_domid", "_changed", "_clock", "_host", "_log", "_quota", "_tick", "_wake", "peaks")

    def __init__(
        self,
        host: StoreHost,
        quota: Quota,
        tick: Callable[[], int],
        clock: Callable[[], float],
        log: Callable[[str], None],
        wake: Callable[[Domain], None],
    ) -> None:
        self._by_domid: dict[int, Domain] = {}
        self._host = host
        self._quota = quota
        self._tick = tick
        self._clock = clock
        self._log = log
        self._wake = wake
        self._changed = 0
        self.peaks: dict[str, int] = {}
        """The most that any unprivileged domain had, of what each quota limits."""

    def find(self, domid: int) -> Domain | None:
        return self._by_domid.get(domid)

    def all(self) -> list[Domain]:
        return list(self._by_domid.values())

    def add(self, domid: int) -> Domain:
        """The domain, known from now on."""
        domain = self._by_domid.get(domid)
        if domain is None:
            self._changed = self._tick()
            domain = self._by_domid[domid] = Domain(domid, self._changed, self._quota)
        return domain

    def find_or_believe(self, domid: int) -> Domain | None:
        """The domain; one that the host has, and the store has not heard of yet, is known from now on."""
        domain = self._by_domid.get(domid)
        if domain is None and self._host.exists(domid):
            domain = self.add(domid)
        return domain

    def forget(self, domid: int) -> None:
        """The domain is gone: nothing that was granted to it counts any more."""
        if self._by_domid.pop(domid, None) is not None:
            self._changed = self._tick()

    def charge(self, domid: int, size_bytes: int, *, checked: bool) -> bool:
        """Add to what a domain uses; False, and nothing done, where that is too much."""
        domain = self._by_domid.get(domid)
        if domain is None:
            return True
        total = domain.memory + size_bytes
        if domid:
            quota = domain.quota
            if total >= quota.memory_soft or total >= quota.memory or domain.reported:
                self._report_memory(domain, total)
            if checked and total >= quota.memory > 0:
                return False
        if total > domain.peak_memory:
            domain.peak_memory = total
            if domid and total > self.peaks.get("memory", 0):
                self.peaks["memory"] = total
        domain.memory = total
        return True

    def _report_memory(self, domain: Domain, total_bytes: int) -> None:
        """Log that a domain crosses a limit, in words that xenstored's administrators know; now and then."""
        quota = domain.quota
        if total_bytes >= quota.memory > 0:
            if not domain.reported & _HARD_REPORTED:
                self._log(
                    f"domain {domain.domid} exceeds its hard memory quota of {quota.memory:,} bytes:"
                    " what needs more is refused"
                )
                domain.reported |= _HARD_REPORTED
                domain.reported_at = self._clock()
            domain.reported |= _STALLED
            return
        if domain.reported & _STALLED:
            domain.reported &= ~_STALLED
            self._wake(domain)
        now = self._clock()
        if now - domain.reported_at < _REPORTS_SECONDS:
            return
        words = []
        if domain.reported & _HARD_REPORTED:
            words.append("is below its hard memory quota again")
        over_soft = total_bytes >= quota.memory_soft > 0
        if over_soft and not domain.reported & _SOFT_REPORTED:
            words.append(f"exceeds its soft memory quota of {quota.memory_soft:,} bytes")
        elif not over_soft and domain.reported & _SOFT_REPORTED:
            words.append("is below its soft memory quota again")
        for word in words:
            self._log(f"domain {domain.domid} {word}")
            domain.reported_at = now
        domain.reported = _SOFT_REPORTED if over_soft else 0

    def over_memory(self, domain: Domain) -> bool:
        """Whether a domain has used up its memory. It is not listened to then, until `charge` wakes it."""
        if domain.memory >= domain.quota.memory > 0:
            domain.reported |= _STALLED
            return True
        return False

    def note(self, domain: Domain, attribute: str, value: int) -> None:
        """Remember the most that a domain had of what the quota `attribute` limits."""
        if value > domain.peaks.get(attribute, 0):
            domain.peaks[attribute] = value
            if domain.domid and value > self.peaks.get(attribute, 0):
                self.peaks[attribute] = value

    def reset_peaks(self) -> None:
        """Begin anew with what is there now (``quota max -r``)."""
        self.peaks.clear()
        for domain in self._by_domid.values():
            domain.peaks = {attribute: domain.used(attribute) for attribute in (*_COUNTED, "transactions")}
            domain.peak_memory = domain.memory

    def granted(self, domid: int, generation: int) -> bool:
        """Whether a permission for `domid` in a node of `generation` means the domain that has it now."""
        if domid == DOMID_ANY:
            return True
        domain = self._by_domid.get(domid)
        return domain is not None and domain.generation <= generation

    def live(self, permissions: Permissions, generation: int) -> Permissions:
        """The permissions of a node of `generation`, as they may be carried into a younger one."""
        if len(permissions) == 1 or generation >= self._changed:
            return permissions
        return (
            permissions[0],
            *[
                entry
                if entry.bits & REVOKED or self.granted(entry.domid, generation)
                else Permission(entry.domid, entry.bits | REVOKED)
                for entry in permissions[1:]
            ],
        )

    def admit(self, permissions: Permissions, *, anyone: bool) -> Permissions:
        """Permissions as SET_PERMS takes them: who is named is known from now on, or gets nothing, ever.

        `anyone`: whether DOMID_ANY may be named.
        """
        return tuple(
            entry
            if (anyone if entry.domid == DOMID_ANY else self.find_or_believe(entry.domid))
            else Permission(entry.domid, entry.bits | REVOKED)
            for entry in permissions
        )


def without_domain(permissions: Permissions, domid: int) -> Permissions:
    """Permissions when a domain is gone: what it owned is dom0's."""
    owner = permissions[0]
    if owner.domid == domid:
        owner = Permission(0, owner.bits)
    return (owner, *[entry for entry in permissions[1:] if entry.domid != domid])


def as_text(permissions: Permissions) -> bytes:
    """The payload of GET_PERMS: text for each, without what the server keeps for itself."""
    return b"".join(
        [b"%c%d\0" % (b"nrwb"[entry.bits & (READ | WRITE)], _signed(entry.domid)) for entry in permissions]
    )


def _signed(domid: int) -> int:
    return domid - (1 << 32) if domid >= 1 << 31 else domid
