"""Domain-0's network interfaces: what `xentool.dom0.port.Links` promises."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.contract.domain0 import BRIDGE, FREE, MAC, OTHER, PORT
from xentool.errors import HostError, InUseError, NotFoundError, TimedOutError, XentoolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract.domain0 import Sysadmin
    from xentool.dom0.port import Dom0


def test_interfaces_are_found(dom0: Dom0) -> None:
    bridge, port = dom0.links.find(BRIDGE), dom0.links.find(PORT)
    assert bridge is not None
    assert port is not None
    assert (bridge.name, bridge.is_bridge, bridge.bridge, bridge.mtu) == (BRIDGE, True, None, 1500)
    assert (port.name, port.is_bridge, port.bridge, port.mtu) == (PORT, False, None, 1500)
    assert 0 < bridge.index != port.index > 0
    assert dom0.links.find("ct-nobody") is None
    assert BRIDGE in dom0.links.bridges()
    assert PORT not in dom0.links.bridges()


def test_one_that_is_there_need_not_be_waited_for(dom0: Dom0) -> None:
    assert dom0.links.wait_for(PORT, 0.01).name == PORT


def test_one_that_does_not_come_in_time(admin: Sysadmin, dom0: Dom0) -> None:
    with pytest.raises(TimedOutError) as caught:
        dom0.links.wait_for(FREE, 0.05)
    assert caught.value.subject == FREE
    admin.add_interface(FREE)
    found = dom0.links.find(BRIDGE)
    assert found is not None
    assert found.name == BRIDGE, "an answer that comes too late is nobody's"


@pytest.mark.parametrize("how", ["made", "renamed"])
def test_one_that_comes(admin: Sysadmin, dom0: Dom0, tmp_path: Path, how: str) -> None:
    def come() -> None:
        other = admin.another()
        if how == "made":
            other.add_interface(FREE)
        else:
            other.dom0.links.rename(PORT, FREE)

    thread = threading.Thread(target=come)
    thread.start()
    assert dom0.links.wait_for(FREE, 90).name == FREE
    thread.join()


def test_rename(admin: Sysadmin, dom0: Dom0) -> None:
    before = dom0.links.find(PORT)
    dom0.links.rename(PORT, FREE)
    after = dom0.links.find(FREE)
    assert before is not None
    assert after is not None
    assert after.index == before.index
    assert dom0.links.find(PORT) is None
    with pytest.raises(InUseError):
        dom0.links.rename(FREE, BRIDGE)
    with pytest.raises(NotFoundError):
        dom0.links.rename(PORT, "ct-other")
    with pytest.raises(XentoolError):
        dom0.links.rename(FREE, "a-name-too-long-for-an-interface")


def test_mtu(dom0: Dom0) -> None:
    dom0.links.set_mtu(PORT, 9000)
    port = dom0.links.find(PORT)
    assert port is not None
    assert port.mtu == 9000
    for mtu in (20, 70000):
        with pytest.raises(HostError):
            dom0.links.set_mtu(PORT, mtu)
    with pytest.raises(NotFoundError):
        dom0.links.set_mtu("ct-nobody", 1500)


def test_nothing_can_be_done_to_what_is_not_there(dom0: Dom0) -> None:
    links = dom0.links
    attempts: list[Callable[[], None]] = [
        lambda: links.set_up("ct-nobody"),
        lambda: links.set_up("ct-nobody", up=False),
        lambda: links.set_mac("ct-nobody", MAC),
        lambda: links.add_to_bridge("ct-nobody", BRIDGE),
        lambda: links.add_route("192.0.2.7", "ct-nobody"),
        lambda: links.set_proxy_arp("ct-nobody"),
        lambda: links.set_address("ct-nobody", "192.0.2.7"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError, match="ct-nobody"):
            attempt()
    assert links.address("ct-nobody") is None


def test_ports_of_bridges(admin: Sysadmin, dom0: Dom0) -> None:
    links = dom0.links

    def bridge_of(name: str) -> str | None:
        link = links.find(name)
        assert link is not None
        return link.bridge

    links.add_to_bridge(PORT, BRIDGE)
    links.add_to_bridge(PORT, BRIDGE)
    assert bridge_of(PORT) == BRIDGE
    admin.add_bridge(OTHER)
    with pytest.raises(InUseError, match=BRIDGE):
        links.add_to_bridge(PORT, OTHER)
    links.release_from_bridge(PORT)
    assert bridge_of(PORT) is None
    links.release_from_bridge(PORT)
    links.release_from_bridge("ct-nobody")
    with pytest.raises(NotFoundError, match="ct-nobody"):
        links.add_to_bridge(PORT, "ct-nobody")
    admin.add_interface(FREE)
    with pytest.raises(HostError, match=FREE):
        links.add_to_bridge(PORT, FREE)
    with pytest.raises(HostError, match=OTHER):
        links.add_to_bridge(OTHER, BRIDGE)
    assert bridge_of(PORT) is None


def test_ports_are_free_when_their_bridge_goes(admin: Sysadmin, dom0: Dom0) -> None:
    dom0.links.add_to_bridge(PORT, BRIDGE)
    admin.delete(BRIDGE)
    port = dom0.links.find(PORT)
    assert port is not None
    assert port.bridge is None


def test_vlans(admin: Sysadmin, dom0: Dom0) -> None:
    with pytest.raises(HostError, match="no port"):
        dom0.links.set_port_vlan(PORT, "10p/20")
    dom0.links.add_to_bridge(PORT, BRIDGE)
    with pytest.raises(HostError, match=BRIDGE):
        dom0.links.set_port_vlan(PORT, "10p/20")
    dom0.links.release_from_bridge(PORT)
    admin.add_bridge(OTHER, vlan_filtering=True)
    dom0.links.add_to_bridge(PORT, OTHER)
    dom0.links.set_port_vlan(PORT, "10p/20-22")


def test_routes(dom0: Dom0) -> None:
    dom0.links.set_up(PORT, up=False)
    with pytest.raises(XentoolError):
        dom0.links.add_route("192.0.2.7", PORT)
    dom0.links.set_up(PORT)
    dom0.links.add_route("192.0.2.7", PORT)
    dom0.links.add_route("192.0.2.128/25", PORT)
    dom0.links.set_proxy_arp(PORT)
    dom0.links.set_up(PORT, up=False)


def test_addresses(dom0: Dom0) -> None:
    dom0.links.set_address(PORT, "192.0.2.9")
    assert dom0.links.address(PORT) == "192.0.2.9"
