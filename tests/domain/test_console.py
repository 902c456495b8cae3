"""Waiting for a new domain's console, on a store without any daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.devices.world import GUEST, World
from xentool.domain.console import tty_path, wait_for_tty
from xentool.errors import TimedOutError
from xentool.store.watching import Watch
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.domain.host import Host

DOMID = DomId(GUEST)


def test_a_terminal_that_came_while_nobody_was_let_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def stand_still(_watch: Watch, _seconds: float) -> Iterator[object]:
        """The time is over, without an event, before xenconsoled had any of it."""
        world.admin.write(tty_path(DOMID), "/dev/pts/3")
        return iter(())

    monkeypatch.setattr(Watch, "events", stand_still)
    assert wait_for_tty(cast("Host", world), DOMID) == "/dev/pts/3"


def test_without_xenconsoled() -> None:
    with pytest.raises(TimedOutError, match="opened no terminal within 0 s"):
        wait_for_tty(cast("Host", World()), DOMID, 0)
