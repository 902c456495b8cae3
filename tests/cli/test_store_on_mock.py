"""The store commands on a mock host: separate processes, domains that xentool made."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

import pytest

from tests.cli.test_on_mock import Host


@pytest.fixture
def host() -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="xt") as folder:
        host = Host(folder)
        try:
            yield host
        finally:
            host.run("mock", "stop")


def test_a_domain_of_ours_is_clean_from_its_making_to_its_end(host: Host) -> None:
    assert host.run("store", "audit")[0] == 0  # starts the mock host, as every command does
    assert host.run("create", "-p", "tiny.cfg")[0] == 0
    code, out, err = host.run("store", "audit")
    assert (code, err) == (0, ""), out
    assert out.endswith("2 domains\n")
    host.run("unpause", "tiny")
    assert host.run("store", "audit", "tiny")[0] == 0
    assert host.run("store", "read", "-d", "tiny", "name", "domid")[1] == "tiny\n1\n"
    assert host.run("destroy", "tiny")[0] == 0
    assert host.run("store", "audit")[0] == 0
    assert host.run("store", "read", "-d", "tiny", "name")[0] == 1


def test_faults_in_a_real_tree_are_found_and_mended(host: Host) -> None:
    host.run("create", "-p", "tiny.cfg")
    assert host.run("store", "export", "/local/domain/1", "-o", "tiny.json")[0] == 0
    host.run("store", "chmod", "-d", "tiny", "console/tty", "n1")
    host.run("store", "write", "-d", "tiny", "device/vif/0/state", "1")
    host.run("store", "write", "/libxl/77/device", "")
    code, out, _ = host.run("store", "audit", "--json")
    assert code == 1
    found = {(finding["rule"], finding["path"]) for finding in json.loads(out)["findings"]}
    assert found == {
        ("guest-writable", "/local/domain/1/console/tty"),
        ("half-plugged", "/local/domain/1/device/vif/0"),
        ("gone-domain", "/libxl/77"),
    }
    assert host.run("store", "diff", "/local/domain/1", "tiny.json")[0] == 1
    assert host.run("store", "import", "--delete", "tiny.json")[0] == 0
    assert host.run("store", "rm", "/libxl/77")[0] == 0
    assert host.run("store", "audit")[0] == 0
    assert host.run("store", "diff", "/local/domain/1", "tiny.json") == (0, "", "")


def test_watching_ends_with_a_signal(host: Host) -> None:
    import signal

    host.run("mock", "start")
    with host.start("store", "watch", "/tool") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "/tool\n"
        host.run("store", "write", "/tool/x", "1")
        assert process.stdout.readline() == "/tool/x\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
