"""The store commands where a person, a file or the daemon is wrong: what is said, what stays as it was."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Run, StoreBackend
from xentool.cli import main
from xentool.cli.commands import store as store_commands
from xentool.cli.commands import storeaudit, storefiles
from xentool.errors import HostError
from xentool.store.client import StoreClient


def test_a_node_cannot_belong_to_nobody(xen: Run) -> None:
    outcome = xen("chmod", "/local", "n77")
    # The daemon of these tests believes in every domain that can be.
    assert outcome.code == 0
    outcome = xen("chmod", "/local", "n4000000000")
    assert outcome.code == 1
    assert outcome.err == (
        "xentool: cannot set permissions of /local: there is no such domain as it is to belong to\n"
        "hint: the first permission names the owner; `xentool list` shows the domains\n"
    )
    outcome = xen("transaction", typed=b"mkdir /x\nchmod /local n4000000000\n")
    assert (outcome.code, "no such domain" in outcome.err, "line 2" in outcome.err) == (1, True, True)
    assert xen("exists", "/x").code == 1
    assert "there is no such node" in xen("chmod", "/none", "n4000000000").err


def test_a_domid_of_any_length_is_no_permission(xen: Run) -> None:
    outcome = xen("chmod", "/local", "n" + "1" * 5000)
    assert outcome.code == 2
    assert "is no permission" in outcome.err


def test_what_was_typed_or_read_from_a_file_does_not_reach_the_terminal_raw(xen: Run) -> None:
    for outcome in (xen("read", "/a\x1b[2J"), xen("transaction", typed=b"read /a\\x1b[2J\n")):
        assert outcome.code in (2, 3)
        assert r"/a\x1b[2J: '\x1b' is not allowed in a path" in outcome.err
        assert "\x1b" not in outcome.err


def test_where_1_is_an_answer_a_full_disk_is_another_code(xen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise HostError("write", "the answer", "No space left on device")

    for module, words in (
        (storefiles, ["diff", "/tool", "/local"]),
        (store_commands, ["exists", "--json", "/"]),
        (storeaudit, ["audit"]),
    ):
        monkeypatch.setattr(module, "flush_answer", full)
        assert xen(*words).code == 2


def test_the_root_stays(xen: Run) -> None:
    outcome = xen("rm", "/")
    assert outcome.code == 3
    assert "hint: the root itself stays" in outcome.err


def test_an_empty_path_leads_nowhere(xen: Run, store: StoreClient, tmp_path: Path) -> None:
    """A script's variable that was not set."""
    file = str(tmp_path / "t.json")
    xen("export", "/local/domain/3", "-o", file)
    store.write("/local/domain/3/name", "other")
    for words in (["import", file, ""], ["rm", ""], ["ls", ""], ["export", ""], ["rm", "-d", "3", ""]):
        outcome = xen(*words)
        assert outcome.code == 3, words
        assert "the path" in outcome.err
    assert store.read("/local/domain/3/name") == b"other"


def test_an_import_in_parts_says_what_it_had_done(xen: Run, store: StoreClient, tmp_path: Path) -> None:
    file = tmp_path / "t.json"

    def nodes(*values: str) -> bytes:
        listed = [{"path": "", "value": ""}]
        listed += [{"path": str(at), "value": value} for at, value in enumerate(values)]
        return json.dumps({"format": "xentool-store", "version": 1, "path": "/t", "nodes": listed}).encode()

    file.write_bytes(nodes("1", "2", "x" * 4095))
    outcome = xen("import", "--split", "2", str(file))
    assert outcome.code == 3
    assert "XenStore takes at most 4,096" in outcome.err
    assert not store.exists("/t"), "what can be known before is known before"
    file.write_bytes(
        nodes("1", "2").replace(
            b'{"path": "1", "value": "2"}', b'{"path": "1", "value": "2", "permissions": ["n4000000000"]}'
        )
    )
    outcome = xen("import", "--split", "2", str(file))
    assert outcome.code == 1
    assert "xentool: 2 of 3 changes had been made by then, and stay\n" in outcome.err
    assert store.directory("/t") == ["0"]


def test_what_is_no_file_is_written_to_and_not_replaced(xen: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append(pipe.read_bytes()))
    reader.start()
    assert xen("export", "/tool", "-o", str(pipe)).code == 0
    reader.join(10)
    assert came[0].startswith(b"{")
    assert pipe.is_fifo()
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to("file")
    for _ in range(2):
        assert xen("export", "/tool", "-o", str(link)).code == 0
        assert link.is_symlink()
        assert file.read_bytes() == came[0]
    assert xen("export", "/tool", "-o", str(tmp_path)).code == 1
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "pipe"]


def test_a_file_that_is_taken_for_a_node_is_pointed_out(
    xen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dump").write_text("{}")
    outcome = xen("diff", "dump", "/local")
    assert outcome.code == 2
    assert "hint: if the file is meant: ./dump\n" in outcome.err
    outcome = xen("diff", "-", "-")
    assert outcome.code == 2
    assert "can be read once only" in outcome.err


def test_a_standard_input_that_is_closed(
    store: StoreClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    backend = StoreBackend(store)
    assert main.run(["store", "transaction"], lambda _name: backend) == 1  # type: ignore[arg-type,return-value]
    assert capsys.readouterr().err == "xentool: cannot read standard input: it is closed\n"


def test_a_store_without_domains(xen: Run, store: StoreClient) -> None:
    store.rm("/local")
    outcome = xen("read", "-d", "web", "name")
    assert outcome.code == 1
    assert "no running domain has that name" in outcome.err


def test_a_dead_daemon_is_no_fault_of_the_transactions_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    script = tmp_path / "script"
    script.write_text("read name\n")
    monkeypatch.setenv("XENSTORED_PATH", path)
    monkeypatch.setenv("XENTOOL_BACKEND", "xen")
    for words in (["store", "transaction", "-d", "web", str(script)], ["store", "read", "name"]):
        assert main.run(words) == 3
        assert "no daemon answers" in capsys.readouterr().err
