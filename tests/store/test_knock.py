"""Whether a daemon answers, asked without a client."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.store.test_client_daemon import Daemon
from xentool.errors import HostError, StoreGoneError, TimedOutError
from xentool.store.knock import ensure_answering

if TYPE_CHECKING:
    from pathlib import Path


def test_a_daemon_that_answers_and_one_that_is_stopped_or_dead(tmp_path: Path) -> None:
    daemon = Daemon(str(tmp_path / "socket"))
    try:
        ensure_answering(daemon.path)
        daemon.freeze()
        with pytest.raises(TimedOutError, match=r"did not answer within 0\.1 s"):
            ensure_answering(daemon.path, 0.1)
        os.kill(daemon.process.pid, signal.SIGCONT)
    finally:
        daemon.kill()
    with pytest.raises(StoreGoneError):
        ensure_answering(daemon.path)


def test_a_daemon_that_hangs_up(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def hang_up() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(99)

        daemon = threading.Thread(target=hang_up)
        daemon.start()
        try:
            with pytest.raises(StoreGoneError, match="the connection was closed"):
                ensure_answering(path, 60)
        finally:
            daemon.join(60)


def test_no_store_at_all(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no such socket"):
        ensure_answering(str(tmp_path / "nothing"))
