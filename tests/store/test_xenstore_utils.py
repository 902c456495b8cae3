"""Debian's own XenStore commands, against our server."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from xentool.store.client import StoreClient
from xentool.store.serve import SocketServer
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("xenstore-ls"), reason="xenstore-utils is not installed")


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


def run(path: str, *command: str) -> tuple[int, str]:
    done = subprocess.run(
        command,
        env={**os.environ, "XENSTORED_PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=20,
        check=False,
        text=True,
    )
    return done.returncode, done.stdout


def test_write_read_list_exists_rm(path: str) -> None:
    assert run(path, "xenstore-write", "/a/b", "1", "/a/c", "two words") == (0, "")
    assert run(path, "xenstore-read", "/a/b", "/a/c") == (0, "1\ntwo words\n")
    assert run(path, "xenstore-read", "-p", "/a/b") == (0, "/a/b: 1\n")
    assert run(path, "xenstore-list", "/a") == (0, "b\nc\n")
    assert run(path, "xenstore-list", "-p", "/a") == (0, "/a/b\n/a/c\n")
    assert run(path, "xenstore-exists", "/a/b") == (0, "")
    assert run(path, "xenstore-exists", "/a/none") == (1, "")
    assert run(path, "xenstore-rm", "/a/b") == (0, "")
    assert run(path, "xenstore-rm", "-t", "/a/c") == (0, "")
    assert run(path, "xenstore-read", "/a/b") == (1, "xenstore-read: couldn't read path /a/b\n")
    assert run(path, "xenstore-list", "/a") == (1, "xenstore-list: could not list path /a\n")


def test_ls_shows_trees_values_and_permissions(path: str) -> None:
    with StoreClient(path) as client:
        client.write("/vm/x/name", "web")
        client.write("/vm/x/note", b"bytes \x01")
        client.set_perms("/vm/x", ["n0", "r3"])
        client.set_perms("/vm/x/name", ["b0"])
    code, listing = run(path, "xenstore-ls", "-p", "/vm")
    assert code == 0
    lines = [line.split() for line in listing.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("x", "(n0,r3)"),
        ("name", "(b0)"),
        ("note", "(n0)"),
    ]
    assert run(path, "xenstore-ls", "-f", "/vm") == (
        0,
        '/vm/x = ""\n/vm/x/name = "web"\n/vm/x/note = "bytes \\001"\n',
    )


def test_chmod_also_of_all_below(path: str) -> None:
    run(path, "xenstore-write", "/a/b/c", "1")
    assert run(path, "xenstore-chmod", "/a", "r0", "b7") == (0, "")
    assert run(path, "xenstore-chmod", "-r", "/a/b", "n0", "w8") == (0, "")
    with StoreClient(path) as client:
        assert [str(entry) for entry in client.get_perms("/a")] == ["r0", "b7"]
        assert [str(entry) for entry in client.get_perms("/a/b/c")] == ["n0", "w8"]


def test_a_directory_beyond_one_message(path: str) -> None:
    with StoreClient(path) as client, client.batch() as batch:
        for at in range(600):
            batch.mkdir(f"/big/{at:04}-{'x' * 20}")
    code, listing = run(path, "xenstore-list", "/big")
    assert code == 0
    assert len(listing.splitlines()) == 600


def test_watch_prints_what_changes(path: str) -> None:
    watcher = subprocess.Popen(
        ["xenstore-watch", "-n", "3", "/a"],
        env={**os.environ, "XENSTORED_PATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    with watcher:
        assert watcher.stdout.readline() == "/a\n"
        assert run(path, "xenstore-write", "/a/b", "1") == (0, "")
        assert watcher.stdout.readline() == "/a/b\n"
        assert run(path, "xenstore-rm", "/a") == (0, "")
        assert watcher.stdout.readline() == "/a\n"
        assert watcher.wait(10) == 0


_CONTROL = shutil.which("xenstore-control") or next(
    iter(glob.glob("/usr/lib/xen-*/bin/xenstore-control")), ""
)


@pytest.mark.skipif(not _CONTROL, reason="xen-utils is not installed")
def test_control(path: str) -> None:
    code, text = run(path, _CONTROL, "quota")
    assert code == 0
    assert "nodes            :     1000 Nodes per domain" in text
    assert run(path, _CONTROL, "check") == (0, "OK\n")
    assert run(path, _CONTROL, "no-such")[0] != 0
