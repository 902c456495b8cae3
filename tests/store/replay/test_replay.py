"""Differential replay: the same random requests to C xenstored, as it is in the lab, and to our server.

XENTOOL_REPLAY_REQUESTS is how many there are (for each release), XENTOOL_REPLAY_SEED where the seeds begin.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.store.replay.differences import DIFFERENCES
from tests.store.replay.profiles import PROFILES, Profile
from tests.store.replay.replay import Mismatch, Replay, play, shorten
from tests.store.replay.steps import Generator, Step
from tests.store.replay.xenstored import Xenstored
from xentool.abi import xs_wire as xs
from xentool.store import access, requests, transactions
from xentool.store.domains import Domains
from xentool.store.permissions import READ
from xentool.store.quota import Quota
from xentool.store.transactions import Transaction
from xentool.store.watches import Watch, Watches

REQUESTS = int(os.environ.get("XENTOOL_REPLAY_REQUESTS", "105000"))
FIRST_SEED = int(os.environ.get("XENTOOL_REPLAY_SEED", "1"))
SESSION = 2500
"""Requests to one pair of stores."""
ENOUGH = 100_000
"""After so many requests a difference that the table knows must have been met."""

pytestmark = pytest.mark.lab


def steps_of(xenstored: Xenstored, profile: Profile, seed: int) -> list[Step]:
    return list(Generator(profile, f"{seed} {profile.name}", xenstored.xen).steps(SESSION))


def explain(xenstored: Xenstored, profile: Profile, steps: list[Step], mismatch: Mismatch) -> str:
    """The mismatch, and as few steps as still lead to one like it."""
    kind = mismatch.text[:20]

    def fails(steps: list[Step]) -> bool:
        found = play(xenstored.xen, xenstored.start, profile, steps)
        return found is not None and found.text[:20] == kind

    short = shorten(steps[: mismatch.at + 1] if mismatch.at >= 0 else steps, fails)
    found = play(xenstored.xen, xenstored.start, profile, short) or mismatch
    return "\n".join([f"step {mismatch.at}: {mismatch.text}", "in short:", *map(str, short), found.text])


def test_the_same_answers_and_events(xenstored: Xenstored) -> None:
    totals = Replay(xenstored.xen)
    seed = FIRST_SEED
    while totals.requests < REQUESTS:
        for profile in PROFILES:
            steps = steps_of(xenstored, profile, seed)
            mismatch = play(xenstored.xen, xenstored.start, profile, steps, totals)
            if mismatch is not None:
                pytest.fail(f"seed {seed}, {profile.name!r}: {explain(xenstored, profile, steps, mismatch)}")
        seed += 1
    print(f"{totals.requests} requests, {totals.events} events; {dict(totals.explained)}")
    known = {
        difference.name
        for difference in DIFFERENCES
        if xenstored.xen in difference.releases and not difference.rare
    }
    if totals.requests >= ENOUGH:
        assert known <= set(totals.explained), "a difference that the table knows is not met any more"
        # What is compared are not the same refusals again and again.
        answered = {kind for kind, word in totals.answers if not word}
        assert answered >= {
            xs.XS_READ, xs.XS_WRITE, xs.XS_MKDIR, xs.XS_RM, xs.XS_DIRECTORY, xs.XS_DIRECTORY_PART,
            xs.XS_GET_PERMS, xs.XS_SET_PERMS, xs.XS_WATCH, xs.XS_UNWATCH, xs.XS_TRANSACTION_START,
            xs.XS_TRANSACTION_END, xs.XS_INTRODUCE, xs.XS_RELEASE, xs.XS_RESUME, xs.XS_SET_TARGET,
            xs.XS_RESET_WATCHES, xs.XS_CONTROL, xs.XS_IS_DOMAIN_INTRODUCED, xs.XS_GET_DOMAIN_PATH,
        }  # fmt: skip
        words = {word[:-1] for _, word in totals.answers}
        assert words >= {
            "EACCES",
            "EAGAIN",
            "E2BIG",
            "EBUSY",
            "EEXIST",
            "EINVAL",
            "ENOENT",
            "ENOSPC",
            "EPERM",
        }
        assert totals.events > totals.requests // 20


# -- the replay finds faults -----------------------------------------------------------


def _everybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    rights = access.rights
    monkeypatch.setattr(access, "rights", lambda *arguments: rights(*arguments) | READ)


def _a_read_does_not_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a transaction only read counts as unchanged."""
    commit = Transaction.commit

    def commit_blindly(self: Transaction) -> None:
        for path, touched in self._touched.items():
            if not touched.changed:
                now = self._tree.nodes.get(path)
                touched.generation = transactions.ABSENT if now is None else now.generation
        commit(self)

    monkeypatch.setattr(Transaction, "commit", commit_blindly)


def _watches_are_told_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watches, "_may_know", lambda *_arguments: True)


def _a_node_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota for nodes is one larger than it says."""
    attribute = Quota.set

    def generous(self: Quota, table: Any, name: str, value: int) -> bool:
        return attribute(self, table, name, value + (name == "nodes"))

    monkeypatch.setattr(Quota, "set", generous)


def _events_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    matches = Watches._matches

    def backwards(self: Watches, name: bytes, *, exact: bool) -> list[Watch]:
        return matches(self, name, exact=exact)[::-1]

    monkeypatch.setattr(Watches, "_matches", backwards)


def _rights_outlive_a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """XSA-322: the next domain of a domid has what the last one was granted."""
    monkeypatch.setattr(Domains, "granted", lambda self, domid, _generation: self.find(domid) is not None)


def _children_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, flags = requests.HANDLERS[xs.XS_DIRECTORY]

    def in_order(*arguments: Any) -> bytes:
        names = (handler(*arguments) or b"").split(b"\0")[:-1]
        return b"".join(name + b"\0" for name in sorted(names))

    monkeypatch.setitem(requests.HANDLERS, xs.XS_DIRECTORY, (in_order, flags))


FAULTS = (
    _everybody_reads, _a_read_does_not_conflict, _watches_are_told_too_much, _a_node_too_many,
    _events_in_any_order, _rights_outlive_a_domain, _children_sorted,
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], xenstored: Xenstored, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    for seed in range(1, 6):
        for profile in PROFILES:
            if play(xenstored.xen, xenstored.start, profile, steps_of(xenstored, profile, seed)) is not None:
                return
    pytest.fail("the replay does not see it")
