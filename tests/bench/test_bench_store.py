"""The measuring tool measures: against our own server in both places, and on a table's bars."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.bench.__main__ import STORE_BARS, store_table
from tests.bench.store import Bench, Daemon, Steps, all_requests
from xentool.abi import xs_wire
from xentool.store.codec import encode
from xentool.store.serve import SocketServer
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with SocketServer(str(tmp_path / "socket"), Server()) as sockets:
        thread = threading.Thread(target=sockets.run)
        thread.start()
        daemons = [Daemon(name, sockets.path, os.getpid()) for name in ("theirs", "ours")]
        try:
            yield Bench(daemons[0], daemons[1], runs=1, seconds=0.001)
        finally:
            for daemon in daemons:
                daemon.close()
            assert list(sockets.server.tree.nodes) == [b"/", b"/tool", b"/tool/xenstored"]
            sockets.stop()
            thread.join(10)


def test_every_request_is_measured_everywhere(bench: Bench) -> None:
    bench.everything(watches=10, domains=3)
    names = [requests.name for requests in all_requests()]
    assert list(bench.rows) == [
        f"{name}{around}" for around in ("", "; 10 watches", "; 3 domains") for name in names
    ]
    for daemons in bench.rows.values():
        for figures in daemons.values():
            assert figures["min"] <= figures["median"] <= figures["max"]
            assert figures["median"] > 0 < figures["cpu_us"]
    assert STORE_BARS.keys() < set(names)


def test_a_request_that_is_refused_is_not_measured(bench: Bench) -> None:
    missing = Steps("read nothing", encode(xs_wire.XS_READ, 1, 0, b"/none\0"))
    with pytest.raises(ValueError, match="ENOENT"):
        missing.once(bench.daemons[0].socket)


def test_the_table_names_what_misses_its_bar() -> None:
    def row(theirs: float, ours: float) -> dict[str, dict[str, float]]:
        return {name: {"median": rate, "cpu_us": 1.0} for name, rate in (("theirs", theirs), ("ours", ours))}

    text, missed = store_table(
        {
            "read": row(100, 50),
            "write; 1,000 watches": row(100, 49),
            "16 reads in one go": row(100, 99),
            "transaction of 40 writes, one by one": row(100, 1),
        }
    )
    assert missed == ["write; 1,000 watches", "16 reads in one go"]
    assert len(text.splitlines()) == 5
