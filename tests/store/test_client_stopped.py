"""A stop at any line of the client's leaves it to who undoes: what is asked next is answered."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from xentool.abi import xs_wire
from xentool.errors import StoppedError
from xentool.store import client as client_module
from xentool.store import codec, transport
from xentool.store.client import StoreClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from _typeshed import TraceFunction

FILES = (client_module.__file__, transport.__file__)
EVENT = codec.encode(xs_wire.XS_WATCH_EVENT, 0, 0, b"/w\0token\0")


def converse(sock: socket.socket, go_on: threading.Event) -> None:
    decoder = codec.Decoder()
    while data := sock.recv(4096):
        for kind, number, tx, payload in decoder.feed(data):
            answer = codec.encode(kind, number, tx, payload)
            if kind == xs_wire.XS_WATCH:
                answer += codec.encode(xs_wire.XS_WATCH_EVENT, 0, 0, payload)
            if payload == b"/halved\0":
                sock.sendall(answer + EVENT[:20])
                go_on.wait(10)
                go_on.clear()
                answer = EVENT[20:]
            sock.sendall(answer)


@pytest.fixture
def go_on() -> threading.Event:
    """Set, it has the daemon send the rest of an event, whose first part came with the reply to /halved."""
    return threading.Event()


@pytest.fixture
def path(tmp_path: Path, go_on: threading.Event) -> Iterator[str]:
    """The socket of a daemon that answers every request with its path, and a watch with an event."""
    address = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(8)

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):  # whoever was stopped waits for no answer
                converse(sock, go_on)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield address
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def stopped_at(line: int, work: Callable[[], object]) -> bool:
    """Do `work`, but be stopped at the `line`-th line of the client's; whether it came there."""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _argument: object) -> TraceFunction | None:
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line" and next(lines) == line:
            sys.settrace(None)
            raise StoppedError("", "", "stopped")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except StoppedError:
        return True
    finally:
        sys.settrace(before)
    return False


def lines_of(work: Callable[[StoreClient], object], path: str) -> int:
    """Stop `work` at each of its lines, with a client for each, and ask more; how many lines there were."""
    for line in itertools.count():
        with StoreClient(path, timeout_seconds=10) as client:
            client.read("/before")
            stopped = stopped_at(line, lambda client=client: work(client))  # type: ignore[misc]
            assert client.read("/undo") == b"/undo\0", f"stopped at line {line}"
            if not stopped:
                return line
    raise AssertionError


def test_a_request_may_be_stopped_at_any_line(path: str) -> None:
    assert lines_of(lambda client: client.read("/a"), path) > 10


def test_so_may_a_wait_for_an_event(path: str) -> None:
    def wait(client: StoreClient) -> None:
        client.next_event(5)
        client.next_event(0.001)

    def watched(client: StoreClient) -> None:
        client.watch("/w")
        wait(client)

    assert lines_of(watched, path) > 20


def test_nor_does_it_matter_that_a_part_of_an_event_is_lost(path: str, go_on: threading.Event) -> None:
    """Else what is answered next would be taken for the rest of it."""
    for line in itertools.count():
        with StoreClient(path, timeout_seconds=10) as client:
            client.read("/halved")
            go_on.set()
            stopped = stopped_at(line, lambda client=client: client.next_event(5))  # type: ignore[misc]
            assert client.read("/undo") == b"/undo\0", f"stopped at line {line}"
            if not stopped:
                return


def test_a_time_limit_that_was_being_set_is_set_again(path: str) -> None:
    """Else the next request would wait for as long as the wait that was stopped."""

    def brief(client: StoreClient) -> None:
        client.next_event(0.001)

    for line in itertools.count():
        with StoreClient(path, timeout_seconds=10) as client:
            client.read("/before")
            stopped = stopped_at(line, lambda client=client: brief(client))  # type: ignore[misc]
            client.read("/undo")
            sock = client._transport._socket  # type: ignore[attr-defined]
            limit = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
            assert limit == transport._timeval(10), f"stopped at line {line}"
            if not stopped:
                return
