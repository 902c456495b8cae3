"""Debian's own XenStore programs, against our server: what scripts and people on Xen hosts use.

`installed` is this machine's xenstore-utils, which ./dev installs; `4.17` and `4.20` are the lab's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.labfiles import LabPrograms
from xentool.store.client import StoreClient
from xentool.store.serve import SocketServer
from xentool.store.server import Server
from xentool.store.transactions import Transaction

LAB_RELEASES = ("4.17", "4.20")
TESTS_OF_TEST_XENSTORE = (
    "read 1", "read 2000", "write 1", "write 2000", "dir", "rm node", "rm dir", "ta empty", "ta empty x",
    "ta rmw", "ta rmw x", "ta err",
)  # fmt: skip


class Tools:
    """Programs that talk to the server whose socket is `path`."""

    def __init__(self, path: str, command: Callable[[str], list[str]]) -> None:
        self.path = path
        self._command = command
        self.environment = {**os.environ, "XENSTORED_PATH": path}

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command(name), *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",
        )

    def __call__(self, name: str, *arguments: str) -> tuple[int, str]:
        """The program's exit code, and all it printed."""
        with self.start(name, *arguments) as process:
            output, _ = process.communicate(timeout=30)
        return process.returncode, output


def _installed(name: str) -> list[str]:
    path = shutil.which(name)
    assert path, f"{name} is not installed: ./dev setup, or apt-get install xenstore-utils"
    return [path]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "socket")
    with SocketServer(path, Server()) as sockets:
        thread = threading.Thread(target=sockets.run)
        thread.start()
        yield path
        sockets.stop()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def lab_programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LabPrograms]:
    """The programs of a release's image, copied once."""
    found: dict[str, LabPrograms] = {}

    def programs(xen: str) -> LabPrograms:
        if xen not in found:
            found[xen] = LabPrograms(xen, tmp_path_factory.mktemp("programs") / xen)
        return found[xen]

    return programs


@pytest.fixture(params=["installed", *(pytest.param(xen, marks=pytest.mark.lab) for xen in LAB_RELEASES)])
def tools(request: pytest.FixtureRequest, path: str, lab_programs: Callable[[str], LabPrograms]) -> Tools:
    return Tools(path, _installed if request.param == "installed" else lab_programs(request.param).command)


@pytest.fixture(params=[pytest.param(xen, marks=pytest.mark.lab) for xen in LAB_RELEASES])
def lab_tools(request: pytest.FixtureRequest, path: str, lab_programs: Callable[[str], LabPrograms]) -> Tools:
    """With what is in xen-utils only."""
    return Tools(path, lab_programs(request.param).command)


def test_write_read_list_exists_rm(tools: Tools) -> None:
    assert tools("xenstore-write", "/a/b", "1", "/a/c", "two words") == (0, "")
    assert tools("xenstore-read", "/a/b", "/a/c") == (0, "1\ntwo words\n")
    assert tools("xenstore-read", "-p", "/a/b") == (0, "/a/b: 1\n")
    assert tools("xenstore-list", "/a") == (0, "b\nc\n")
    assert tools("xenstore-list", "-p", "/a") == (0, "/a/b\n/a/c\n")
    assert tools("xenstore-exists", "/a/b") == (0, "")
    assert tools("xenstore-exists", "/a/b", "/a/none") == (1, "")
    assert tools("xenstore-rm", "/a/b") == (0, "")
    assert tools("xenstore-rm", "-t", "/a/c") == (0, "")
    assert tools("xenstore-read", "/a/b") == (1, "xenstore-read: couldn't read path /a/b\n")
    # With -t the parent that has become empty went too.
    assert tools("xenstore-list", "/a") == (1, "xenstore-list: could not list path /a\n")


def test_several_writes_are_one_transaction(tools: Tools) -> None:
    code, text = tools("xenstore-write", "/a/b", "1", "/a//c", "2")
    assert code == 1
    assert "could not write path /a//c" in text
    assert tools("xenstore-exists", "/a/b") == (1, "")


def test_raw_values(tools: Tools) -> None:
    # A value is escaped in what is printed and unescaped in what is given; not with -R.
    assert tools("xenstore-write", "/a/b", r"x\ty\x01") == (0, "")
    with StoreClient(tools.path) as client:
        assert client.read("/a/b") == b"x\ty\x01"
        assert tools("xenstore-read", "/a/b") == (0, "x\\ty\\001\n")
        assert tools("xenstore-read", "-R", "/a/b") == (0, "x\ty\x01")
        assert tools("xenstore-write", "-R", "/a/b", r"x\ty") == (0, "")
        assert client.read("/a/b") == rb"x\ty"


def test_one_program_with_modes(tools: Tools) -> None:
    assert tools("xenstore", "write", "/a/b", "1") == (0, "")
    assert tools("xenstore", "read", "-p", "/a/b") == (0, "/a/b: 1\n")
    assert tools("xenstore", "ls", "-f", "/a") == (0, '/a/b = "1"\n')


def test_ls_shows_trees_values_and_permissions(tools: Tools) -> None:
    with StoreClient(tools.path) as client:
        client.write("/vm/x/name", "web")
        client.write("/vm/x/note", b"bytes \x01")
        client.set_perms("/vm/x", ["n0", "r3"])
        client.set_perms("/vm/x/name", ["b0"])
    code, listing = tools("xenstore-ls", "-p", "/vm")
    assert code == 0
    lines = [line.split() for line in listing.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("x", "(n0,r3)"),
        ("name", "(b0)"),
        ("note", "(n0)"),
    ]
    assert tools("xenstore-ls", "-f", "/vm") == (
        0,
        '/vm/x = ""\n/vm/x/name = "web"\n/vm/x/note = "bytes \\001"\n',
    )
    assert tools("xenstore-ls", "/vm") == (0, 'x = ""\n name = "web"\n note = "bytes \\001"\n')
    code, listing = tools("xenstore-ls")
    assert code == 0
    assert listing.startswith('tool = ""\n xenstored = ""\nvm = ""\n x = ""\n')
    assert tools("xenstore-ls", "/none") == (
        1,
        "xenstore-ls: xs_directory (/none): No such file or directory\n",
    )


def test_chmod_of_a_node_of_all_below_and_of_all_above(tools: Tools) -> None:
    tools("xenstore-write", "/a/b/c", "1")
    assert tools("xenstore-chmod", "/a", "r0", "b7") == (0, "")
    assert tools("xenstore-chmod", "-r", "/a/b", "n0", "w8") == (0, "")
    with StoreClient(tools.path) as client:
        assert [str(entry) for entry in client.get_perms("/a")] == ["r0", "b7"]
        assert [str(entry) for entry in client.get_perms("/a/b/c")] == ["n0", "w8"]
        assert tools("xenstore-chmod", "-u", "/a/b/c", "b0") == (0, "")
        assert [str(entry) for entry in client.get_perms("/a/b")] == ["b0"]
        assert [str(entry) for entry in client.get_perms("/a")] == ["b0"]
    assert tools("xenstore-chmod", "/none", "r0")[0] == 1


def test_a_directory_beyond_one_message(tools: Tools) -> None:
    with StoreClient(tools.path) as client, client.batch() as batch:
        for at in range(600):
            batch.mkdir(f"/big/{at:04}-{'x' * 20}")
    code, listing = tools("xenstore-list", "/big")
    assert code == 0
    assert listing.splitlines() == [f"{at:04}-{'x' * 20}" for at in range(600)]


def test_watch_prints_what_changes(tools: Tools) -> None:
    with tools.start("xenstore-watch", "-n", "4", "/a", "/b") as watcher:
        assert watcher.stdout is not None
        assert [watcher.stdout.readline(), watcher.stdout.readline()] == ["/a\n", "/b\n"]
        assert tools("xenstore-write", "/a/b", "1") == (0, "")
        assert watcher.stdout.readline() == "/a/b\n"
        assert tools("xenstore-rm", "/a") == (0, "")
        assert watcher.stdout.readline() == "/a\n"
        assert watcher.wait(10) == 0


def test_control(lab_tools: Tools) -> None:
    code, text = lab_tools("xenstore-control", "quota")
    assert code == 0
    assert "nodes            :     1000 Nodes per domain" in text
    assert lab_tools("xenstore-control", "quota", "set", "nodes", "5") == (0, "OK\n")
    assert "nodes            :        5 " in lab_tools("xenstore-control", "quota")[1]
    assert "memory" in lab_tools("xenstore-control", "quota-soft")[1]
    code, text = lab_tools("xenstore-control", "quota", "0")
    assert code == 0
    assert text.startswith("Domain 0:\nnodes")
    for words in (["check"], ["log", "on"], ["log", "off"], ["print", "a line for the log"]):
        assert lab_tools("xenstore-control", *words) == (0, "OK\n")
    assert "quota\t[set" in lab_tools("xenstore-control", "help")[1]
    code, text = lab_tools("xenstore-control", "no-such")
    assert code == 3
    assert "Valid commands are" in text


def test_the_tests_of_test_xenstore_are_all_named(lab_tools: Tools) -> None:
    code, text = lab_tools("test-xenstore", "--list-tests")
    assert code == 0
    assert tuple(line.split(":")[0].strip() for line in text.splitlines()) == TESTS_OF_TEST_XENSTORE


@pytest.mark.parametrize("name", TESTS_OF_TEST_XENSTORE)
def test_test_xenstore(lab_tools: Tools, name: str) -> None:
    code, text = lab_tools("test-xenstore", "--test", name, "--iterations", "20")
    assert code == 0, text
    # A name that it does not know is no error to it, and prints nothing.
    assert text.startswith(f"{name:<10}: avg: ")


def test_test_xenstore_at_random(lab_tools: Tools) -> None:
    code, text = lab_tools("test-xenstore", "--random", "2", "--iterations", "5")
    assert code == 0, text
    with StoreClient(lab_tools.path) as client:
        assert client.tree("/local") == {"/local": b"", "/local/domain": b"", "/local/domain/0": b""}


def test_a_fault_makes_test_xenstore_fail(lab_tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says about our server is worth something."""
    monkeypatch.setattr(Transaction, "commit", lambda _self: None)
    code, text = lab_tools("test-xenstore")
    assert code != 0
    assert "ta rmw" in text
