"""Network interfaces of Linux: real ones, in a network namespace of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import netns
from tests.support.netns import command, ip
from xentool.dom0.linux import links as links_module
from xentool.dom0.linux.links import LinuxLinks
from xentool.dom0.linux.rtnetlink import await_link
from xentool.errors import HostError, InUseError, NotFoundError, TimedOutError
from xentool.units import DomId

VIF, BRIDGE, OTHER_BRIDGE, CARD = "vif1.0", "xenbr0", "br1", "eth0"


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LinuxLinks]:
    """A vif, two bridges, and a card with an address."""
    netns.need_root()
    try:
        with netns.network_namespace():
            netns.make_vif(VIF, "guest")
            ip("link", "set", "guest", "up")
            for bridge in (BRIDGE, OTHER_BRIDGE):
                ip("link", "add", bridge, "type", "bridge")
            netns.make_vif(CARD, "outside")
            ip("addr", "add", "192.168.77.1/24", "dev", CARD)
            ip("link", "set", CARD, "up")
            # A sysfs shows the network of whoever mounted it.
            command("mount", "-t", "sysfs", "xentool-test", str(tmp_path))
            monkeypatch.setattr(links_module, "SYSFS", f"{tmp_path}/class/net")
            try:
                yield LinuxLinks()
            finally:
                command("umount", str(tmp_path))
    except PermissionError as exc:
        pytest.skip(f"no network namespaces here: {exc}")


def tell_vlans_apart() -> None:
    try:
        ip("link", "set", BRIDGE, "type", "bridge", "vlan_filtering", "1")
    except AssertionError:
        pytest.skip("this kernel's bridges know no VLANs")


def shown(name: str) -> str:
    return ip("-d", "-o", "link", "show", name)


def test_what_is_there(links: LinuxLinks) -> None:
    vif, bridge = links.find(VIF), links.find(BRIDGE)
    assert vif is not None
    assert bridge is not None
    assert (vif.name, vif.mtu, vif.is_bridge, vif.bridge) == (VIF, 1500, False, None)
    assert f"{vif.index}: " in shown(VIF)
    assert bridge.is_bridge
    assert links.bridges() == [OTHER_BRIDGE, BRIDGE]
    for name in ("none", "", "a/b", "x" * 16, "grün\0"):
        assert links.find(name) is None


def test_a_vifs_way_into_a_bridge(links: LinuxLinks) -> None:
    links.rename(VIF, "web0")
    links.set_mac("web0", "fe:ff:ff:ff:ff:ff")
    links.set_mtu("web0", 1400)
    links.add_to_bridge("web0", BRIDGE)
    links.add_to_bridge("web0", BRIDGE)
    links.set_up("web0")
    links.set_up("web0")
    text = shown("web0")
    for part in (",UP", " mtu 1400 ", f" master {BRIDGE} ", "fe:ff:ff:ff:ff:ff"):
        assert part in text
    found = links.find("web0")
    assert found is not None
    assert found.bridge == BRIDGE


def test_and_out_again(links: LinuxLinks) -> None:
    links.add_to_bridge(VIF, BRIDGE)
    links.set_up(VIF)
    links.set_up(VIF, False)
    for _ in range(2):
        links.release_from_bridge(VIF)
    assert "master" not in shown(VIF)
    assert ",UP" not in shown(VIF)
    links.release_from_bridge("none")


def test_vlans(links: LinuxLinks) -> None:
    tell_vlans_apart()
    links.add_to_bridge(VIF, BRIDGE)
    links.set_port_vlan(VIF, "10p/20-22/100+10x1/30u")
    vlans = [line.split() for line in command("bridge", "vlan", "show", "dev", VIF).splitlines()[1:]]
    assert " ".join(" ".join(line) for line in vlans) == (
        "vif1.0 10 PVID Egress Untagged 20 21 22 30 Egress Untagged 100 110"
    )


def test_many_vlans(links: LinuxLinks) -> None:
    tell_vlans_apart()
    links.add_to_bridge(VIF, BRIDGE)
    links.set_port_vlan(VIF, "1p/2-4094")
    listed = command("bridge", "-compressvlans", "vlan", "show", "dev", VIF)
    assert "2-4094" in listed
    assert "1 PVID Egress Untagged" in listed


def test_routed(links: LinuxLinks) -> None:
    source = links.address(CARD)
    assert source == "192.168.77.1"
    assert links.address(VIF) is None
    assert links.address("none") is None
    links.set_address(VIF, source)
    links.set_up(VIF)
    links.set_proxy_arp(VIF)
    links.add_route("10.8.0.5", VIF, source)
    links.add_route("10.9.0.0/24", VIF, source)
    assert f"inet {source}/32" in ip("addr", "show", VIF)
    routes = ip("route")
    assert f"10.8.0.5 dev {VIF} scope link src {source} metric 2" in routes
    assert f"10.9.0.0/24 dev {VIF} scope link src {source} metric 2" in routes
    for setting in ("proxy_arp", "forwarding"):
        assert command("cat", f"/proc/sys/net/ipv4/conf/{VIF}/{setting}") == "1\n"
    with pytest.raises(InUseError, match="there is one already"):
        links.add_route("10.8.0.5", VIF, source)
    with pytest.raises(HostError, match=r"10\.8\.0\.6"):
        links.add_route("10.8.0.6", VIF, "1.2.3.4")


def test_routed_in_ipv6(links: LinuxLinks) -> None:
    try:
        command("sysctl", "-q", "-w", f"net.ipv6.conf.{VIF}.disable_ipv6=0")
    except AssertionError:
        pytest.skip("this kernel has no IPv6")
    links.set_up(VIF)
    links.add_route("2001:db8::5", VIF, "192.168.77.1")
    assert f"2001:db8::5 dev {VIF} metric 2" in ip("-6", "route")


def test_what_cannot_be(links: LinuxLinks) -> None:
    with pytest.raises(InUseError, match="another one called xenbr0"):
        links.rename(VIF, BRIDGE)
    with pytest.raises(HostError, match="Invalid argument"):
        links.set_mtu(VIF, 1 << 30)
    with pytest.raises(NotFoundError, match="no such bridge") as caught:
        links.add_to_bridge(VIF, "none")
    assert caught.value.hint == "the bridges there are: br1, xenbr0"
    with pytest.raises(HostError, match="that is no bridge"):
        links.add_to_bridge(VIF, CARD)
    with pytest.raises(HostError, match="no port of a bridge"):
        links.set_port_vlan(VIF, "10")
    links.add_to_bridge(VIF, OTHER_BRIDGE)
    with pytest.raises(InUseError, match="it is a port of br1"):
        links.add_to_bridge(VIF, BRIDGE)
    with pytest.raises(HostError, match="does not tell VLANs apart") as untold:
        links.set_port_vlan(VIF, "10")
    assert "vlan_filtering 1" in untold.value.hint


def test_without_any_bridge(links: LinuxLinks) -> None:
    for bridge in (BRIDGE, OTHER_BRIDGE):
        ip("link", "del", bridge)
    with pytest.raises(NotFoundError, match="no such bridge") as caught:
        links.add_to_bridge(VIF, BRIDGE)
    assert "there is no bridge at all" in caught.value.hint


def test_what_is_not_there(links: LinuxLinks) -> None:
    attempts: tuple[Callable[[], None], ...] = (
        lambda: links.rename("none", "other"),
        lambda: links.set_mtu("none", 1500),
        lambda: links.set_mac("none", "fe:ff:ff:ff:ff:ff"),
        lambda: links.set_up("none"),
        lambda: links.set_up("none", False),
        lambda: links.add_to_bridge("none", BRIDGE),
        lambda: links.add_route("10.0.0.1", "none"),
        lambda: links.set_address("none", "10.0.0.1"),
        lambda: links.set_proxy_arp("none"),
    )
    for missing in attempts:
        with pytest.raises(NotFoundError, match="none"):
            missing()


def test_waiting(links: LinuxLinks) -> None:
    """It sleeps until the kernel says that an interface has come: by its own name, or by a new one."""

    def come() -> None:
        time.sleep(0.3)
        ip("link", "set", CARD, "down")
        ip("link", "set", CARD, "name", "late0")

    thread = threading.Thread(target=come)  # begins in the network of the one that starts it
    before, cpu = time.monotonic(), time.thread_time()
    thread.start()
    assert links.wait_for("late0", 300.0).name == "late0"
    assert 0.25 < time.monotonic() - before < 200
    assert time.thread_time() - cpu < 0.2
    thread.join()
    assert links.wait_for("late0", 0.0).name == "late0"


def test_waiting_in_vain(links: LinuxLinks) -> None:
    before = time.monotonic()
    ip("link", "set", CARD, "down")
    with pytest.raises(TimedOutError, match=r"did not come within 0\.2 s"):
        links.wait_for("never0", 0.2)
    assert time.monotonic() - before >= 0.2


def test_one_that_came_while_nobody_was_let_run() -> None:
    looks = iter([None, "late0"])
    assert await_link(lambda: next(looks), 0.0) == "late0"


def test_one_that_goes_as_it_is_bridged(links: LinuxLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    ioctl = LinuxLinks._ioctl

    def goes(links: LinuxLinks, request: int, name: str, value: bytes = b"") -> bytes:
        if request == links_module.SIOCBRADDIF:
            ip("link", "del", VIF)
        return ioctl(links, request, name, value)

    monkeypatch.setattr(LinuxLinks, "_ioctl", goes)
    with pytest.raises(NotFoundError, match=f"network interface {VIF}: there is no such interface"):
        links.add_to_bridge(VIF, BRIDGE)


def test_whose_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "XEN_BACKENDS", str(tmp_path))
    links = LinuxLinks()
    assert links.of_vif(DomId(3), 1) is None
    (tmp_path / "vif-3-1").mkdir()
    assert links.of_vif(DomId(3), 1) is None
    (tmp_path / "vif-3-1/net").mkdir()
    assert links.of_vif(DomId(3), 1) is None
    (tmp_path / "vif-3-1/net/web0").mkdir()
    assert links.of_vif(DomId(3), 1) == "web0"


@pytest.mark.parametrize(("text", "expected"), [("1\n", True), ("0\n", False), (None, False)])
def test_iptables_say_in_bridges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: bool
) -> None:
    path = tmp_path / "bridge-nf-call-iptables"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(links_module, "BRIDGED_TO_IPTABLES", str(path))
    assert LinuxLinks().filters_bridged() is expected
