"""Separate processes on one mock host: what a shell script sees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from xentool.cli.mockkernel import mock_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME_LIMIT = 60


class Host:
    """A mock host of our own, in a folder whose name is short enough for sockets."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "XENTOOL_BACKEND": "mock",
            "XENTOOL_MOCK_DIR": f"{folder}/host",
            "PYTHONPATH": os.getcwd(),
        }
        with open(f"{folder}/kernel", "wb") as file:
            file.write(mock_kernel())
        with open(f"{folder}/tiny.cfg", "w", encoding="utf-8") as file:
            file.write('name = "tiny"\nkernel = "kernel"\nmemory = 8\n')

    @contextmanager
    def start(self, *argv: str, **options: object) -> Iterator[subprocess.Popen[str]]:
        pipe = subprocess.PIPE
        streams = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **options}
        with subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, "-m", "xentool", *argv],
            cwd=self.folder,
            env=self.environment,
            text=True,
            **streams,
        ) as process:
            try:
                yield process
            finally:
                process.kill()  # a test that fails does not wait for what it started

    def run(self, *argv: str, typed: str = "") -> tuple[int, str, str]:
        with self.start(*argv) as process:
            out, err = process.communicate(typed, timeout=TIME_LIMIT)
        return process.returncode, out, err

    def names(self) -> list[str]:
        return [domain["name"] for domain in json.loads(self.run("list", "--json")[1])]


@pytest.fixture
def host() -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="xt") as folder:
        host = Host(folder)
        try:
            yield host
        finally:
            host.run("mock", "stop")


def test_the_life_of_a_domain(host: Host) -> None:
    assert host.run("create", "tiny.cfg") == (0, "", "")
    assert host.run("list", "tiny")[1].splitlines()[1].split()[:4] == ["tiny", "1", "8", "1"]
    assert host.run("domid", "tiny")[1] == "1\n"
    assert host.run("pause", "tiny") == (0, "", "")
    assert "--p---" in host.run("list", "tiny")[1]
    assert host.run("unpause", "tiny") == (0, "", "")
    code, _, err = host.run("create", "tiny.cfg")
    assert (code, "has that name" in err) == (6, True)
    assert host.run("shutdown", "-w", "--timeout", "30", "tiny") == (0, "", "")
    assert host.names() == ["Domain-0"]


def test_attached_create_shows_everything_and_takes_input(host: Host) -> None:
    with host.start("create", "-c", "tiny.cfg") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "Linux version" in first
        process.stdin.write("uname\n\x1d")
        process.stdin.close()
        process.stdout.read()
        assert process.wait(TIME_LIMIT) == 0
    assert host.names() == ["Domain-0", "tiny"]


def test_a_console_ends_with_its_domain(host: Host) -> None:
    host.run("create", "tiny.cfg")
    with host.start("console", "tiny", stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        code, _, err = host.run("console", "tiny")
        assert (code, "attached already" in err) == (6, True)
        host.run("destroy", "tiny")
        process.stdout.read()
        assert process.wait(TIME_LIMIT) == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_console_and_frees_its_lock(host: Host, number: int, code: int) -> None:
    host.run("create", "tiny.cfg")
    with host.start("console", "tiny") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(number)
        assert process.wait(TIME_LIMIT) == code
        assert process.stderr is not None
        assert process.stderr.read() == f"xentool: stopped by {signal.Signals(number).name}\n"
    assert [name for name in os.listdir(f"{host.folder}/host") if "xenconsole" in name] == []


def test_a_deaf_guest_times_out(host: Host) -> None:
    host.run("create", "tiny.cfg", 'cmdline="mock.ignore-shutdown"')
    code, _, err = host.run("shutdown", "-w", "--timeout", "0.2", "tiny")
    assert code == 9
    assert "tiny" in err or "domain 1" in err
    assert host.run("destroy", "tiny")[0] == 0


def test_a_dry_run_starts_no_mock_host(host: Host) -> None:
    code, out, _ = host.run("create", "-n", "tiny.cfg")
    assert (code, "start_info" in out) == (0, True)
    assert host.run("mock", "status")[0] == 1


def test_the_demo(host: Host) -> None:
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    done = subprocess.run(
        ["bash", "examples/demo.sh"], env={**host.environment, "PATH": path, "TMPDIR": host.folder},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME_LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "reboot: Power down" in done.stdout
    assert sorted(os.listdir(host.folder)) == ["kernel", "tiny.cfg"]
