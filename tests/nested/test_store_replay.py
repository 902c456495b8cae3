"""The replay of tests/store/replay on the daemon that serves this host: on its socket, beside all others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.nested.dom0 import Dom0
from tests.store.replay.players import OurPlayer, SocketPlayer
from tests.store.replay.profiles import PROFILES, Profile
from tests.store.replay.replay import Replay
from tests.store.replay.steps import Generator, Request, Step
from xentool.abi import xs_wire as xs
from xentool.store.client import StoreClient

pytestmark = pytest.mark.once

SOCKET = "/run/xenstored/socket"
REQUESTS = 20_000 if os.environ.get("XENTOOL_THOROUGH") else 5_000


@pytest.fixture
def top() -> Iterator[str]:
    path = f"/tool/xentool-replay-{os.getpid()}"
    yield path
    with StoreClient(SOCKET) as store:
        store.rm(path)


def test_the_same_answers_and_events(dom0: Dom0, top: str) -> None:
    xen = dom0.xen_version
    totals = Replay(xen)
    for number, likes in enumerate(PROFILES):
        # Sockets only, and all in one place. Pipelined, because a turn to the daemon and back is slow here.
        profile = Profile(
            likes.name,
            names=likes.names,
            weights=likes.weights,
            domids=(),
            burst=0.8,
            top=f"{top}/{number}".encode(),
        )
        with closing(SocketPlayer(SOCKET)) as theirs, closing(OurPlayer(xen)) as ours:
            made = Step("s0", (Request(xs.XS_MKDIR, profile.top + b"\0"),))
            steps = Generator(profile, likes.name, xen).steps(REQUESTS // len(PROFILES) + 1)
            mismatch = totals.run(theirs, ours, [made, *steps], profile)
        assert mismatch is None, f"{likes.name!r}, step {mismatch.at} {mismatch.step}: {mismatch.text}"
    assert totals.requests >= REQUESTS
    assert totals.events > REQUESTS // 50
