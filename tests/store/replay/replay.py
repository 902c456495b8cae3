"""One sequence of steps on two stores, answer by answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import NamedTuple

from tests.store.replay.differences import DIFFERENCES, Case, Difference, comparable, events_of
from tests.store.replay.players import OurPlayer, Outcome, Player
from tests.store.replay.profiles import Profile
from tests.store.replay.steps import Step
from xentool.abi import xs_wire as xs
from xentool.store.consistency import check_tree


class Mismatch(NamedTuple):
    """The first step that no entry of the table explains."""

    at: int
    step: Step
    text: str


class Replay:
    """What replays have come to: `requests` and `events` compared, `answers` and `explained` by kind."""

    def __init__(self, xen: str) -> None:
        self.xen = xen
        self.requests = 0
        self.events = 0
        self.answers: Counter[tuple[int, str]] = Counter()
        self.explained: Counter[str] = Counter()
        self._memory = False

    def run(
        self, theirs: Player, ours: OurPlayer, steps: Iterable[Step], profile: Profile
    ) -> Mismatch | None:
        """Play `steps` on both until they end or differ."""
        self._memory = profile.exact_memory
        tainted: set[tuple[str, int]] = set()
        for at, step in enumerate(steps):
            if step.who and step.who not in ours.wires:
                continue  # a guest that was not introduced, because a step was left out
            answers = []
            for player in (theirs, ours):
                try:
                    answers.append(player.play(step))
                except AssertionError as exc:
                    return Mismatch(at, step, str(exc))
            mismatch = self._compare(step, answers[0], answers[1], tainted)
            if mismatch:
                return Mismatch(at, step, mismatch)
        faults = check_tree(ours.server)
        return Mismatch(-1, Step(), f"our tree: {faults}") if faults else None

    def _compare(self, step: Step, theirs: Outcome, ours: Outcome, tainted: set[tuple[str, int]]) -> str:
        for request, their, our in zip(step.requests, theirs.replies, ours.replies, strict=True):
            self.requests += 1
            word = their[2].decode("ascii", "replace") if their[0] == xs.XS_ERROR else ""
            self.answers[request.kind, word] += 1
            view = step.who, request.slot
            if view in tainted:
                if request.kind != xs.XS_TRANSACTION_END:
                    continue
                if request.payload == b"T\0" and xs.XS_TRANSACTION_END in (their[0], our[0]):
                    return f"{request} commits a transaction that is at odds"
                continue
            differs = comparable(request, their, memory=self._memory) != comparable(
                request, our, memory=self._memory
            )
            if differs or word == "EIO\0":
                difference = self._explain(Case(self.xen, step, request, their, our))
                if difference is None and differs:
                    return f"{request} is answered\n  by C xenstored: {their}\n  by our server:  {our}"
                if difference is not None and difference.taints:
                    tainted.add(view)
        their_events, our_events = events_of(step, theirs), events_of(step, ours)
        self.events += sum(map(len, their_events.values()))
        if their_events != our_events:
            return f"events\n  of C xenstored: {their_events}\n  of our server:  {our_events}"
        return ""

    def _explain(self, case: Case) -> Difference | None:
        """The difference that it is; None if the table has no such case."""
        for difference in DIFFERENCES:
            if case.xen in difference.releases and difference.matches(case):
                self.explained[difference.name] += 1
                return difference
        return None


def shorten(steps: list[Step], fails: Callable[[list[Step]], bool], seconds: float = 30.0) -> list[Step]:
    """As few of `steps` as still fail, found by leaving parts out, for about so long."""
    end = time.monotonic() + seconds
    size = len(steps) // 2
    while size and time.monotonic() < end:
        at = 0
        while at < len(steps) and time.monotonic() < end:
            without = steps[:at] + steps[at + size :]
            if without and fails(without):
                steps = without
            else:
                at += size
        size //= 2
    for at, step in enumerate(steps):
        for request in step.requests:
            left = tuple(other for other in steps[at].requests if other is not request)
            fewer = [*steps[:at], steps[at]._replace(requests=left), *steps[at + 1 :]]
            if left and time.monotonic() < end and fails(fewer):
                steps = fewer
    return steps


def play(
    xen: str, start: Callable[[], Player], profile: Profile, steps: list[Step], totals: Replay | None = None
) -> Mismatch | None:
    """Play `steps` on a new daemon of theirs and a new server of ours."""
    with closing(start()) as theirs, closing(OurPlayer(xen)) as ours:
        return (totals or Replay(xen)).run(theirs, ours, steps, profile)
