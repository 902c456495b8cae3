"""The agent's commands, run here, with a socket for the virtio port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from xentool.lab.frames import ERRORS, EXIT, INPUT, OUTPUT, READY, REQUEST, SIZE, FrameReader, encode

# The agent as dom0 runs it, but for the port and the host's facts: those need dom0.
AGENT = """
import sys
from xentool.lab import agent
agent.open_port = lambda: int(sys.argv[1])
agent.facts = lambda: {"xen": "none"}
sys.exit(agent.main())
"""


class Wire:
    """The lab's side of an agent."""

    def __init__(self, port: socket.socket) -> None:
        self.port = port
        self.port.settimeout(90)
        self._reader = FrameReader()
        self._frames: list[tuple[bytes, bytes]] = []

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        self.port.sendall(encode(kind, payload))

    def request(self, *command: str, more: bytes = b"", **keys: Any) -> None:
        request = {"command": command, "environment": {}, "folder": "/", "shares": [], **keys}
        self.port.sendall(encode(REQUEST, json.dumps(request).encode()) + more)

    def next(self) -> tuple[bytes, bytes]:
        while not self._frames:
            data = self.port.recv(1 << 16)
            assert data, "the agent went away"
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def finish(self) -> tuple[dict[str, Any], bytes, bytes]:
        """How the command ended, and all it said."""
        said = {OUTPUT: b"", ERRORS: b""}
        while True:
            kind, payload = self.next()
            if kind == EXIT:
                return json.loads(payload), said[OUTPUT], said[ERRORS]
            said[kind] += payload


@pytest.fixture
def wire() -> Iterator[Wire]:
    ours, its = socket.socketpair()
    with ours, its:
        agent = subprocess.Popen([sys.executable, "-c", AGENT, str(its.fileno())], pass_fds=[its.fileno()])
        its.close()
        try:
            wire = Wire(ours)
            assert wire.next() == (READY, b'{"xen": "none"}')
            yield wire
        finally:
            ours.close()
            assert agent.wait(90) == 1


def test_output_errors_and_exit_code_are_kept_apart(wire: Wire) -> None:
    wire.request("sh", "-c", "echo out; echo err >&2; exit 7")
    end, output, errors = wire.finish()
    assert (end["code"], output, errors) == (7, b"out\n", b"err\n")
    assert end["seconds"] >= 0


def test_a_signal_is_128_more(wire: Wire) -> None:
    wire.request("sh", "-c", "kill -TERM $$")
    assert wire.finish()[0]["code"] == 128 + 15


@pytest.mark.parametrize(
    ("command", "folder", "code", "words"),
    [
        ("/no/such", "/", 127, b"/no/such"),
        ("/etc/passwd", "/", 126, b"/etc/passwd"),
        ("true", "/no", 127, b"/no:"),
    ],
)
def test_what_cannot_be_run(wire: Wire, command: str, folder: str, code: int, words: bytes) -> None:
    wire.request(command, folder=folder)
    end, _, errors = wire.finish()
    assert end["code"] == code
    assert words in errors


def test_one_command_after_another_in_environment_and_folder(wire: Wire) -> None:
    for word in ("one", "two"):
        wire.request("sh", "-c", "echo $WORD $PWD", environment={"WORD": word}, folder="/usr")
        assert wire.finish()[1] == f"{word} /usr\n".encode()


def test_input_that_comes_with_the_request(wire: Wire) -> None:
    wire.request("cat", more=encode(INPUT, b"hello") + encode(INPUT, b""))
    assert wire.finish()[1] == b"hello"


def test_much_goes_both_ways_at_once(wire: Wire) -> None:
    data = os.urandom(100_000)
    wire.request("cat")
    for start in range(0, len(data), 50_000):
        wire.send(INPUT, data[start : start + 50_000])
    wire.send(INPUT)
    end, output, _ = wire.finish()
    assert (end["code"], output) == (0, data)


def test_input_that_nobody_reads_is_dropped(wire: Wire) -> None:
    wire.request("sh", "-c", "exec <&-; echo closed; sleep 0.2; exit 3")
    assert wire.next() == (OUTPUT, b"closed\n")
    wire.send(INPUT, b"x" * 100)
    assert wire.finish()[0]["code"] == 3


def test_output_that_ends_early_is_no_end(wire: Wire) -> None:
    wire.request("sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 4")
    assert wire.finish()[0]["code"] == 4


def test_a_daemon_that_keeps_the_pipes_does_not_keep_the_command(wire: Wire) -> None:
    wire.request("sh", "-c", "sleep 600 & echo $!")
    end, output, _ = wire.finish()
    os.kill(int(output), 9)
    assert end["code"] == 0
    assert end["seconds"] < 300


def test_a_terminal_has_a_size_and_echoes(wire: Wire) -> None:
    wire.request("sh", "-c", "stty size; read line; stty size; tty", terminal=True, size=[30, 90])
    said = b""
    while said != b"30 90\r\n":  # a terminal may give a line in parts
        kind, part = wire.next()
        said += part
        assert kind == OUTPUT
        assert b"30 90\r\n".startswith(said)
    wire.send(SIZE, b"[31, 91]")
    wire.send(INPUT, b"go\r")
    end, output, _ = wire.finish()
    assert end["code"] == 0
    assert output.startswith(b"go\r\n31 91\r\n/dev/pts/")


def test_a_share_that_cannot_be_mounted(wire: Wire, tmp_path: Any) -> None:
    wire.request("true", shares=[["no-such-tag", str(tmp_path / "x"), "ro"]])
    end, _, _ = wire.finish()
    assert f"cannot mount {tmp_path}/x" in end["failure"]
