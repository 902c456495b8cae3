"""Two hostile guests and a hostile client: the store neither breaks, nor grows, nor forgets dom0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.hostile import Siege, resident_bytes
from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec, limits
from xentool.store.connection import TURN_REQUESTS
from xentool.store.consistency import check_tree

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from xentool.store.connection import Connection

MALFORMED_BYTES = 10_000_000


def test_ten_million_bytes_of_nonsense_neither_break_nor_grow_it(tmp_path: Path) -> None:
    with Siege(tmp_path) as siege:
        quota = siege.server.quota
        before = resident_bytes()
        most = dict.fromkeys(("nodes", "watches", "transactions", "outstanding", "memory"), 0)

        def turn() -> None:
            siege.turn()
            for guest in siege.guests:
                domain = siege.server.domains.find(guest.domid)
                assert domain is not None
                for name in most:
                    most[name] = max(most[name], domain.used(name))

        for guest in siege.guests:
            guest.take_it_all()
        while any(guest.left_bytes > 5000 for guest in siege.guests) and siege.turns < 10_000:
            turn()
        # They got all of it, and no more than xenstored gives.
        assert most["nodes"] == quota.nodes
        assert most["watches"] == quota.watches + 1
        assert most["transactions"] == quota.transactions + 1
        assert 0.99 * quota.memory < most["memory"] < quota.memory + 20_000
        while siege.malformed_bytes < MALFORMED_BYTES:
            turn()
        assert most["nodes"] == quota.nodes
        assert most["outstanding"] <= quota.outstanding
        assert most["memory"] < quota.memory + 20_000, (
            "copies for reading are not refused, only what follows is"
        )
        assert resident_bytes() - before < 10 * quota.memory * len(siege.guests)
        assert check_tree(siege.server) == []
        assert all(guest.lives > 3 for guest in siege.guests)
        for guest in siege.guests:
            siege.dom0.release(guest.domid)
        assert siege.dom0.directory("/local/domain") == ["0"]
        for guest in siege.guests:
            guest.begin_anew(siege.dom0)


def test_dom0_waits_for_a_few_of_their_requests_at_most(tmp_path: Path) -> None:
    """What is between dom0's request and its answer is a turn of each, whatever they have sent."""
    with Siege(tmp_path, seed=7) as siege:
        for _ in range(50):
            siege.turn()
        carried_out: list[int] = []

        def observe(connection: Connection, _message: codec.Message) -> None:
            carried_out.append(connection.domid)

        siege.server.observe(observe)
        with connected(siege) as dom0:
            siege.serve()
            for at in range(200):
                dom0.send(codec.encode(xs_wire.XS_READ, at, 0, b"/tool\0"))
                carried_out.clear()
                siege.turn()
                assert codec.Decoder().feed(dom0.recv(4096)) == [(xs_wire.XS_READ, at, 0, b"")]
                # Each guest is heard once when it notifies and once in its turn.
                for guest in siege.guests:
                    assert carried_out.count(guest.domid) <= 3 * TURN_REQUESTS
        siege.server.observe(None)


def connected(siege: Siege) -> socket.socket:
    import socket

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(siege.path)
    sock.settimeout(10)
    return sock


def test_a_mock_hosts_store_is_that_of_its_release(tmp_path: Path) -> None:
    for release, features in (("4.17", None), ("4.21", 2)):
        folder = tmp_path / release
        folder.mkdir()
        with Siege(folder, release=release) as siege:
            assert siege.server.plays.name == release
            if features is None:
                with pytest.raises(StoreError, match="ENOSYS"):
                    limits.features(siege.dom0)
            else:
                assert limits.features(siege.dom0) == features
