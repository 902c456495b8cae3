"""Our text is the text of Debian's xenstore-* commands, on the same store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xentool.cli.storetext import tree_text
from xentool.store.client import StoreClient
from xentool.store.serve import SocketServer
from xentool.store.server import Server
from xentool.store.snapshot import read_tree

pytestmark = pytest.mark.skipif(not shutil.which("xenstore-ls"), reason="xenstore-utils is not installed")

ROOT = os.getcwd()


@pytest.fixture(scope="module")
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="xt") as folder:
        path = f"{folder}/socket"
        with SocketServer(path, Server()) as sockets:
            thread = threading.Thread(target=sockets.run)
            thread.start()
            yield path
            sockets.stop()
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def store(path: str) -> Iterator[StoreClient]:
    """The store, empty but for the daemon's own node."""
    with StoreClient(path) as client:
        for name in client.directory("/"):
            client.rm(f"/{name}")
        yield client


def run(path: str, *command: str) -> tuple[int, bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XENTOOL")}
    done = subprocess.run(
        command,
        env={**environment, "XENSTORED_PATH": path, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def ours(path: str, *words: str) -> tuple[int, bytes]:
    """A `store` command in a process of its own: there is a socket here, and no hypervisor."""
    return run(path, sys.executable, "-m", "xentool", "store", *words)


VALUES = st.binary(max_size=30) | st.sampled_from([b"", b"x" * 60, b"x" * 90, b"\xff" * 40])
NAMES = st.sampled_from(["a", "b-c", "d_e@f", "n" * 30, "m" * 70, "o" * 90])
PERMISSIONS = st.sampled_from([["n0"], ["r0"], ["n0", "r3"], ["b5", "w0", "n7"]])


@settings(max_examples=25)
@given(
    nodes=st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=5).map("/".join), st.tuples(VALUES, PERMISSIONS), max_size=8
    )
)
def test_trees_are_printed_as_xenstore_ls_prints_them(
    path: str, nodes: dict[str, tuple[bytes, list[str]]]
) -> None:
    with StoreClient(path) as client:
        client.rm("/t")
        client.mkdir("/t")
        for name, (value, permissions) in nodes.items():
            client.write(f"/t/{name}", value)
            client.set_perms(f"/t/{name}", permissions)
        for root in ("/t", "/"):
            snapshot = read_tree(client, root)
            for options in ("", "-p", "-f", "-fp"):
                words = [options] if options else []
                text = "".join(tree_text(snapshot, permissions="p" in options, flat="f" in options))
                assert run(path, "xenstore-ls", *words, root) == (0, text.encode())


def test_the_whole_command_prints_the_same(path: str, store: StoreClient) -> None:
    store.write("/t/ab", "1")
    store.write("/t/c/d", "\x1b[2J\\")
    store.set_perms("/t/c", ["b5", "r0"])
    for options in ([], ["-p"], ["-f"], ["-fp"]):
        assert ours(path, "tree", *options) == run(path, "xenstore-ls", *options)
        assert ours(path, "tree", *options, "/t", "/t/c") == run(path, "xenstore-ls", *options, "/t", "/t/c")
    for options in ([], ["-p"]):
        assert ours(path, "ls", *options, "/t", "/") == run(path, "xenstore-list", *options, "/t", "/")
        assert ours(path, "read", *options, "/t/ab", "/t/c/d") == run(
            path, "xenstore-read", *options, "/t/ab", "/t/c/d"
        )
    assert ours(path, "read", "-R", "/t/c/d") == run(path, "xenstore-read", "-R", "/t/c/d")


@pytest.mark.parametrize(
    ("tool", "command", "words"),
    [
        ("write", "write", [["/w", "1"], ["/w", r"a\tb\x41\101\\"], ["/w/x", "", "/w/y", "2"]]),
        ("write", "write", [["-R", "/w", r"\t"]]),
        ("rm", "rm", [["/t/a"], ["/t/none"], ["/none/none"], ["-t", "/t/c/d"], ["/t/a", "/none/x"]]),
        ("rm", "rm", [["-t", "/t/e"], ["-t", "/t/a", "/t/c/d", "/t/e"]]),
        ("exists", "exists", [["/t"], ["/none"], ["/t", "/none"]]),
        ("chmod", "chmod", [["/t", "n0", "r3"], ["-r", "/t", "b5"], ["-u", "/t/c/d", "r0"], ["/none", "n0"]]),
        ("chmod", "chmod", [["-r", "-u", "/t/c", "w1"]]),
        ("list", "ls", [["/t"], ["/none"], ["-p", "/t/c"]]),
        # Of several of which a later one is missing xenstore-read prints the first, ours none.
        ("read", "read", [["/t/a"], ["/none"], ["/none", "/t/a"]]),
    ],
)  # fmt: skip
def test_the_same_is_done_with_the_same_exit_code(
    path: str, store: StoreClient, tool: str, command: str, words: list[list[str]]
) -> None:
    for line in words:
        seen = []
        for run_it in (
            lambda line=line: run(path, f"xenstore-{tool}", *line),
            lambda line=line: ours(path, command, *line),
        ):
            store.rm("/t")
            store.rm("/w")
            for name, value in (("/t/a", "1"), ("/t/c/d", ""), ("/t/e", "2")):
                store.write(name, value)
            code, out = run_it()  # type: ignore[no-untyped-call]
            tree = {
                name: (node.value, node.permissions) for name, node in read_tree(store, "/").nodes.items()
            }
            seen.append((code, out, tree))
        assert seen[0] == seen[1], line


def test_watch_prints_the_same(path: str, store: StoreClient) -> None:
    assert ours(path, "watch", "-n", "2", "/t", "/w") == run(path, "xenstore-watch", "-n", "2", "/t", "/w")


def on_terminal(path: str, columns: int, *command: str) -> bytes:
    """What a command writes to a terminal that is so wide."""
    import fcntl
    import pty
    import struct
    import termios

    ours_end, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        command, stdout=theirs, env={**os.environ, "XENSTORED_PATH": path, "PYTHONPATH": ROOT}
    ) as process:
        os.close(theirs)
        found = b""
        try:
            while data := os.read(ours_end, 4096):
                found += data
        except OSError:
            pass  # the other end is closed
        process.wait(60)
    os.close(ours_end)
    return found


@pytest.mark.parametrize("columns", [0, 1, 12, 40, 100])
def test_a_terminal_is_filled_as_xenstore_ls_fills_it(path: str, store: StoreClient, columns: int) -> None:
    store.write("/t/a", "x" * 200)
    store.write("/t/a/name/of/some/depth", "short")
    for options in ([], ["-p"]):
        text = on_terminal(path, columns, "xenstore-ls", *options, "/t")
        assert (b"\\..." in text) is (columns > 1)
        assert (
            on_terminal(path, columns, sys.executable, "-m", "xentool", "store", "tree", *options, "/t")
            == text
        )


def test_reading_a_value_imports_little(path: str, store: StoreClient) -> None:
    """Reading must start as fast as `list` does, which has a test of its own for what it may import."""
    store.write("/t", "1")
    heavy = {
        "click",
        "json",
        "re",
        "typing",
        "dataclasses",
        "socket",
        "subprocess",
        "enum",
        "inspect",
        "difflib",
    }
    code, out = run(
        path,
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {ROOT!r})\n"
        "before = set(sys.modules)\n"
        "from xentool.cli import main\n"
        "code = main.run(['store', 'read', '/t'])\n"
        "print(*sorted(set(sys.modules) - before))\n",
    )
    assert code == 0
    value, modules = out.decode().splitlines()
    assert value == "1"
    imported = set(modules.split())
    assert "xentool.cli.commands.store" in imported
    assert not heavy & imported
    assert len(imported) < 40


def test_tab_completes_paths(path: str, store: StoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import click
    from click.shell_completion import BashComplete

    from xentool.cli.clickapp import application

    for name in ("/t/abc", "/t/abe", "/t/x"):
        store.write(name, "")
    monkeypatch.setenv("XENSTORED_PATH", path)
    monkeypatch.delenv("XENTOOL_BACKEND", raising=False)

    def completed(*words: str) -> list[str]:
        found = BashComplete(application(), {}, "xentool", "X").get_completions(list(words[:-1]), words[-1])
        assert {item.type for item in found} <= {"plain"}, "the shells' scripts know no other kind of word"
        return [item.value for item in found]

    assert completed("store", "read", "/t/ab") == ["/t/abc", "/t/abe"]
    assert completed("store", "chmod", "/t/x") == ["/t/x"]
    assert completed("store", "ls", "/") == ["/t"]
    assert completed("store", "read", "/none/x") == []
    assert completed("store", "w") == ["write", "watch"]
    assert isinstance(application(), click.Group)
