"""A client, and a daemon that is killed, stopped, and comes back: an error that says so, never a hang."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.store.world import World
from xentool.errors import StoreError, StoreGoneError, TimedOutError
from xentool.store.client import StoreClient
from xentool.store.limits import features, quota, quota_names, set_features, set_quota

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SERVE = """
import sys
sys.path.insert(0, sys.argv[2])
from xentool.store.serve import SocketServer
from xentool.store.server import Server
with SocketServer(sys.argv[1], Server()) as sockets:
    print("ready", flush=True)
    sockets.run()
"""


class Daemon:
    """A daemon in a process of its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _SERVE, self.path, os.getcwd()], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(str(tmp_path / "socket"))
    yield daemon
    if daemon.process.returncode is None:
        daemon.kill()


def killed_while(daemon: Daemon, waits: threading.Event) -> threading.Thread:
    """Kills the daemon once the client has begun to wait."""

    def run() -> None:
        waits.wait(10)
        daemon.kill()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


class _Telling:
    """A transport that says when its client begins to wait for an answer."""

    def __init__(self, client: StoreClient, waits: threading.Event) -> None:
        self._inner = client._transport
        self._waits = waits

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def receive(self, timeout_seconds: float | None) -> bytes | None:
        self._waits.set()
        return self._inner.receive(timeout_seconds)


def test_killed_in_the_middle_of_a_request(daemon: Daemon) -> None:
    with StoreClient(daemon.path, timeout_seconds=30) as client:
        client.write("/a", "1")
        daemon.freeze()
        waits = threading.Event()
        client._transport = _Telling(client, waits)  # type: ignore[assignment]
        thread = killed_while(daemon, waits)
        with pytest.raises(StoreGoneError, match=r"^read /a: the daemon closed the connection") as caught:
            client.read("/a")
        assert "Open a new connection" in caught.value.hint
        with pytest.raises(StoreGoneError, match="the daemon closed the connection"):
            client.write("/b", "1")
        thread.join()


def test_killed_in_the_middle_of_a_transaction(daemon: Daemon) -> None:
    with StoreClient(daemon.path) as client:
        tx = client.transaction()
        tx.write("/a", "1")
        daemon.kill()
        with pytest.raises(StoreGoneError):
            tx.commit()
        with pytest.raises(StoreGoneError):
            client.run_transaction(lambda tx: tx.read("/a"))


def test_killed_between_two_requests_of_a_transaction(daemon: Daemon) -> None:
    def work(client: StoreClient) -> None:
        with client.transaction() as tx:
            tx.write("/a", "1")
            daemon.kill()
            tx.write("/b", "1")

    with StoreClient(daemon.path) as client, pytest.raises(StoreGoneError, match=r"^write /b: "):
        work(client)


def test_killed_while_a_watch_waits(daemon: Daemon) -> None:
    with StoreClient(daemon.path) as client:
        watch = client.watch("/a")
        assert watch.next(5) is not None
        waits = threading.Event()
        client._transport = _Telling(client, waits)  # type: ignore[assignment]
        thread = killed_while(daemon, waits)
        with pytest.raises(StoreGoneError, match="wait for a watch event: the daemon closed the connection"):
            for _ in watch:
                pass
        thread.join()
        with pytest.raises(StoreGoneError):
            watch.unwatch()


def test_that_comes_back_is_a_new_connection(daemon: Daemon) -> None:
    with StoreClient(daemon.path) as client:
        daemon.kill()
        with pytest.raises(StoreGoneError, match="no daemon answers"):
            StoreClient(daemon.path)
        daemon.start()
        # What the old connection had set is lost, and it says so instead of beginning anew.
        with pytest.raises(StoreGoneError):
            client.read("/")
        with StoreClient(daemon.path) as again:
            assert again.directory("/") == ["tool"]


def test_that_is_stopped_is_an_error_after_the_time_out(daemon: Daemon) -> None:
    with StoreClient(daemon.path, timeout_seconds=0.05) as client:
        daemon.freeze()
        with pytest.raises(TimedOutError, match=r"did not answer within 0\.05 s"):
            client.read("/")


def test_that_takes_no_more_connections_is_one_too(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    waiting: list[StoreClient] = []

    def knock() -> None:
        for _ in range(5):
            waiting.append(StoreClient(path, timeout_seconds=0.05))  # noqa: PERF401 - the ones before count

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        try:
            with pytest.raises(
                TimedOutError, match=r"open XenStore .*: the daemon took no connection within 0.05 s"
            ):
                knock()
        finally:
            for client in waiting:
                client.close()
    assert 1 <= len(waiting) < 5


class TestThreads:
    def test_each_with_a_client_of_its_own(self, daemon: Daemon) -> None:
        wrong: list[str] = []

        def work(number: int) -> None:
            with StoreClient(daemon.path) as client:
                for at in range(50):
                    client.write(f"/t{number}", f"{number}.{at}")
                    if client.read_text(f"/t{number}") != f"{number}.{at}":
                        wrong.append(f"{number}.{at}")
                    client.run_transaction(
                        lambda tx: tx.write("/count", str(int(tx.read_text("/count") or "0") + 1))
                    )

        with StoreClient(daemon.path) as client:
            client.write("/count", "0")
            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []
            assert client.read("/count") == b"200"

    def test_two_on_one_client_are_refused_while_one_waits(self, daemon: Daemon) -> None:
        with StoreClient(daemon.path) as client:
            watch = client.watch("/a")
            assert watch.next(5) is not None
            waits = threading.Event()
            client._transport = _Telling(client, waits)  # type: ignore[assignment]
            seen: list[object] = []
            thread = threading.Thread(target=lambda: seen.append(watch.next(30)))
            thread.start()
            assert waits.wait(10)
            for call in (
                lambda: client.read("/a"),
                lambda: client.next_event(0),
                lambda: client.write("/a", ""),
            ):
                with pytest.raises(StoreError, match="another thread is using this connection") as caught:
                    call()
                assert caught.value.errno_name == "EBUSY"
                assert "give each its own" in caught.value.hint
            with StoreClient(daemon.path) as other:
                other.write("/a", "1")
            thread.join(10)
            assert str(seen) == f"[WatchEvent('/a', {watch.token!r})]"
            # One after the other is fine.
            assert client.read("/a") == b"1"

    def test_two_on_one_client_never_get_each_others_replies(self, daemon: Daemon) -> None:
        def work(client: StoreClient, number: int) -> None:
            for _ in range(300):
                try:
                    assert client.read(f"/n{number}") == b"%d" % number
                except StoreError as error:
                    assert error.errno_name == "EBUSY"  # noqa: PT017 - it may happen, or not

        with StoreClient(daemon.path) as client:
            for number in range(3):
                client.write(f"/n{number}", str(number))
            failures: list[object] = []
            before, threading.excepthook = threading.excepthook, failures.append
            try:
                threads = [threading.Thread(target=work, args=(client, number)) for number in range(3)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            finally:
                threading.excepthook = before
            assert failures == []
            assert client.read("/n1") == b"1"


class TestForks:
    def test_a_child_is_refused_and_opens_its_own(self, daemon: Daemon) -> None:
        with StoreClient(daemon.path) as client:
            client.write("/a", "1")
            client.write("/child", "0")
            watch = client.watch("/a")
            tx = client.transaction()
            tx.write("/b", "1")
            child = os.fork()
            if not child:
                os._exit(self._in_child(client, watch.token, daemon.path))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            # And the parent goes on: the child's end of it did not end its connection.
            tx.commit()
            assert client.read("/child") == b"1"
            assert client.read("/b") == b"1"

    @staticmethod
    def _in_child(client: StoreClient, token: str, path: str) -> int:
        try:
            for call in (lambda: client.read("/a"), lambda: client.next_event(0, token), client.transaction):
                with pytest.raises(StoreGoneError, match="belongs to the process that opened it"):
                    call()
            with StoreClient(path) as own:
                own.write("/child", "1")
            client.close()
        except BaseException as error:  # noqa: BLE001 - nothing of the child may reach pytest
            os.write(2, repr(error).encode())
            return 1
        return 0

    def test_a_child_of_a_busy_client_is_refused_as_well(self, daemon: Daemon) -> None:
        with StoreClient(daemon.path) as client:
            client._lock.acquire()  # as a fork finds it while another thread speaks
            child = os.fork()
            if not child:
                os._exit(self._in_child(client, "t", daemon.path))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            client._lock.release()
            assert client.read("/child") == b"1"


class TestLaterReleases:
    """What daemons of 4.21 and 4.22 know, as the client asks it."""

    def test_features_and_quotas(self) -> None:
        world = World("4.22")
        guest = world.guest()
        assert features(world.dom0) == features(guest) == 14
        set_features(world.dom0, 7, 2)  # type: ignore[arg-type]
        assert features(world.dom0, 7) == 2  # type: ignore[arg-type]
        assert "soft-memory" in quota_names(world.dom0)
        set_quota(world.dom0, "nodes", 7, 5)  # type: ignore[arg-type]
        assert quota(world.dom0, "nodes", 5) == 7  # type: ignore[arg-type]
        assert quota(world.dom0, "nodes") == 1000
        with pytest.raises(StoreError, match="EACCES"):
            quota(guest, "nodes")

    def test_are_unknown_to_earlier_ones(self) -> None:
        dom0 = World("4.20").dom0
        for call in (lambda: features(dom0), lambda: quota_names(dom0), lambda: dom0.watch("/a", depth=1)):
            with pytest.raises(StoreError) as caught:
                call()
            assert caught.value.errno_name in ("ENOSYS", "EINVAL")

    def test_a_watch_with_a_depth(self) -> None:
        dom0 = World("4.22").dom0
        with dom0.watch("/a", depth=1) as watch:
            assert watch.next(0) is not None
            dom0.write("/a/b/c", "1")
            dom0.write("/a/b", "1")
            assert [event.path for event in watch.events(0)] == ["/a/b"]
        dom0.write("/a/b", "2")
        assert dom0.next_event(0) is None
