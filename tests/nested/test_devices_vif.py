"""Vifs on real Xen: xl's nodes for xl's words, each way into Domain-0's network, and out again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, tiny_kernel, write_config
from tests.nested.waiting import settled
from xentool.store.client import StoreClient
from xentool.store.snapshot import settled_tree

BRIDGE, OTHER_BRIDGE, CARD, SWITCH = "xenbr7", "xenbr8", "card0", "ovsbr7"
NOTE = "/etc/xen/scripts/vif-note"
NOTE_TEXT = """#!/bin/bash
{ echo "$@"; for name in script XENBUS_TYPE XENBUS_PATH XENBUS_BASE_PATH netdev vif; do
    echo "$name=${!name}"; done; } >> /run/vif-note
if [ "$1" = online ]; then xenstore-write "$XENBUS_PATH/hotplug-status" connected; fi
"""
FAILS = """#!/bin/bash
echo first
xenstore-write "$XENBUS_PATH/hotplug-error" 'own words'
[ "$1" = offline ] || exit 3
"""
MAC = "mac=00:16:3e:00:77:01"


@pytest.fixture
def network(dom0: Dom0) -> Iterator[None]:
    """Two bridges, one with another MTU that tells VLANs apart, and a card with an address."""
    dom0.run("modprobe", "-a", "bridge", "xen-netback")
    dom0.run("modprobe", "dummy", "numdummies=0")
    for name in (BRIDGE, OTHER_BRIDGE):
        dom0.run("ip", "link", "add", name, "type", "bridge")
        dom0.run("ip", "link", "set", name, "up")
    dom0.run("ip", "link", "set", OTHER_BRIDGE, "type", "bridge", "vlan_filtering", "1")
    dom0.run("ip", "link", "set", OTHER_BRIDGE, "mtu", "1380")
    dom0.run("ip", "link", "add", CARD, "type", "dummy")
    dom0.run("ip", "address", "add", "192.168.77.1/24", "dev", CARD)
    dom0.run("ip", "link", "set", CARD, "up")
    yield
    for name in (BRIDGE, OTHER_BRIDGE, CARD):
        dom0.run("ip", "link", "del", name)


@pytest.fixture
def domid(dom0: Dom0, network: None, tmp_path: Path) -> int:
    """A paused guest without a driver: what is written stays as it was written."""
    config = write_config(
        tmp_path / "v.cfg",
        name="v",
        kernel=tiny_kernel(),
        memory=16,
        uuid="11111111-2222-3333-4444-000000000077",
    )
    dom0.xl("create", "-p", str(config))
    (found,) = (number for number in dom0.domids() if number)
    return found


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[None]:
    made = {NOTE: NOTE_TEXT, "/etc/xen/scripts/vif-fails": FAILS}
    for path, text in made.items():
        Path(path).write_text(text)
        Path(path).chmod(0o755)
    yield
    for path in (*made, "/run/vif-note"):
        Path(path).unlink(missing_ok=True)


def vif_nodes(domid: int) -> dict[str, tuple[bytes | None, tuple[str, ...] | None]]:
    """All nodes of the domain's vifs, wherever they are."""
    with StoreClient() as store:
        tree = settled_tree(store, "/").nodes
    tops = (
        f"/local/domain/0/backend/vif/{domid}",
        f"/local/domain/{domid}/device/vif",
        f"/libxl/{domid}/device/vif",
    )
    return {path: (node.value, node.permissions) for path, node in tree.items() if path.startswith(tops)}


def links() -> list[str]:
    return sorted(name for name in os.listdir("/sys/class/net") if name.startswith("vif"))


@pytest.mark.parametrize(
    "words",
    [
        (MAC,),
        (MAC, f"bridge={OTHER_BRIDGE}", "rate=10Mb/s@20ms", "model=e1000", "type=vif", "ip=10.0.0.5"),
        (MAC, f"bridge={OTHER_BRIDGE}", "mtu=1300", "untrusted", "devid=5"),
        (MAC, f"script={NOTE}", f"gatewaydev={CARD}", "vifname=named", "mtu=1500", "trusted", "backend=0"),
    ],
    ids=["least", "bridged", "mtu", "script"],
)
def test_nodes_and_ties_are_xl_s(dom0: Dom0, domid: int, scripts: None, words: tuple[str, ...]) -> None:
    words = words if any("bridge" in word for word in words) else (*words, f"bridge={BRIDGE}")
    devid = "5" if "devid=5" in words else "0"
    found = []
    for tool in (dom0.xl, dom0.xentool):
        tool("network-attach", "v", *words)
        bridged = dom0.run("bridge", "link").stdout.split(" ", 1)[-1]  # all but the index
        link = dom0.run("ip", "-br", "link", "show", f"vif{domid}.{devid}").stdout.split()
        noted = Path("/run/vif-note").read_text() if NOTE in "".join(words) else ""
        found.append((vif_nodes(domid), bridged, link[2:], noted))
        Path("/run/vif-note").unlink(missing_ok=True)
        dom0.xentool("network-detach", "v", devid)
        assert vif_nodes(domid) == {}
        assert settled(links, []) == []
        if noted:
            assert Path("/run/vif-note").read_text() == noted.replace("online", "offline")
            Path("/run/vif-note").unlink()
    assert found[1] == found[0]


@pytest.mark.once
def test_every_way_in_and_out(dom0: Dom0, domid: int, network: None) -> None:
    words = (
        (f"bridge={OTHER_BRIDGE}", "vifname=named", "vlan=10p/20-21"),
        ("script=vif-route", f"gatewaydev={CARD}", "ip=10.77.0.5 10.78.0.0/24", "lock"),
        (f"bridge={BRIDGE}", "lock", "ips=10.0.0.9"),
    )
    for each in words:
        dom0.xentool("network-attach", "v", *each)
    vlans = dom0.run("bridge", "-compressvlans", "vlan", "show", "dev", "named").stdout.split()
    assert vlans[2:] == ["named", "10", "PVID", "Egress", "Untagged", "20-21"]
    routes = dom0.run("ip", "route").stdout
    for route in ("10.77.0.5", "10.78.0.0/24"):
        assert f"{route} dev vif{domid}.1 scope link src 192.168.77.1 metric 2" in routes
    assert Path(f"/proc/sys/net/ipv4/conf/vif{domid}.1/proxy_arp").read_text() == "1\n"
    assert (vif_nodes(domid)[f"/local/domain/{domid}/device/vif/0/mtu"])[0] == b"1380"
    rules = dom0.run("nft", "list", "ruleset").stdout
    assert f'"vif{domid}.2"' in rules
    assert f"dev/vif{domid}.1" in rules
    for devid in "012":
        dom0.xentool("network-detach", "v", devid)
    assert vif_nodes(domid) == {}
    assert f"vif{domid}" not in dom0.run("nft", "list", "ruleset").stdout
    assert "10.77.0.5" not in dom0.run("ip", "route").stdout


@pytest.mark.once
def test_locks_come_back_after_a_flush_and_go_after_xl(dom0: Dom0, domid: int, network: None) -> None:
    dom0.xentool("network-attach", "v", f"bridge={BRIDGE}", "lock", "ips=10.0.0.9")
    # By its path Xen's own script is run, which renames the interface under its lock.
    path = "script=/etc/xen/scripts/vif-bridge"
    dom0.xentool("network-attach", "v", f"bridge={BRIDGE}", path, "vifname=named", "lock")
    assert f"master {BRIDGE}" in dom0.run("ip", "link", "show", "named").stdout

    def rules() -> set[str]:
        return set(dom0.run("nft", "list", "ruleset").stdout.splitlines())

    before = rules()
    assert dom0.xentool("gc").stdout == ""
    dom0.run("nft", "flush", "ruleset")
    assert dom0.xentool("gc").stdout == f"locked again: named\nlocked again: vif{domid}.0\n"
    assert '\t\ttype filter hook ingress device "named" priority -310; policy accept;' in rules()
    assert {line for line in before if f"vif{domid}.0" in line} <= rules()
    dom0.run("xl", "network-detach", "v", "0")
    said = dom0.xentool("gc").stdout
    assert (said.startswith("no longer locked"), said.endswith(f": vif{domid}.0\n")) == (True, True)
    assert f"vif{domid}.0" not in dom0.run("nft", "list", "ruleset").stdout
    dom0.xentool("network-detach", "v", "1")
    assert "named" not in dom0.run("nft", "list", "ruleset").stdout
    # Xen's script takes an interface's name for its domain and number, and writes the MTU there.
    dom0.run("xenstore-rm", "/local/domain/named")


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        ((f"bridge={CARD}",), (f"{CARD} is no bridge", BRIDGE)),
        (("bridge=none",), ("there is no bridge none", f"bridges here: {BRIDGE}, {OTHER_BRIDGE}")),
        ((f"bridge={BRIDGE}", f"vifname={CARD}"), (f"called {CARD} already",)),
        ((f"bridge={BRIDGE}", "vlan=10"), ("does not tell VLANs apart", "vlan_filtering 1")),
        (("script=vif-none",), ("/etc/xen/scripts/vif-none is not there",)),
        (("script=vif-fails",), ("exit code 3", "own words", "first")),
        (("script=vif-route",), ("there is no interface eth0",)),
        (("backend=nobody",), ("nobody",)),
    ],
)
@pytest.mark.once
def test_what_cannot_be_leaves_nothing(
    dom0: Dom0, domid: int, scripts: None, words: tuple[str, ...], reasons: tuple[str, ...]
) -> None:
    done = dom0.xentool("network-attach", "v", *words, check=False)
    assert done.returncode
    for reason in reasons:
        assert reason in done.stderr
    assert vif_nodes(domid) == {}
    assert settled(links, []) == []


@pytest.mark.once
def test_a_mac_in_use(dom0: Dom0, domid: int) -> None:
    dom0.xl("network-attach", "v", MAC, f"bridge={BRIDGE}")
    done = dom0.xentool("network-attach", "v", MAC, f"bridge={BRIDGE}", check=False)
    assert done.returncode == 6
    assert f"is that of vif 0 of domain v ({domid})" in done.stderr
    dom0.xentool("network-detach", "v", "0")


@pytest.mark.once
def test_open_vswitch(dom0: Dom0, domid: int, tmp_path: Path) -> None:
    os.makedirs("/run/openvswitch", exist_ok=True)
    database = str(tmp_path / "conf.db")
    dom0.run("modprobe", "openvswitch")
    dom0.run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
    remote = "--remote=punix:/run/openvswitch/db.sock"
    dom0.run("ovsdb-server", remote, "--detach", "--pidfile", database)
    dom0.run("ovs-vsctl", "--no-wait", "init")
    dom0.run("ovs-vswitchd", "--detach", "--pidfile")
    try:
        dom0.run("ovs-vsctl", "add-br", SWITCH)
        port = f"vif{domid}.0"
        dom0.xentool("network-attach", "v", "script=vif-openvswitch", f"bridge={SWITCH}.10:20", "lock")
        assert dom0.run("ovs-vsctl", "list-ports", SWITCH).stdout == f"{port}\n"
        columns = dom0.run("ovs-vsctl", "get", "port", port, "tag", "trunks", "vlan_mode").stdout
        assert columns.split("\n") == ["10", "[20]", "native-untagged", ""]
        assert "xen-vm-name=v" in dom0.run("ovs-vsctl", "get", "interface", port, "external-ids").stdout
        assert f"dev/{port}" in dom0.run("nft", "list", "ruleset").stdout
        dom0.xl("network-attach", "v", "script=vif-openvswitch", f"bridge={SWITCH}")
        for devid in "01":
            dom0.xentool("network-detach", "v", devid)
        assert dom0.run("ovs-vsctl", "list-ports", SWITCH).stdout == ""
        missing = dom0.xentool("network-attach", "v", "script=vif-openvswitch", "bridge=none", check=False)
        assert f"hint: it has: {SWITCH}" in missing.stderr
    finally:
        dom0.run("ovs-vsctl", "--if-exists", "del-br", SWITCH, check=False)
        for daemon in ("ovs-vswitchd", "ovsdb-server"):
            dom0.run("ovs-appctl", "-t", daemon, "exit", check=False)


@pytest.mark.once
def test_the_host_s_defaults(dom0: Dom0, domid: int) -> None:
    conf = Path("/etc/xen/xl.conf")
    before = conf.read_text()
    conf.write_text(f'{before}\nvif.default.bridge="{OTHER_BRIDGE}"\n')
    found = []
    try:
        for tool in (dom0.xl, dom0.xentool):
            tool("network-attach", "v", MAC)
            found.append(vif_nodes(domid))
            dom0.xentool("network-detach", "v", "0")
    finally:
        conf.write_text(before)
    assert found[1] == found[0]
    assert found[0][f"/libxl/{domid}/device/vif/0/bridge"][0] == OTHER_BRIDGE.encode()
