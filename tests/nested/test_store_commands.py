"""The store commands in a real dom0: xenstore-* is the oracle for their text, xl's domains for the audit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nested.dom0 import MARKER, RAMDISK, Dom0, tiny_kernel, write_config

pytestmark = pytest.mark.once


@pytest.fixture
def guests(dom0: Dom0, tmp_path: Path) -> Iterator[dict[str, int]]:
    """Two paused guests, one made by each tool: their domids."""
    domids = {}
    for tool in ("xl", "xentool"):
        config = write_config(
            tmp_path / f"{tool}.cfg", name=f"by-{tool}", type="pv", kernel=tiny_kernel(), memory=8
        )
        dom0.run(tool, "create", "-p", str(config))
        domids[tool] = int(dom0.xl("domid", f"by-{tool}").stdout)
        dom0.console_tty(domids[tool])  # after that nothing of it changes by itself
    yield domids
    for domid in domids.values():
        dom0.xl("destroy", str(domid), check=False)


@pytest.fixture
def scratch(dom0: Dom0) -> Iterator[str]:
    """A node for a test's own use."""
    yield "/tool/xentool-test"
    dom0.run("xenstore-rm", "/tool/xentool-test")


def same(dom0: Dom0, theirs: tuple[str, ...], ours: tuple[str, ...]) -> str:
    """Both print the same, and end with the same exit code; what they print."""
    first, second = dom0.run(*theirs, check=False), dom0.xentool("store", *ours, check=False)
    assert second.stdout == first.stdout
    assert second.returncode == first.returncode
    return second.stdout


def test_trees_and_lists_are_printed_as_xenstores_tools_do(dom0: Dom0, guests: dict[str, int]) -> None:
    for options in ([], ["-p"], ["-f"], ["-fp"]):
        text = same(dom0, ("xenstore-ls", *options), ("tree", *options))
        assert "by-xl" in text
        home = f"/local/domain/{guests['xl']}"
        assert "console" in same(dom0, ("xenstore-ls", *options, home), ("tree", *options, home))
    for options in ([], ["-p"]):
        same(
            dom0,
            ("xenstore-list", *options, "/local/domain", "/vm"),
            ("ls", *options, "/local/domain", "/vm"),
        )
        same(
            dom0,
            ("xenstore-read", *options, f"{home}/name", "domid"),
            ("read", *options, f"{home}/name", "domid"),
        )
    same(dom0, ("xenstore-list", "/none"), ("ls", "/none"))
    same(dom0, ("xenstore-read", "/none"), ("read", "/none"))
    same(dom0, ("xenstore-exists", home), ("exists", home))
    same(dom0, ("xenstore-exists", "/none"), ("exists", "/none"))
    same(dom0, ("xenstore-watch", "-n", "2", home, "/vm"), ("watch", "-n", "2", home, "/vm"))


@pytest.mark.parametrize(
    ("tool", "command", "words"),
    [
        ("write", "write", ["S/w", r"a\tb\x1b\\", "S/v/x", ""]),
        ("write", "write", ["-R", "S/w", r"\t"]),
        ("rm", "rm", ["S/a"]),
        ("rm", "rm", ["-t", "S/c/d"]),
        ("rm", "rm", ["S/a", "S/none/none"]),
        ("chmod", "chmod", ["S/a", "n0", "r3"]),
        ("chmod", "chmod", ["-r", "S", "b0", "r1"]),
        ("chmod", "chmod", ["-u", "S/c/d", "n0"]),
    ],
)
def test_the_same_is_done(dom0: Dom0, scratch: str, tool: str, command: str, words: list[str]) -> None:
    line = [word.replace("S", scratch) for word in words]
    seen = []
    for run in (("xenstore-" + tool,), ("xentool", "store", command)):
        dom0.run("xenstore-rm", scratch)
        dom0.run("xenstore-write", f"{scratch}/a", "1", f"{scratch}/c/d", "")
        done = dom0.run(*run, *line, check=False)
        seen.append((done.returncode, done.stdout, dom0.run("xenstore-ls", "-fp", "/tool").stdout))
    assert seen[0] == seen[1]


def test_a_tree_goes_through_a_file_and_back(dom0: Dom0, guests: dict[str, int], tmp_path: Path) -> None:
    home, file = f"/local/domain/{guests['xl']}", str(tmp_path / "web.json")
    before = dom0.run("xenstore-ls", "-fp", home).stdout
    dom0.xentool("store", "export", home, "-o", file)
    assert dom0.xentool("store", "diff", home, file).stdout == ""
    dom0.run("xenstore-rm", f"{home}/control")
    dom0.run("xenstore-write", f"{home}/name", "other", f"{home}/data/x", r"\x00\xff")
    dom0.run("xenstore-chmod", f"{home}/console/tty", "b0")
    assert dom0.xentool("store", "diff", home, file, check=False).returncode == 1
    dom0.xentool("store", "import", "--delete", file)
    after = dom0.run("xenstore-ls", "-fp", home).stdout
    assert sorted(after.splitlines()) == sorted(before.splitlines())
    assert dom0.xentool("store", "diff", home, file).stdout == ""


def test_a_transaction_is_all_or_nothing(dom0: Dom0, scratch: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(
        f"write {scratch}/a 1 {scratch}/b 'two words'\nchmod {scratch}/a n0 r3\nread {scratch}/b\n"
    )
    assert dom0.xentool("store", "transaction", str(script)).stdout == "two words\n"
    assert "(n0,r3)" in dom0.run("xenstore-ls", "-p", scratch).stdout
    script.write_text(f"rm {scratch}/a\nexpect {scratch}/b three\n")
    assert dom0.xentool("store", "transaction", str(script), check=False).returncode == 1
    assert dom0.run("xenstore-read", f"{scratch}/a").stdout == "1\n"


def findings(dom0: Dom0, *words: str) -> set[tuple[str, str]]:
    done = dom0.xentool("store", "audit", "--json", *words, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["clean"] else 1)
    assert report["consistent"]
    return {(finding["rule"], finding["path"]) for finding in report["findings"]}


def test_what_xl_and_we_make_is_clean(dom0: Dom0, guests: dict[str, int]) -> None:
    assert findings(dom0) == set()
    for domid in guests.values():
        dom0.xl("unpause", str(domid))
    dom0.wait_for_console("by-xl", "tiny guest up")
    dom0.wait_for_console("by-xentool", "tiny guest up")
    assert findings(dom0) == set()
    for domid in guests.values():
        dom0.xl("destroy", str(domid))
    assert findings(dom0) == set()


def test_seeded_faults_are_found(dom0: Dom0, guests: dict[str, int]) -> None:
    domid = guests["xl"]
    home = f"/local/domain/{domid}"
    back = f"/local/domain/0/backend/console/{domid}/0"
    dom0.run("xenstore-chmod", f"{home}/console/tty", f"n{domid}")
    dom0.run("xenstore-chmod", back, "n0", f"b{domid}")
    dom0.run("xenstore-write", f"{home}/console/backend", "/local/domain/0/backend/console/99/0")
    dom0.run("xenstore-write", f"{home}/device/vbd/51712/state", "1")
    dom0.run("xenstore-write", "/local/domain/32000/name", "by-xl")
    dom0.run("xenstore-write", "/libxl/32000/device", "")
    dom0.run("xenstore-write", f"{home}/name", "by-xentool")
    try:
        assert findings(dom0) == {
            ("guest-writable", f"{home}/console/tty"),
            ("guest-writable", back),
            ("link", f"{home}/console/backend"),
            ("half-plugged", f"{home}/device/vbd/51712"),
            ("gone-domain", "/local/domain/32000"),
            ("gone-domain", "/libxl/32000"),
            ("name", f"{home}/name"),
            ("name", f"/local/domain/{guests['xentool']}/name"),
        }
        assert findings(dom0, "32000") == {
            ("gone-domain", "/local/domain/32000"),
            ("gone-domain", "/libxl/32000"),
        }
    finally:
        dom0.run("xenstore-rm", "/local/domain/32000", "/libxl/32000")


def test_a_gone_domain_leaves_what_the_audit_finds(dom0: Dom0, guests: dict[str, int]) -> None:
    """The nodes of a domain that was killed behind its toolstack's back."""
    domid = guests["xentool"]
    from xentool.hypervisor.calls import Hypercalls
    from xentool.hypervisor.xen import XenHypervisor
    from xentool.units import DomId

    uuid = dom0.run("xenstore-read", f"/local/domain/{domid}/vm").stdout.strip()
    with XenHypervisor() as hypervisor:
        Hypercalls(hypervisor).destroy_domain(DomId(domid))
    assert domid not in dom0.domids()  # of one that dies the nodes are in order
    try:
        found = findings(dom0)
        assert ("gone-domain", f"/libxl/{domid}") in found
        assert ("gone-domain", uuid) in found
        assert {rule for rule, _ in found} == {"gone-domain"}
        for rule, path in sorted(found, reverse=True):
            assert rule == "gone-domain"
            dom0.xentool("store", "rm", "-t", path)
        assert findings(dom0) == set()
    finally:
        dom0.run("sh", "-c", f"rm -f /var/lib/xen/userdata-?.{domid}.*")


HOTPLUG = """#!/bin/sh
# The least that a hotplug script has to do.
case "$1" in
online|add)
    case "$XENBUS_PATH" in backend/vbd/*) xenstore-write "$XENBUS_PATH/physical-device" 7:0;; esac
    xenstore-write "$XENBUS_PATH/hotplug-status" connected;;
esac
"""


@pytest.fixture
def with_devices(dom0: Dom0, tmp_path: Path) -> Iterator[int]:
    """A paused Linux guest of xl's with a network card and a disk; its domid."""
    script, disk = tmp_path / "hotplug", tmp_path / "disk"
    script.write_text(HOTPLUG)
    script.chmod(0o755)
    disk.write_bytes(bytes(1 << 20))
    dom0.run("losetup", "/dev/loop0", str(disk))
    dom0.run("ip", "link", "add", "xenbr0", "type", "bridge")
    config = write_config(
        tmp_path / "devices.cfg",
        name="devices",
        type="pv",
        kernel=dom0.kernel,
        ramdisk=RAMDISK,
        memory=128,
        vif=[f"bridge=xenbr0,script={script}"],
        disk=[f"format=raw,vdev=xvda,access=w,script={script},target=/dev/loop0"],
    )
    try:
        dom0.forget_console("devices")
        dom0.xl("create", "-p", str(config))
        domid = int(dom0.xl("domid", "devices").stdout)
        dom0.console_tty(domid)
        yield domid
    finally:
        dom0.xl("destroy", "devices", check=False)
        dom0.run("ip", "link", "del", "xenbr0")
        dom0.run("losetup", "-d", "/dev/loop0")


def test_devices_that_xl_plugs_are_clean_and_tampering_is_found(dom0: Dom0, with_devices: int) -> None:
    home = f"/local/domain/{with_devices}"
    ends = {("states", f"{home}/device/{device}/state") for device in ("vif/0", "vbd/51712")}
    assert dom0.xentool("store", "audit").returncode == 0
    assert findings(dom0) == ends  # notices: nobody has connected yet
    dom0.xl("unpause", str(with_devices))
    dom0.wait_for_console("devices", MARKER)
    for device in ("vif", "vbd"):
        wait_until_connected(dom0, with_devices, device)
    assert findings(dom0) == set()
    link = f"{home}/device/vif/0/backend"
    back = f"/local/domain/0/backend/vif/{with_devices}/0"
    dom0.run(
        "xenstore-write", link, "/local/domain/0/backend/vif/99/0", f"{back}/hotplug-error", "no such bridge"
    )
    assert findings(dom0) == {("link", link), ("hotplug", f"{back}/hotplug-error")}


def wait_until_connected(dom0: Dom0, domid: int, kind: str, seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    devid = {"vif": 0, "vbd": 51712}[kind]
    paths = (
        f"/local/domain/{domid}/device/{kind}/{devid}/state",
        f"/local/domain/0/backend/{kind}/{domid}/{devid}/state",
    )
    while dom0.run("xenstore-read", *paths).stdout != "4\n4\n":
        assert time.monotonic() < end, dom0.run("xenstore-ls", "-f").stdout
        time.sleep(0.5)
