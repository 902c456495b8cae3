"""The store commands, on a server in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, Run, StoreBackend
from xentool.cli import main
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.server import Server


def answer(outcome: Outcome) -> object:
    assert outcome.code in (0, 1), outcome.err
    return json.loads(outcome.out)


# -- single nodes ---------------------------------------------------------------


def test_write_and_read_with_escapes(xen: Run, store: StoreClient) -> None:
    assert xen("write", "/a/b", "1", "/a/c", r"two\nlines\x1b[2J").code == 0
    assert store.read("/a/c") == b"two\nlines\x1b[2J"
    assert xen("read", "/a/b", "/a/c").out == "1\ntwo\\nlines\\x1b[2J\n"
    assert xen("read", "-p", "/a/b").out == "/a/b: 1\n"
    assert answer(xen("read", "--json", "/a/b", "/a/c")) == [
        {"path": "/a/b", "value": "1"},
        {"path": "/a/c", "base64": "dHdvCmxpbmVzG1sySg=="},
    ]
    assert xen("write", "-R", "/a/b", r"\n").code == 0
    assert store.read("/a/b") == rb"\n"


def test_raw_bytes_are_the_values_own(
    store: StoreClient, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    value = bytes(range(256))
    store.write("/v", value)
    assert main.run(["store", "read", "--raw", "/v"], lambda _name: StoreBackend(store)) == 0  # type: ignore[arg-type,return-value]
    assert capfdbinary.readouterr().out == value


def test_one_missing_node_and_nothing_is_printed(xen: Run) -> None:
    outcome = xen("read", "/local/domain/3/name", "/local/domain/3/names")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "xentool: cannot read /local/domain/3/names: there is no such node\n"
        "hint: the path ends at /local/domain/3, which has no names; did you mean /local/domain/3/name?\n"
    )
    error = json.loads(xen("read", "/none/x/y", "--json").err)
    assert (error["error"], error["exit_code"]) == ("NotFoundError", 1)
    assert error["hint"] == "the path ends at /, which has no none"


def test_a_refusal_names_owner_and_permissions(server: Server, xen: Run, store: StoreClient) -> None:
    store.write("/local/domain/3/secret", "x")
    store.set_perms("/local/domain/3/secret", ["n0"])
    store.set_perms("/local/domain/3/name", ["n0", "r3"])
    guest = StoreClient(transport=LocalTransport(server.connect(3)))
    from xentool.errors import StoreError
    from xentool.store.explain import explained

    for act, hint in (
        (lambda: guest.write("name", "evil"), "domain 0 owns it, its permissions are n0 r3"),
        (lambda: guest.read("secret"), "may not even see who may"),
    ):
        with pytest.raises(StoreError) as caught:
            act()
        error = explained(guest, caught.value)
        assert isinstance(error, StoreError)
        assert (error.errno_name, error.exit_code) == ("EACCES", 3)
        assert hint in error.hint


@pytest.mark.parametrize("words", [("/a",), ("/a", "1", "/b")])
def test_a_path_without_a_value_is_a_wrong_line(xen: Run, store: StoreClient, words: tuple[str, ...]) -> None:
    outcome = xen("write", *words)
    assert outcome.code == 2
    assert "has no value" in outcome.err
    assert not store.exists("/a")


def test_several_writes_are_one(xen: Run, store: StoreClient) -> None:
    assert xen("write", "/a", "1", "/b", "x" * 5000).code == 3
    assert xen("write", "/a", "1", "/b//c", "1").code == 3
    assert not store.exists("/a")


def test_ls(xen: Run) -> None:
    assert xen("ls", "/local/domain").out == "0\n3\n"
    assert xen("ls", "-p", "/local/domain").out == "/local/domain/0\n/local/domain/3\n"
    assert xen("ls").out == "tool\nlocal\n"
    assert xen("ls", "-d", "3").out == "name\ndata\n"
    assert xen("ls", "-l", "/local/domain/3").out == 'name = "web"  (n0,r3)\ndata = ""  (n3)\n'
    assert xen("ls", "-lp", "/local/domain/3").out.startswith('/local/domain/3/name = "web"')
    assert answer(xen("ls", "--json", "/local/domain")) == [{"path": "/local/domain", "children": ["0", "3"]}]
    assert xen("ls", "/none").code == 1


def test_rm(xen: Run, store: StoreClient) -> None:
    store.write("/a/b/c", "")
    store.write("/a/d", "kept")
    assert xen("rm", "/a/none").code == 0
    assert xen("rm", "/none/none").code == 1
    assert xen("rm", "-t", "/a/b/c").code == 0
    assert store.directory("/a") == ["d"]
    store.write("/lone/child", "")
    assert xen("rm", "/lone/child").code == 0
    assert store.exists("/lone"), "only -t takes what is left empty along"
    store.write("/v", "value")
    store.write("/v/w", "")
    assert xen("rm", "--tidy", "/v/w").code == 0
    assert store.read("/v") == b"value"
    assert xen("rm", "/a", "/none/none").code == 1
    assert store.exists("/a")
    assert answer(xen("rm", "/a", "--json")) == [{"path": "/a", "done": "removed"}]


def test_mkdir_and_exists(xen: Run) -> None:
    assert xen("exists", "/a").code == 1
    assert xen("mkdir", "/a", "/b/c").code == 0
    assert xen("exists", "/a", "/b/c").code == 0
    outcome = xen("exists", "--json", "/a", "/none")
    assert outcome.code == 1
    assert answer(outcome) == [{"path": "/a", "exists": True}, {"path": "/none", "exists": False}]
    assert xen("exists", "/a//b").code == 3


def test_chmod(xen: Run, store: StoreClient) -> None:
    def permissions(path: str) -> list[str]:
        return [str(entry) for entry in store.get_perms(path)]

    store.write("/a/b/c", "")
    assert xen("chmod", "/a/b", "n0", "r3").code == 0
    assert (permissions("/a"), permissions("/a/b"), permissions("/a/b/c")) == (["n0"], ["n0", "r3"], ["n0"])
    assert xen("chmod", "-r", "/a", "r0").code == 0
    assert permissions("/a/b/c") == ["r0"]
    assert xen("chmod", "-u", "/a/b", "b0", "w4").code == 0
    assert (permissions("/a"), permissions("/a/b"), permissions("/a/b/c")) == (
        ["b0", "w4"],
        ["b0", "w4"],
        ["r0"],
    )
    assert permissions("/") == ["n0"]
    outcome = xen("chmod", "/a", "x3")
    assert outcome.code == 2
    assert "'x3' is no permission" in outcome.err
    assert xen("chmod", "/none", "n0").code == 1


def test_domains_by_number_and_name(xen: Run, server: Server, store: StoreClient) -> None:
    assert xen("read", "-d", "3", "name").out == "web\n"
    assert xen("read", "name").out == "Domain-0\n"
    assert xen("ls", "-l", ".").out.splitlines()[1] == 'name = "Domain-0"  (n0)'
    assert xen("read", "-d", "3", "/local/domain/0/name").out == "Domain-0\n"
    # A name counts for domains that are served only: what a dead one left leads nowhere.
    store.write("/local/domain/9/name", "ghost")
    outcome = xen("read", "-d", "ghost", "name")
    assert outcome.code == 1
    assert "no running domain has that name" in outcome.err
    assert xen("read", "-d", "Domain-0", "domid").out == "0\n"
    server.connect(3)
    assert xen("read", "-d", "web", "name").out == "web\n"
    server.connect(9)
    store.write("/local/domain/9/name", "web")
    assert "domains 3 and 9 have that name" in xen("read", "-d", "web", "name").err
    assert xen("read", "-d", "99999", "name").code == 1


# -- trees ----------------------------------------------------------------------


def test_tree(xen: Run, store: StoreClient) -> None:
    store.write("/t/a", "x" * 100)
    store.write("/t/a/b", "\x1b")
    assert xen("tree", "/t").out == f'a = "{"x" * 71}\\..."\n b = "\\x1b"\n'
    assert xen("tree", "-w", "/t").out == f'a = "{"x" * 100}"\n b = "\\x1b"\n'
    assert xen("tree", "-fp", "/t").out == f'/t/a = "{"x" * 100}"   (n0)\n/t/a/b = "\\x1b"   (n0)\n'
    listed = answer(xen("tree", "--json", "/t"))
    assert isinstance(listed, list)
    assert [entry["path"] for entry in listed] == ["/t", "/t/a", "/t/a/b"]
    assert listed[2] == {"path": "/t/a/b", "base64": "Gw==", "permissions": ["n0"]}
    assert xen("tree", "/none").code == 1
    assert xen("tree", "-d", "3").out == 'name = "web"\ndata = ""\n'


def test_watch(xen: Run) -> None:
    assert xen("watch", "-n", "2", "/a", "@releaseDomain").out == "/a\n@releaseDomain\n"
    assert xen("watch", "-n", "1", "--json", "/a").out == '{"path": "/a", "watched": "/a"}\n'
    assert xen("watch", "-T", "0.01", "/b").code == 0
    outcome = xen("watch", "-n", "5", "-T", "0.01", "/c")
    assert outcome.code == 9
    assert "of 5 events came" in outcome.err


def test_transaction(xen: Run, store: StoreClient, tmp_path: Path) -> None:
    script = b'# move\nexpect name web\nread name\nwrite data/x "a b"\nchmod data/x n3 r0\n'
    assert xen("transaction", "-d", "3", "-p", typed=script).out == "/local/domain/3/name: web\n"
    assert store.read("/local/domain/3/data/x") == b"a b"
    (tmp_path / "script").write_bytes(b"rm /local/domain/3/data/x\nread /none\n")
    outcome = xen("transaction", str(tmp_path / "script"))
    assert outcome.code == 1
    assert "xentool: line 2; nothing was changed\n" in outcome.err
    assert store.exists("/local/domain/3/data/x")
    outcome = xen("transaction", typed=b"expect /local/domain/3/name mail\nrm /local\n")
    assert outcome.code == 1
    assert 'its value is "web", not "mail"' in outcome.err
    outcome = xen("transaction", "--dry-run", typed=b"rm /local/domain/3/name\n")
    assert (outcome.code, "nothing was changed" in outcome.err) == (0, True)
    assert answer(xen("transaction", "--json", typed=b"read /local/domain/3/name\nmkdir /q\n")) == {
        "operations": 2,
        "committed": True,
        "reads": [{"path": "/local/domain/3/name", "value": "web"}],
    }
    assert xen("transaction", typed=b"frob\n").code == 2
    assert xen("transaction", "/nonexistent").code == 1


# -- files ----------------------------------------------------------------------


def test_export_and_import(xen: Run, store: StoreClient, tmp_path: Path) -> None:
    file = str(tmp_path / "web.json")
    store.write("/local/domain/3/data/bin", bytes(range(256)))
    assert xen("export", "/local/domain/3", "-o", file).code == 0
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert json.loads(Path(file).read_text()) == answer(xen("export", "/local/domain/3"))
    assert json.loads(xen("export", "name").out)["path"] == "/local/domain/0/name"
    assert xen("diff", "/local/domain/3", file).code == 0
    store.write("/local/domain/3/name", "other")
    store.set_perms("/local/domain/3/data", ["n0"])
    store.write("/local/domain/3/more", "1")
    outcome = xen("import", "--dry-run", file)
    assert outcome.out == '- data  (n0)\n+ data  (n3)\n- name = "other"\n+ name = "web"\n'
    assert store.read("/local/domain/3/name") == b"other"
    assert answer(xen("import", file, "--json")) == {
        "path": "/local/domain/3", "transactions": 1, "added": 0, "changed": 2, "removed": 0,
    }  # fmt: skip
    assert xen("diff", "/local/domain/3", file).out.splitlines()[2:] == ['- more = "1"  (n0,r3)']
    assert xen("import", "--delete", file).code == 0
    assert xen("diff", "/local/domain/3", file).code == 0
    assert answer(xen("import", file, "--json"))["transactions"] == 0  # type: ignore[index]
    assert xen("import", file, "/copy/of/web").code == 0
    assert xen("diff", "/local/domain/3", "/copy/of/web").code == 0


def test_an_import_too_large_for_one_transaction_says_so(
    xen: Run, store: StoreClient, tmp_path: Path
) -> None:
    file = str(tmp_path / "t.json")
    for at in range(10):
        store.write(f"/t/{at}", str(at))
    xen("export", "/t", "-o", file)
    store.rm("/t")
    outcome = xen("import", "--split", "4", file)
    assert outcome.err == "xentool: 11 changes are too many for one transaction: they are made in 3\n"
    assert xen("diff", "/t", file).code == 0
    store.write("/t/3", "other")
    outcome = xen("import", "--split", "4", file, "--json")  # a large file, of which little differs
    assert (answer(outcome)["transactions"], outcome.err) == (1, "")  # type: ignore[index]
    store.rm("/t")
    store.write("/t/0", "")
    for at in range(10):
        store.write(f"/t/more/{at}", "")
    outcome = xen("import", "--split", "11", "--delete", file, "--json")
    assert (answer(outcome)["transactions"], outcome.err) == (1, "")  # type: ignore[index]
    for at in range(12):
        store.write(f"/t/{at}", "other")
    outcome = xen("import", "--split", "11", "--delete", file, "--json")
    assert answer(outcome)["transactions"] == 2  # type: ignore[index]
    assert xen("diff", "/t", file).code == 0
    outcome = xen("import", "--split", "9", "--dry-run", file, "--json")
    assert answer(outcome)["transactions"] == 0  # type: ignore[index]
    assert xen("diff", "/t", file).code == 0
    assert xen("import", "--split", "0", file).code == 2


def test_a_wrong_file_is_refused_before_anything_is_touched(
    xen: Run, store: StoreClient, tmp_path: Path
) -> None:
    file = tmp_path / "t.json"
    xen("export", "/local", "-o", str(file))
    store.write("/local/domain/3/name", "other")
    file.write_text(file.read_text()[:-10])
    outcome = xen("import", "--delete", str(file))
    assert outcome.code == 1
    assert "it is no JSON" in outcome.err
    assert store.read("/local/domain/3/name") == b"other"
    assert xen("import", str(tmp_path / "none.json")).code == 1
    assert xen("diff", str(file), "/local").code == 2
    assert xen("diff", "/none", "/local").code == 2


def test_diff(xen: Run, store: StoreClient) -> None:
    store.write("/a/x", "1")
    store.write("/b/x", "2")
    store.write("/b/y", "\x1b")
    store.set_perms("/b", ["r0"])
    outcome = xen("diff", "/a", "/b")
    assert outcome.code == 1
    assert outcome.out == (
        '--- /a\n+++ /b\n- .  (n0)\n+ .  (r0)\n- x = "1"\n+ x = "2"\n+ y = "\\x1b"  (n0)\n'
    )
    assert xen("diff", "/a", "/b", "--no-permissions", "--ignore", "x,y").code == 0
    found = answer(xen("diff", "/a", "/b", "--json", "--ignore=y"))
    assert isinstance(found, dict)
    assert found["equal"] is False
    assert found["differences"][1] == {
        "path": "x", "kind": "changed", "value_differs": True, "permissions_differ": False,
        "before": {"value": "1", "permissions": ["n0"]}, "after": {"value": "2", "permissions": ["n0"]},
    }  # fmt: skip


# -- audit ----------------------------------------------------------------------


def test_audit(xen: Run, store: StoreClient) -> None:
    outcome = xen("audit", "--ignore", "no-nodes")
    assert (outcome.code, outcome.out) == (0, "clean: 11 nodes, 4 domains\n")
    assert xen("audit").code == 1
    store.write("/libxl/9", "")
    outcome = xen("audit", "9")
    assert outcome.code == 1
    assert outcome.out == (
        "warning: /libxl/9: domain 9 is gone [gone-domain]\n    do: xentool store rm /libxl/9\n"
    )
    found = answer(xen("audit", "--json", "9"))
    assert isinstance(found, dict)
    assert (found["clean"], found["consistent"], found["domains"]) == (False, True, 4)
    assert found["findings"] == [
        {
            "severity": "warning", "rule": "gone-domain", "path": "/libxl/9", "what": "domain 9 is gone",
            "remedy": "xentool store rm /libxl/9", "domids": [9],
        }
    ]  # fmt: skip
    assert xen("audit", "--ignore", "no-nodes,gone-domain").code == 0
    assert xen("audit", "--ignore", "nonsense").code == 2
    assert xen("audit", "no-such-name").code == 2
