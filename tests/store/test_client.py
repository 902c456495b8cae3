"""The client when things go wrong: daemons that go, hang, lie; interruptions; forks; the kernel's device."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from xentool.abi import xs_wire
from xentool.errors import HostError, StoppedError, StoreError, StoreGoneError, TimedOutError
from xentool.store import codec
from xentool.store.client import StoreClient
from xentool.store.transport import DeviceTransport, open_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OK = b"OK\0"


class Daemon:
    """A daemon that does with each client's requests what the test says."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        self.threads: list[threading.Thread] = []

    def serve(self, answer: Callable[[socket.socket, codec.Message], None], clients: int = 1) -> None:
        def one() -> None:
            for _ in range(clients):
                sock, _ = self.listener.accept()
                with sock:
                    decoder = codec.Decoder()
                    while data := sock.recv(4096):
                        for message in decoder.feed(data):
                            answer(sock, message)

        thread = threading.Thread(target=one, daemon=True)
        thread.start()
        self.threads.append(thread)

    def close(self) -> None:
        for thread in self.threads:
            thread.join(5)
            assert not thread.is_alive()
        self.listener.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(str(tmp_path / "socket"))
    yield daemon
    daemon.close()


def reply(sock: socket.socket, message: codec.Message, payload: bytes = OK) -> None:
    sock.sendall(codec.encode(message[0], message[1], message[2], payload))


def hang_up(sock: socket.socket, message: codec.Message) -> None:
    sock.shutdown(socket.SHUT_RDWR)


class TestGone:
    def test_no_daemon_anywhere_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(HostError, match="there is no such socket or device"):
            StoreClient(str(tmp_path / "none"))

    def test_a_dead_daemons_socket_says_so(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        with pytest.raises(StoreGoneError, match="no daemon answers") as caught:
            StoreClient(path)
        assert "start xenstored" in caught.value.hint

    def test_the_environment_says_where(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        daemon.serve(reply)
        monkeypatch.setenv("XENSTORED_PATH", daemon.path)
        with StoreClient() as client:
            assert client.where == daemon.path
            assert client.read("/") == OK

    def test_hanging_up_is_an_error_that_says_what_was_asked(self, daemon: Daemon) -> None:
        daemon.serve(hang_up)
        with StoreClient(daemon.path) as client:
            with pytest.raises(StoreGoneError, match=r"^read /a: the daemon closed the connection \("):
                client.read("/a")
            with pytest.raises(StoreGoneError, match=r"^write /b: the daemon closed the connection"):
                client.write("/b", "1")
            with pytest.raises(StoreGoneError, match="wait for a watch event"):
                client.next_event(1)

    def test_hanging_up_while_a_watch_waits_ends_the_wait(self, daemon: Daemon) -> None:
        def answer(sock: socket.socket, message: codec.Message) -> None:
            reply(sock, message)
            hang_up(sock, message)

        daemon.serve(answer)
        with StoreClient(daemon.path) as client:
            watch = client.watch("/a")
            with pytest.raises(StoreGoneError, match="wait for a watch event"):
                watch.next(10)

    def test_silence_is_an_error_after_the_timeout(self, daemon: Daemon) -> None:
        daemon.serve(lambda _sock, _message: None)
        with StoreClient(daemon.path, timeout_seconds=0.1) as client:
            begun = time.monotonic()
            with pytest.raises(
                TimedOutError, match=r"read /a: the XenStore daemon did not answer within 0.1 s"
            ):
                client.read("/a")
            assert 0.1 <= time.monotonic() - begun < 5
            with pytest.raises(StoreGoneError, match="an earlier request was not answered"):
                client.read("/b")

    def test_a_daemon_that_takes_nothing_is_an_error_too(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            with (
                StoreClient(path, timeout_seconds=0.1) as client,
                pytest.raises(StoreError, match="took nothing"),
            ):
                client.read_many(["/a"] * 100_000)

    def test_replies_that_do_not_fit_are_not_believed(self, daemon: Daemon) -> None:
        daemon.serve(lambda sock, message: reply(sock, (message[0], message[1] + 1, 0, b"")))
        with StoreClient(daemon.path) as client, pytest.raises(StoreGoneError, match="do not fit"):
            client.read("/a")

    def test_a_frame_that_is_too_long_is_not_believed(self, daemon: Daemon) -> None:
        daemon.serve(lambda sock, message: sock.sendall(codec.HEADER.pack(2, message[1], 0, 5_000_000)))
        with (
            StoreClient(daemon.path) as client,
            pytest.raises(StoreGoneError, match="announces 5,000,000 bytes"),
        ):
            client.read("/a")

    def test_a_listing_longer_than_the_protocol_has_it_is_taken(self, daemon: Daemon) -> None:
        names = [f"n{at:04}" for at in range(2000)]
        listing = "".join(name + "\0" for name in names).encode()

        def answer(sock: socket.socket, message: codec.Message) -> None:
            sock.sendall(codec.HEADER.pack(*message[:3], len(listing)) + listing)

        daemon.serve(answer)
        with StoreClient(daemon.path) as client:
            assert client.directory("/a") == names

    def test_a_daemon_that_answers_before_it_reads_on_does_not_lock_up(self, daemon: Daemon) -> None:
        daemon.serve(lambda sock, message: reply(sock, message, b"x" * 400))
        with StoreClient(daemon.path, timeout_seconds=10) as client:
            assert client.read_many(["/" + "y" * 60] * 9000) == [b"x" * 400] * 9000

    def test_a_listing_that_changes_between_its_parts_is_begun_again(self, daemon: Daemon) -> None:
        parts = iter([b"1\0old\0", b"2\0", b"2\0a\0b\0", b"2\0c\0\0"])
        offsets: list[bytes] = []

        def answer(sock: socket.socket, message: codec.Message) -> None:
            if message[0] == xs_wire.XS_DIRECTORY:
                reply(sock, (xs_wire.XS_ERROR, *message[1:]), b"E2BIG\0")
            else:
                offsets.append(message[3].split(b"\0")[1])
                reply(sock, message, next(parts))

        daemon.serve(answer)
        with StoreClient(daemon.path) as client:
            assert client.directory("/a") == ["a", "b", "c"]
        assert offsets == [b"0", b"4", b"0", b"4"]

    def test_a_large_listing_that_goes_before_it_is_read_is_not_there(self, daemon: Daemon) -> None:
        errors = iter([b"E2BIG\0", b"ENOENT\0"])
        daemon.serve(lambda sock, message: reply(sock, (xs_wire.XS_ERROR, *message[1:]), next(errors)))
        with StoreClient(daemon.path) as client:
            assert client.directories(["/a"]) == [None]

    def test_after_close_nothing_is_asked(self, daemon: Daemon) -> None:
        daemon.serve(reply)
        client = StoreClient(daemon.path)
        client.close()
        client.close()
        with pytest.raises(StoreGoneError, match="the connection was closed"):
            client.read("/a")


class TestInterruption:
    def test_after_an_interruption_the_next_request_has_a_new_connection(self, daemon: Daemon) -> None:
        seen: list[bytes] = []

        def answer(sock: socket.socket, message: codec.Message) -> None:
            seen.append(message[3])
            if message[3] == b"/interrupted\0":
                os.kill(os.getpid(), signal.SIGUSR1)
            else:
                reply(sock, message, message[3])

        def stop(_number: int, _frame: object) -> None:
            raise StoppedError("read", "", "stopped")

        daemon.serve(answer, clients=2)
        before = signal.signal(signal.SIGUSR1, stop)
        try:
            with StoreClient(daemon.path) as client:
                watch = client.watch("/w")
                with pytest.raises(StoppedError):
                    client.read("/interrupted")
                assert client.read("/undo") == b"/undo\0"
                with pytest.raises(StoreGoneError, match="was interrupted"):
                    watch.next(0)
                watch.unwatch()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert seen[-1] == b"/undo\0"

    def test_a_fork_does_not_share_the_connection(self, daemon: Daemon) -> None:
        daemon.serve(reply)
        with StoreClient(daemon.path) as client:
            client._pid += 1  # as a child sees it
            with pytest.raises(StoreGoneError, match="belongs to the process that opened it"):
                client.read("/a")
            client._pid -= 1
            assert client.read("/a") == OK


class TestEvents:
    def test_events_between_replies_find_their_watches(self, daemon: Daemon) -> None:
        def answer(sock: socket.socket, message: codec.Message) -> None:
            for token in (b"one", b"two", b"one"):
                sock.sendall(codec.encode(xs_wire.XS_WATCH_EVENT, 0, 0, b"/p\0" + token + b"\0"))
            reply(sock, message)

        daemon.serve(answer)
        with StoreClient(daemon.path) as client:
            client.read("/a")
            assert client.has_events()
            tokens = [client.next_event(0, "two"), client.next_event(0), client.next_event(0)]
            assert [event.token for event in tokens if event] == ["two", "one", "one"]
            assert client.next_event(0) is None
            begun = time.monotonic()
            assert client.next_event(0.1) is None
            assert time.monotonic() - begun >= 0.09


class TestDevice:
    """The driver's rules: one message per write; replies as they come, also in part."""

    class Driver:
        def __init__(self) -> None:
            self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def run(self, count: int) -> None:
            for at in range(count):
                frame = self.ours.recv(8192)
                kind, req_id, tx_id, length = codec.HEADER.unpack_from(frame)
                assert len(frame) == 16 + length, "one write is one message"
                answer = codec.encode(kind, req_id, tx_id, b"%d" % at)
                self.ours.send(answer[:16])
                self.ours.send(answer[16:])

    def test_each_message_is_a_write_of_its_own(self) -> None:
        driver = self.Driver()
        thread = threading.Thread(target=driver.run, args=(20,))
        thread.start()
        transport = DeviceTransport("/dev/null")
        os.close(transport._descriptor)
        transport._descriptor = driver.theirs.detach()
        with StoreClient(transport=transport, timeout_seconds=5) as client:
            assert client.read_many(["/a"] * 20) == [b"%d" % at for at in range(20)]
            assert client.next_event(0.01) is None
        thread.join(5)
        driver.ours.close()

    def test_a_device_that_fails_while_a_watch_waits_is_a_daemon_that_is_gone(self) -> None:
        transport = DeviceTransport("/dev/null")
        os.close(transport._descriptor)
        transport._descriptor = os.open("/proc/self/mem", os.O_RDONLY)  # polls readable; reading is EIO
        with (
            StoreClient(transport=transport, timeout_seconds=5) as client,
            pytest.raises(StoreGoneError, match="Input/output error"),
        ):
            client.next_event(5)

    def test_an_ordinary_file_is_no_device_and_is_never_written_to(self, tmp_path: Path) -> None:
        file = tmp_path / "passwd"
        file.write_bytes(b"root:x:0:0")
        for path in (file, tmp_path):
            with pytest.raises(HostError, match="neither a socket nor a device"):
                StoreClient(str(path))
        assert file.read_bytes() == b"root:x:0:0"

    def test_a_path_that_is_no_socket_is_a_device(self) -> None:
        transport = open_transport("/dev/null")
        assert isinstance(transport, DeviceTransport)
        assert transport.receive(0) == b""
        transport.close()
        transport.close()


_LIST_MODULES = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import xentool.store.client, _socket
print(*(set(sys.modules) - before))
"""


def test_the_client_is_cheap_to_import() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _LIST_MODULES, os.getcwd()], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "xentool.store.client" in loaded
    heavy = {"typing", "dataclasses", "enum", "re", "json", "socket", "selectors", "subprocess", "logging"}
    assert not loaded & (heavy | {"collections", "functools", "contextlib", "xentool.store.server"})
