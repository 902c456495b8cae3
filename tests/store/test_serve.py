from __future__ import annotations

import os
import resource
import select
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest

from xentool.abi import xs_wire
from xentool.errors import HostError
from xentool.store import codec
from xentool.store.client import StoreClient
from xentool.store.serve import SocketServer
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[SocketServer]:
    with SocketServer(str(tmp_path / "socket"), Server()) as sockets:
        yield sockets


@pytest.fixture
def running(sockets: SocketServer) -> Iterator[SocketServer]:
    thread = threading.Thread(target=sockets.run)
    thread.start()
    yield sockets
    sockets.stop()
    thread.join(10)
    assert not thread.is_alive()


def connected(sockets: SocketServer) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(sockets.path)
    sock.settimeout(10)
    return sock


def test_the_socket_is_the_owners_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with SocketServer(path, Server()):
        status = os.stat(path)
        assert stat.S_ISSOCK(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o600
        with pytest.raises(HostError, match="another daemon answers there"):
            SocketServer(path, Server())
        assert os.listdir(tmp_path) == ["socket"]
    assert os.listdir(tmp_path) == []


def test_what_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with SocketServer(path, Server()):
        pass


def test_a_path_that_cannot_be_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file or directory"):
        SocketServer(str(tmp_path / "none" / "socket"), Server())


def test_closing_leaves_a_successors_socket_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    first = SocketServer(path, Server())
    os.unlink(path)
    with SocketServer(path, Server()):
        first.close()
        first.close()
        assert os.path.exists(path)


def test_another_loop_can_run_it(sockets: SocketServer) -> None:
    poll = select.poll()
    poll.register(sockets.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    with connected(sockets) as sock:
        assert poll.poll(1000)
        sockets.handle_ready()
        sock.sendall(codec.encode(xs_wire.XS_READ, 7, 0, b"/tool\0")[:10])
        assert poll.poll(1000)
        sockets.handle_ready()
        sock.sendall(codec.encode(xs_wire.XS_READ, 7, 0, b"/tool\0")[10:])
        assert poll.poll(1000)
        sockets.handle_ready()
        assert sock.recv(100) == codec.encode(xs_wire.XS_READ, 7, 0, b"")
        assert poll.poll(0) == []


def test_what_others_in_the_process_change_is_told_on_sockets(sockets: SocketServer) -> None:
    with connected(sockets) as sock:
        sock.sendall(codec.encode(xs_wire.XS_WATCH, 1, 0, b"/\0t\0"))
        while not sockets.server.watches._by_path:
            sockets.handle_ready(1)
        sock.recv(4096)
        local = sockets.server.connect()
        local.feed(codec.encode(xs_wire.XS_WRITE, 1, 0, b"/a\x001"))
        sockets.handle_ready()
        assert sock.recv(100) == codec.encode(xs_wire.XS_WATCH_EVENT, 0, 0, b"/a\0t\0")


def test_a_client_that_lies_about_a_length_is_hung_up_on(running: SocketServer) -> None:
    with connected(running) as bad, StoreClient(running.path) as good:
        bad.sendall(codec.encode(xs_wire.XS_WATCH, 1, 0, b"/\0t\0"))
        assert bad.recv(100)
        bad.sendall(codec.HEADER.pack(xs_wire.XS_READ, 1, 0, 4097))
        while bad.recv(4096):
            pass
        good.write("/a", "1")
        assert not running.server.watches._by_path


def test_a_client_that_never_reads_does_not_grow_the_server(running: SocketServer) -> None:
    with StoreClient(running.path) as good:
        good.write("/a", b"x" * 4000)
        with connected(running) as greedy:
            greedy.setblocking(False)
            request = codec.encode(xs_wire.XS_READ, 1, 0, b"/a\0") * 2000
            sent = 0
            quiet_since = time.monotonic()
            while time.monotonic() - quiet_since < 0.3:
                try:
                    sent += greedy.send(request)
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    select.select([], [greedy], [], 0.05)
            queued = max(connection.queued_bytes for connection in running.server.connections.values())
            answers = sent // len(codec.encode(xs_wire.XS_READ, 1, 0, b"/a\0")) * 4016
            assert queued < 16 << 20 < answers
            assert good.read("/a") == b"x" * 4000


def test_a_client_that_reads_late_gets_every_reply_in_order(running: SocketServer) -> None:
    with StoreClient(running.path) as good:
        good.write("/a", b"x" * 4000)
    count = 2000  # eight million bytes of replies: far beyond what sockets hold, and the server's backlog
    with connected(running) as late:
        request = b"".join(codec.encode(xs_wire.XS_READ, at, 0, b"/a\0") for at in range(count))
        sender = threading.Thread(target=late.sendall, args=(request,))
        sender.start()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if any(connection.queued_bytes for connection in list(running.server.connections.values())):
                break  # the server could not send all
        decoder = codec.Decoder()
        replies: list[codec.Message] = []
        while len(replies) < count:
            replies += decoder.feed(late.recv(1 << 16))
        sender.join(10)
        assert [reply[1] for reply in replies] == list(range(count))
        assert {reply[3] for reply in replies} == {b"x" * 4000}


def test_a_client_that_goes_takes_its_watches_and_transactions_along(running: SocketServer) -> None:
    with connected(running) as sock:
        sock.sendall(codec.encode(xs_wire.XS_WATCH, 1, 0, b"/\0t\0"))
        sock.sendall(codec.encode(xs_wire.XS_TRANSACTION_START, 1, 0, b"\0"))
        assert sock.recv(100)
    with StoreClient(running.path) as client:
        deadline = time.monotonic() + 5
        client.read("/")
        while len(running.server.connections) != 1 and time.monotonic() < deadline:
            client.read("/")
        assert len(running.server.connections) == 1
        assert not running.server.watches._by_path


def test_without_descriptors_who_comes_is_turned_away_and_nothing_spins(sockets: SocketServer) -> None:
    lines: list[str] = []
    sockets.server.log = lines.append
    coming = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
    highest = max(map(int, os.listdir("/proc/self/fd")))
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < highest:
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1, hard))
    try:
        for sock in coming:
            sock.connect(sockets.path)
        for _ in range(5):
            sockets.handle_ready()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in fillers:
            os.close(descriptor)
    assert lines == ["accept: Too many open files"] * 3
    assert not select.select([sockets], [], [], 0)[0]
    for sock in coming:
        with sock:
            sock.settimeout(10)
            assert sock.recv(1) == b""
    with connected(sockets):
        sockets.handle_ready()
        assert len(sockets.server.connections) == 1


def test_many_clients_at_once(running: SocketServer) -> None:
    clients = [StoreClient(running.path) for _ in range(60)]
    for at, client in enumerate(clients):
        client.write(f"/n{at}", "1")
    assert len(clients[0].directory("/")) == 61
    for client in clients:
        client.close()
