"""The firewall's tables: what stands in them after guards come, go, and meet; no frame is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import netns
from xentool.dom0.linux import nft
from xentool.dom0.linux.firewall import NftFirewall
from xentool.dom0.linux.guards import read_devices, read_guards
from xentool.dom0.linux.nft import Nft
from xentool.errors import ConfigError, HostError, NotFoundError

MAC = "00:16:3e:00:00:01"


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    netns.need_root()
    with netns.network_namespace():
        yield


@pytest.fixture
def firewall() -> NftFirewall:
    return NftFirewall()


def ruleset() -> str:
    with Nft() as context:
        return context.run("list ruleset")


def test_what_is_guarded_is_read_back(firewall: NftFirewall) -> None:
    firewall.guard("vif1.0", MAC, [])
    firewall.guard("web+1@", MAC, ["10.0.0.5", "10.0.0.4", "10.0.1.0/24", "2001:DB8::1", "10.0.0.6"])
    firewall.guard("lo", "02:00:00:00:00:01", ["fe80::1"], bridged=False)
    assert firewall.guarded() == {
        "vif1.0": (),
        "web+1@": ("10.0.0.4-10.0.0.6", "10.0.1.0/24", "2001:db8::1"),
        "lo": ("fe80::1",),
    }


def test_a_guard_on_an_interface_that_was_renamed_is_that_ones(firewall: NftFirewall) -> None:
    firewall.guard("lo", MAC, ["10.0.0.4"], bridged=False)
    with Nft() as context:
        listing = context.run("list table netdev xentool", json=True)
        text = context.run("list table netdev xentool")
    assert read_devices(text) == {"dev/lo": "lo"}
    # As Linux lists it before 6.16: the chain keeps its name, and names its interface as that is called now.
    devices = read_devices(text.replace('device "lo"', 'device "web"'))
    assert read_guards("netdev", listing, devices) == {"web": ("10.0.0.4",)}


def test_what_is_read_back_can_be_guarded_again(firewall: NftFirewall) -> None:
    firewall.guard("vif1.0", MAC, ["10.0.0.4", "10.0.0.5", "10.0.0.6", "::2", "::3", "::4"])
    before = firewall.guarded()
    firewall.guard("vif1.0", MAC, before["vif1.0"])
    assert firewall.guarded() == before


def test_a_new_guard_replaces_the_old(firewall: NftFirewall) -> None:
    firewall.guard("vif1.0", MAC, ["10.0.0.1", "2001:db8::1"])
    firewall.guard("vif1.0", "00:16:3e:00:00:77", ["10.0.0.2"])
    assert firewall.guarded() == {"vif1.0": ("10.0.0.2",)}
    assert MAC not in ruleset()
    assert "10.0.0.1" not in ruleset()


def test_nothing_is_left_of_a_guard(firewall: NftFirewall) -> None:
    firewall.guard("vif1.0", MAC, ["10.0.0.1"])
    firewall.guard("lo", MAC, ["10.0.0.1"], bridged=False)
    firewall.unguard("vif1.0")
    firewall.unguard("lo")
    skeleton = ruleset()
    for name in ("vif1.0", "lo"):
        firewall.guard(name, MAC, ["10.0.0.1"], bridged=name != "lo")
        assert ruleset() != skeleton
        firewall.unguard(name)
        assert ruleset() == skeleton
        firewall.unguard(name)
        assert ruleset() == skeleton
    assert firewall.guarded() == {}


def test_where_nothing_is_guarded_nothing_is_made(firewall: NftFirewall) -> None:
    firewall.check()
    firewall.unguard("vif1.0")
    assert firewall.guarded() == {}
    assert ruleset() == ""


def test_others_tables_are_left_alone(firewall: NftFirewall) -> None:
    with Nft() as context:
        context.run("add table bridge filter; add chain bridge filter mine; add rule bridge filter mine drop")
    before = ruleset()
    firewall.guard("vif1.0", MAC, [])
    assert before in ruleset()
    firewall.unguard("vif1.0")
    assert before in ruleset()


@pytest.mark.parametrize(
    "damage",
    [
        "flush chain bridge xentool if/vif1.0",
        "flush chain bridge xentool prerouting",
        "flush chain bridge xentool input",
        "delete element bridge xentool interfaces { vif1.0 }",
        "insert rule bridge xentool if/vif1.0 accept",
        "delete table bridge xentool",
        "flush ruleset",
    ],
)
def test_a_guard_that_was_damaged_is_none_until_it_is_set_again(firewall: NftFirewall, damage: str) -> None:
    firewall.guard("vif1.0", MAC, ["10.0.0.1"])
    with Nft() as context:
        context.run(damage)
    assert firewall.guarded() == {}
    firewall.guard("vif1.0", MAC, ["10.0.0.1"])
    assert firewall.guarded() == {"vif1.0": ("10.0.0.1",)}


def test_guards_set_at_the_same_time_are_all_set(firewall: NftFirewall) -> None:
    children = []
    for child in range(6):
        pid = os.fork()
        if not pid:
            try:
                own = NftFirewall()
                for number in range(15):
                    own.guard(f"vif{child}.{number}", MAC, ["10.0.0.1"])
                    own.guard("passing", MAC, [])
                    own.unguard("passing")
                    if number % 3 == 0:
                        own.unguard(f"vif{child}.{number}")
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [0] * 6
    expected = {f"vif{child}.{number}" for child in range(6) for number in range(15) if number % 3}
    assert firewall.guarded().keys() == expected


@pytest.mark.parametrize(
    ("name", "mac", "addresses", "why"),
    [
        ('x" }; flush ruleset; #', MAC, [], "name has"),
        ("vif*", MAC, [], "name has"),
        ("", MAC, [], "name has"),
        ("..", MAC, [], "name has"),
        ("a" * 16, MAC, [], "name has"),
        ("vif1.0", "00:16:3e:00:00", [], "no MAC"),
        ("vif1.0", "00:16:3e:00:00:0g", [], "no MAC"),
        ("vif1.0", "00:16:3e:00:00:01 accept", [], "no MAC"),
        ("vif1.0", "01:16:3e:00:00:01", [], "group"),
        ("vif1.0", MAC, ["10.0.0.1 }; drop"], "no IP address"),
        ("vif1.0", MAC, ["10.0.0"], "no IP address"),
        ("vif1.0", MAC, ["10.0.0.1\0"], "no IP address"),
        ("vif1.0", MAC, ["10.0.0.1/24"], "not the network"),
        ("vif1.0", MAC, ["10.0.0.0/33"], "number of bits"),
        ("vif1.0", MAC, ["10.0.0.0/²"], "number of bits"),
        ("vif1.0", MAC, ["10.0.0.2-10.0.0.1"], "no range"),
        ("vif1.0", MAC, ["10.0.0.2-::1"], "no range"),
        ("vif1.0", MAC, [""], "no IP address"),
    ],
)
def test_what_is_no_name_mac_or_address_never_comes_near_the_kernel(
    firewall: NftFirewall, name: str, mac: str, addresses: list[str], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        firewall.guard(name, mac, addresses)
    assert ruleset() == ""


def test_out_of_a_bridge_the_interface_must_be_there(firewall: NftFirewall) -> None:
    with pytest.raises(NotFoundError, match=r"guard interface vif1\.0"):
        firewall.guard("vif1.0", MAC, [], bridged=False)
    assert ruleset() == ""


def test_without_the_library(firewall: NftFirewall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "LIBRARY", "libnftables.so.99")
    with pytest.raises(HostError, match=r"libnftables\.so\.99") as caught:
        firewall.check()
    assert "apt-get install libnftables1" in caught.value.hint


def test_who_may_not_is_told(firewall: NftFirewall) -> None:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setresuid(65534, 65534, 65534)
            firewall.check()
        except HostError as exc:
            code = 0 if "root" in exc.hint else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
