"""The differences that random steps keep away from are there, and are what the table says."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.store.replay.known import KNOWN, Known
from tests.store.replay.players import OurPlayer
from tests.store.replay.xenstored import Xenstored


@pytest.mark.lab
@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_known_difference(known: Known, xenstored: Xenstored) -> None:
    with closing(xenstored.start()) as theirs, closing(OurPlayer(xenstored.xen)) as ours:
        for step in known.steps:
            assert theirs.play(step) == ours.play(step)
        differs = xenstored.xen in known.releases
        for player, expected in ((theirs, known.theirs if differs else known.ours), (ours, known.ours)):
            player.play(known.then)
            ((kind, _, payload),) = player.play(known.asked).replies
            assert (kind, payload) == expected, known.reason
