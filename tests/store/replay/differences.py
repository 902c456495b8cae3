"""Where C xenstored and our server answer differently, and why. Everything else has to be the same.

An entry says exactly what it looks like; whatever looks otherwise is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.store.replay.players import Outcome
from tests.store.replay.steps import Request, Step
from xentool.abi import xs_wire as xs

Reply = tuple[int, int, bytes]


class Case(NamedTuple):
    """One request with both answers."""

    xen: str
    step: Step
    request: Request
    theirs: Reply
    ours: Reply


class Difference(NamedTuple):
    """`matches` says whether a case is this difference. If it `taints`, what the request's transaction sees
    differs from then on: its further answers count for nothing, but for that it may not be committed."""

    name: str
    reason: str
    matches: Callable[[Case], bool]
    taints: bool = False
    releases: tuple[str, ...] = ("4.17", "4.20")
    rare: bool = False
    """A long replay may well go without."""


def _error(reply: Reply) -> str:
    return reply[2][:-1].decode("ascii", "replace") if reply[0] == xs.XS_ERROR else ""


def _is_failed_rm(case: Case) -> bool:
    request = case.request
    if request.kind != xs.XS_RM or request.slot <= 0 or _error(case.theirs) != "EIO":
        return False
    return case.ours[0] == xs.XS_RM or _error(case.ours) == "EIO"


def _is_below_a_dead_domains_node(case: Case) -> bool:
    request = case.request
    return (
        request.kind in (xs.XS_WRITE, xs.XS_MKDIR)
        and request.slot > 0
        and _error(case.theirs) == "ENOMEM"
        and case.ours[0] == request.kind
    )


def _is_a_part_that_is_full(case: Case) -> bool:
    if (case.theirs[0], case.ours[0]) != (xs.XS_DIRECTORY_PART, xs.XS_DIRECTORY_PART):
        return False
    numbers, names = zip(*(reply[2].split(b"\0", 1) for reply in (case.theirs, case.ours)), strict=True)
    shorter, longer = sorted(names, key=len)
    left_out = longer[len(shorter) :].rstrip(b"\0")
    # One name, for which the longer number left no room. NULs: after number and name, and one free.
    fits = len(shorter) + len(left_out) + max(map(len, numbers)) + 3 <= xs.XENSTORE_PAYLOAD_MAX
    return (
        len(numbers[0]) != len(numbers[1])
        and longer.startswith(shorter)
        and not fits
        and b"\0" not in left_out
    )


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "a part that is full",
        "DIRECTORY_PART begins with the node's generation: a store that has seen more has longer numbers, "
        "and room for a name less.",
        _is_a_part_that_is_full,
        rare=True,
    ),
    Difference(
        "below a node of a domain that is gone",
        "A transaction that sees a node of a domain that went meanwhile makes one below it, for the same "
        "owner: C xenstored since 4.18 says ENOMEM at once, ours (and 4.17) at the end. It is never "
        "committed.",
        _is_below_a_dead_domains_node,
        taints=True,
        releases=("4.20",),
    ),
    Difference(
        "RM that fails half-way",
        "In a transaction C xenstored removes node by node, children first, until it fails with EIO: over "
        "the number of nodes that a transaction may look at, or where others changed a node's children. Ours "
        "looks at them all first, and removes them or none; changed children it finds at the end. Such a "
        "transaction is never committed.",
        _is_failed_rm,
        taints=True,
    ),
)

_NUMBER = re.compile(rb"^ *([a-z-]+) *: +(\d+)", re.MULTILINE)
_COUNTS = (b"nodes", b"watches", b"transactions", b"outstanding")


def comparable(request: Request, reply: Reply, *, memory: bool) -> Reply:
    """The reply without what may differ for no reason: a node's generation, the form of a domain's account,
    and its memory unless that is asked for (what a transaction costs depends on its generation's digits)."""
    kind, tx_id, payload = reply
    if kind == xs.XS_DIRECTORY_PART:
        return kind, tx_id, payload.partition(b"\0")[2]
    if kind == xs.XS_CONTROL and payload.startswith(b"Domain "):
        if payload.startswith(b"Domain 0:"):
            # Nobody's business: it has no limits. Ours does not count what its sockets hold.
            return kind, tx_id, b""
        counts = dict(_NUMBER.findall(payload))
        names = (*_COUNTS, b"memory") if memory else _COUNTS
        return kind, tx_id, repr([(name, int(counts[name])) for name in names]).encode()
    return reply


def events_of(step: Step, outcome: Outcome) -> dict[str, list[bytes]]:
    """The events of each connection. Of several requests in one go the same event may be told once or more
    often: that depends on whether the first was sent when the second came."""
    if len(step.requests) < 2:
        return outcome.events
    return {name: list(dict.fromkeys(events)) for name, events in outcome.events.items()}
