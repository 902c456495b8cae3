"""Domains, as the store knows them: who is there, since when, and what they use.

Domids come back: the next domain 5 must not inherit what the last one was
granted. So each domain remembers the store's generation at which it came, and a
permission counts only if its node is younger than the domain it names.

Source: tools/xenstore/xenstored_domain.c (4.17); XSA-322 and XSA-419 for why.
"""

from __future__ import annotations

from xentool.store.permissions import READ, REVOKED, WRITE, Permission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.connection import Connection
    from xentool.store.quota import Quota
    from xentool.store.tree import Permissions

DOMID_SELF: Final = 0x7FF0
"""DOMID_SELF (public/xen.h), the first domid that no domain can have is 0x7FF0 (DOMID_FIRST_RESERVED)."""


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
        "domid",
        "generation",
        "introduced",
        "memory",
        "nodes",
        "outstanding",
        "path",
        "shut_down",
        "watches",
    )

    def __init__(self, domid: int, generation: int) -> None:
        self.domid = domid
        self.generation = generation
        self.path = b"/local/domain/%d" % domid
        self.connection: Connection | None = None
        self.introduced = False
        self.shut_down = False
        self.nodes = 0
        self.memory = 0
        self.watches = 0
        self.outstanding = 0


class Domains:
    """All domains that the store has heard of. `tick` moves the store's generation on."""

    __slots__ = ("_by_domid", "_changed", "_host", "_quota", "_tick")

    def __init__(self, host: StoreHost, quota: Quota, tick: Callable[[], int]) -> None:
        self._by_domid: dict[int, Domain] = {}
        self._host = host
        self._quota = quota
        self._tick = tick
        self._changed = 0

    def find(self, domid: int) -> Domain | None:
        return self._by_domid.get(domid)

    def all(self) -> list[Domain]:
        return list(self._by_domid.values())

    def add(self, domid: int) -> Domain:
        """The domain, known from now on."""
        domain = self._by_domid.get(domid)
        if domain is None:
            self._changed = self._tick()
            domain = self._by_domid[domid] = Domain(domid, self._changed)
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
        if checked and domid and self._quota.memory and total >= self._quota.memory:
            return False
        domain.memory = total
        return True

    def over_memory(self, domain: Domain) -> bool:
        return bool(self._quota.memory) and domain.memory >= self._quota.memory

    def granted(self, domid: int, generation: int) -> bool:
        """Whether a permission for `domid` in a node of `generation` means the domain that has it now."""
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

    def admit(self, permissions: Permissions) -> Permissions:
        """Permissions as SET_PERMS takes them: who is named is known from now on, or gets nothing, ever."""
        return tuple(
            entry if self.find_or_believe(entry.domid) else Permission(entry.domid, entry.bits | REVOKED)
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
