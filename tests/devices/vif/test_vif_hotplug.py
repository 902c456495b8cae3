"""How vifs join Domain-0's network, in which order, and that they leave it whatever has happened."""

from __future__ import annotations

import pytest

from tests.devices.vif.fakedom0 import GUEST, OTHER, UUID, FakeHost
from xentool.devices.device import Address
from xentool.devices.vif.hotplug import VifHotplug, disconnect
from xentool.devices.vif.openvswitch import parse_bridge
from xentool.devices.vif.spec import parse_vif
from xentool.errors import ConfigError, HostError, InUseError, NotFoundError, TimedOutError, XentoolError
from xentool.units import DomId

MAC = "00:16:3e:01:02:03"
ADDRESS = Address(DomId(GUEST), "vif", 0)
BACK = f"/local/domain/0/backend/vif/{GUEST}/0"
FRONT = f"/local/domain/{GUEST}/device/vif/0"
SCRIPTS = "/etc/xen/scripts"


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def hotplug(text: str) -> VifHotplug:
    return VifHotplug(parse_vif(f"mac={MAC},devid=0,{text}"), UUID)


def check(host: FakeHost, text: str) -> None:
    hotplug(text).check(host)
    assert host.done == []


def connect(host: FakeHost, text: str, *looks: str) -> list[str]:
    """What is done to connect it; `looks` is what is run before, to look."""
    plug = hotplug(text)
    plug.check(host)
    assert host.done == list(looks)
    host.vif_came()
    assert dict(plug.prepare(host, ADDRESS)) == {}
    plug.placed(host, ADDRESS)
    assert dict(plug.connect(host, ADDRESS)) == {"hotplug-status": "connected"}
    plug.release()
    return host.done


class TestBridged:
    def test_the_usual(self, host: FakeHost) -> None:
        assert connect(host, "") == [
            "mac vif7.0 fe:ff:ff:ff:ff:ff",
            "add vif7.0 xenbr0",
            "up vif7.0",
        ]
        assert not host.store.exists(f"{FRONT}/mtu")

    def test_all_of_it(self, host: FakeHost) -> None:
        text = "vifname=web0,bridge=br1,vlan=10p/20,lock,ips=10.0.0.5;10.0.0.6,script=vif-bridge"
        assert connect(host, text) == [
            "rename vif7.0 web0",
            "mac web0 fe:ff:ff:ff:ff:ff",
            "mtu web0 1400",
            f"guard web0 {MAC} 10.0.0.5+10.0.0.6 bridged",
            "add web0 br1",
            "vlan web0 10p/20",
            "up web0",
        ]
        assert host.store.read(f"{FRONT}/mtu") == b"1400"

    def test_its_own_mtu(self, host: FakeHost) -> None:
        assert "mtu vif7.0 1300" in connect(host, "bridge=br1,mtu=1300")
        assert not host.store.exists(f"{FRONT}/mtu")  # it was told with the other nodes

    def test_never_up_before_it_is_guarded(self, host: FakeHost) -> None:
        done = connect(host, "lock")
        assert (
            done.index(f"guard vif7.0 {MAC}  bridged")
            < done.index("add vif7.0 xenbr0")
            < done.index("up vif7.0")
        )

    def test_no_bridge(self, host: FakeHost) -> None:
        with pytest.raises(NotFoundError, match="there is no bridge br7") as caught:
            check(host, "bridge=br7")
        assert caught.value.hint == "bridges here: br1, xenbr0"

    def test_no_bridge_at_all(self, host: FakeHost) -> None:
        del host.links.all["xenbr0"], host.links.all["br1"]
        with pytest.raises(NotFoundError, match="there is no bridge xenbr0") as caught:
            check(host, "")
        assert "ip link add xenbr0 type bridge" in caught.value.hint

    def test_something_else_than_a_bridge(self, host: FakeHost) -> None:
        with pytest.raises(HostError, match="eth0 is no bridge of Linux") as caught:
            check(host, "bridge=eth0")
        assert "vif-openvswitch" in caught.value.hint

    def test_the_bridge_that_bears_the_cards_name(self, host: FakeHost) -> None:
        host.links.all["eth0"].is_bridge = True
        del host.links.all["xenbr0"]
        assert "add vif7.0 eth0" in connect(host, "")
        with pytest.raises(NotFoundError):
            check(host, "bridge=xenbr1")

    def test_a_lock_that_another_left_to_its_name(self, host: FakeHost) -> None:
        done = connect(host, "vifname=web0")
        assert done[:2] == ["unguard web0", "rename vif7.0 web0"]
        host.dom0.firewall.works = False
        assert "unguard web0" not in connect(host, "vifname=web1")

    def test_a_name_that_is_taken(self, host: FakeHost) -> None:
        with pytest.raises(InUseError, match="called eth0 already"):
            check(host, "vifname=eth0")

    def test_no_firewall(self, host: FakeHost) -> None:
        host.dom0.firewall.works = False
        check(host, "")
        with pytest.raises(HostError, match="nftables"):
            check(host, "lock")

    def test_netback_does_not_make_it(self, host: FakeHost) -> None:
        with pytest.raises(TimedOutError):
            hotplug("").connect(host, ADDRESS)

    def test_past_iptables(self, host: FakeHost) -> None:
        host.links.iptables = True
        assert "run" not in " ".join(connect(host, ""))  # there is no iptables
        host.dom0.programs.answers["iptables"] = (0, "")
        rule = "run iptables -w -I FORWARD -m physdev --physdev-is-bridged"
        assert [line for line in connect(host, "ip=10.0.0.5 2001:db8::5") if line.startswith("run")] == [
            f"{rule} --physdev-in vif7.0 -s 10.0.0.5 -j ACCEPT",
            f"{rule} --physdev-in vif7.0 -p udp --sport 68 --dport 67 -j ACCEPT",
            f"{rule} --physdev-out vif7.0 -j ACCEPT",
        ]
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-bridge"})
        rule = rule.replace("-I", "-D")
        assert [line for line in host.done if line.startswith("run")] == [
            f"{rule} --physdev-in vif7.0 -j ACCEPT",
            f"{rule} --physdev-out vif7.0 -j ACCEPT",
        ]


class TestMacInUse:
    def plug(self, host: FakeHost, domid: int, mac: str, bridge: str = "xenbr0") -> None:
        host.store.write(f"/libxl/{domid}/device/vif/2/mac", mac)
        host.store.write(f"/libxl/{domid}/device/vif/2/bridge", bridge)

    @pytest.mark.parametrize("domid", [GUEST, OTHER])
    def test_by_a_running_domain(self, host: FakeHost, domid: int) -> None:
        self.plug(host, domid, MAC.upper())
        name = {GUEST: "web", OTHER: "db"}[domid]
        with pytest.raises(
            InUseError, match=rf"MAC address {MAC} is that of vif 2 of domain {name} \({domid}\)"
        ):
            check(host, "")

    def test_on_another_bridge(self, host: FakeHost) -> None:
        self.plug(host, OTHER, MAC, "br1")
        check(host, "")
        with pytest.raises(InUseError):
            check(host, "bridge=br1")

    def test_by_what_is_left_of_a_domain(self, host: FakeHost) -> None:
        self.plug(host, OTHER, MAC)
        host.store.rm(f"/local/domain/{OTHER}")
        check(host, "")

    def test_others(self, host: FakeHost) -> None:
        self.plug(host, OTHER, "00:16:3e:01:02:04")
        host.store.mkdir(f"/libxl/{OTHER}/device/vif/3")
        check(host, "")

    def test_no_domain_ever(self, host: FakeHost) -> None:
        host.store.rm("/libxl")
        check(host, "")


class TestRouted:
    def test_the_usual(self, host: FakeHost) -> None:
        assert connect(host, "script=vif-route,ip=10.0.0.5 10.1.0.0/16 2001:db8::5") == [
            "address vif7.0 192.168.1.2",
            "up vif7.0",
            "proxy-arp vif7.0",
            "route 10.0.0.5 vif7.0 192.168.1.2",
            "route 10.1.0.0/16 vif7.0 192.168.1.2",
            "route 2001:db8::5 vif7.0 192.168.1.2",
        ]

    def test_locked(self, host: FakeHost) -> None:
        host.links.addresses["br1"] = "10.0.0.1"
        done = connect(host, "script=vif-route,gatewaydev=br1,ips=10.0.0.5,vifname=web0,mtu=1300")
        assert done == [
            "rename vif7.0 web0",
            "mtu web0 1300",
            "address web0 10.0.0.1",
            f"guard web0 {MAC} 10.0.0.5 alone",
            "up web0",
            "proxy-arp web0",
            "route 10.0.0.5 web0 10.0.0.1",
        ]

    @pytest.mark.parametrize(
        ("text", "error", "reason"),
        [
            ("gatewaydev=eth7", HostError, "there is no interface eth7"),
            ("gatewaydev=br1", HostError, "br1, to which it would be routed, has no IPv4 address"),
            ("ip=dhcp", ConfigError, "ip: dhcp is no IP address"),
            ("vlan=10", ConfigError, "vif-route has no bridge"),
        ],
    )
    def test_what_cannot_be(self, host: FakeHost, text: str, error: type[XentoolError], reason: str) -> None:
        with pytest.raises(error, match=reason) as caught:
            check(host, f"script=vif-route,{text}")
        assert caught.value.hint

    def test_leaving(self, host: FakeHost) -> None:
        host.vif_came()
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-route"})
        assert host.done == ["down vif7.0"]


class TestSwitched:
    @pytest.fixture(autouse=True)
    def switch(self, host: FakeHost) -> None:
        host.dom0.programs.answers["ovs-vsctl"] = (0, "")

    def test_the_usual(self, host: FakeHost) -> None:
        host.store.write(f"/vm/{GUEST}/name", 'a "b"')
        check_done = "run ovs-vsctl --timeout=30 br-exists ovs0"
        hotplug("script=vif-openvswitch,bridge=ovs0.10:20:30").check(host)
        assert host.done == [check_done]
        done = connect(host, "script=vif-openvswitch,bridge=ovs0.10:20:30,lock,mtu=1300", check_done)
        set_id = "-- set interface vif7.0 external-ids:"
        add = ["run ovs-vsctl --timeout=30 -- --if-exists del-port vif7.0"]
        add += ["-- add-port ovs0 vif7.0 tag=10 trunks=20,30 vlan_mode=native-untagged"]
        pairs = [r'xen-vm-name="a \"b\""', f'xen-vm-uuid="{UUID}"', f'attached-mac="{MAC}"']
        assert done == [
            "mac vif7.0 fe:ff:ff:ff:ff:ff",
            "mtu vif7.0 1300",
            f"guard vif7.0 {MAC}  alone",
            " ".join([*add, *(f"{set_id}{pair}" for pair in pairs)]),
            "up vif7.0",
        ]

    @pytest.mark.parametrize(
        ("text", "options"),
        [
            ("bridge=ovs0", []),
            ("bridge=ovs0.10", ["tag=10"]),
            ("bridge=ovs0:20:30", ["trunks=20,30"]),
            ("bridge=ovs0,vlan=10", ["tag=10"]),
            ("bridge=ovs0,vlan=10p/20-21", ["tag=10", "trunks=20,21", "vlan_mode=native-untagged"]),
        ],
    )
    def test_vlans(self, text: str, options: list[str]) -> None:
        assert parse_bridge(parse_vif(text)) == ("ovs0", options)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("bridge=ovs0.10,vlan=10", "both bridge and vlan"),
            ("bridge=ovs0,vlan=10p/20u", "one VLAN untagged"),
        ],
    )
    def test_vlans_that_cannot_be(self, host: FakeHost, text: str, reason: str) -> None:
        with pytest.raises(ConfigError, match=reason):
            check(host, f"script=vif-openvswitch,{text}")

    @pytest.mark.parametrize("bridge", ["ovs0.", "ovs0.x", "ovs0:4096", ".10", "ovs0.1.2", "ovs0::"])
    def test_bridges_that_are_none(self, host: FakeHost, bridge: str) -> None:
        with pytest.raises(ConfigError, match="is not BRIDGE"):
            check(host, f"script=vif-openvswitch,bridge={bridge}")

    def test_no_such_bridge(self, host: FakeHost) -> None:
        answers = iter([(2, ""), (0, "ovs0\novs1\n")])
        host.dom0.programs.answers["ovs-vsctl"] = lambda: next(answers)
        with pytest.raises(NotFoundError, match="no bridge xenbr0") as caught:
            hotplug("script=vif-openvswitch").check(host)
        assert caught.value.hint == "it has: ovs0, ovs1"

    def test_a_switch_that_does_not_run(self, host: FakeHost) -> None:
        host.dom0.programs.answers["ovs-vsctl"] = (1, "line\novs-vsctl: database connection failed\n")
        with pytest.raises(HostError, match="Open vSwitch refuses: ovs-vsctl: database connection failed"):
            hotplug("script=vif-openvswitch").check(host)

    def test_no_switch(self, host: FakeHost) -> None:
        del host.dom0.programs.answers["ovs-vsctl"]
        with pytest.raises(HostError, match="has no ovs-vsctl"):
            check(host, "script=vif-openvswitch")
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-openvswitch"})
        assert host.done == []

    @pytest.mark.parametrize("there", [True, False])
    def test_leaving(self, host: FakeHost, there: bool) -> None:
        if there:
            host.vif_came(0, "web0")
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-openvswitch", "vifname": "web0"})
        gone = "run ovs-vsctl --timeout=30 -- --if-exists del-port web0"
        assert host.done == (["down web0", gone] if there else [gone])


class TestLeaving:
    def test_the_usual(self, host: FakeHost) -> None:
        host.vif_came()
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-bridge"})
        assert host.done == ["down vif7.0", "release vif7.0"]

    @pytest.mark.parametrize(
        "nodes", [{}, {"script": f"{SCRIPTS}/vif-bridge"}, {"vifname": "web0", "mac": "?"}]
    )
    def test_what_is_gone_already(self, host: FakeHost, nodes: dict[str, str]) -> None:
        disconnect(host, ADDRESS, nodes)
        assert host.done == []

    def test_a_name_that_is_anothers_by_now(self, host: FakeHost) -> None:
        """xl's renaming failed because eth0 is the host's card; its record says eth0 all the same."""
        host.vif_came()
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-bridge", "vifname": "eth0"})
        assert host.done == ["down vif7.0", "release vif7.0"]
        host.links.vifs.clear()
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-bridge", "vifname": "eth0"})
        assert host.done == []

    def test_locked(self, host: FakeHost) -> None:
        host.vif_came(0, "web0")
        disconnect(host, ADDRESS, {"vifname": "web0", "lock": "10.0.0.5"})
        done = host.done
        assert done[:3] == ["down web0", "release web0", "down web0"]
        assert sorted(done[3:]) == ["unguard vif7.0", "unguard web0"]

    def test_a_guard_goes_though_the_script_fails(self, host: FakeHost) -> None:
        with pytest.raises(NotFoundError):
            disconnect(host, ADDRESS, {"script": "/gone", "lock": ""})
        assert host.done == ["run /gone offline type_if=vif", "unguard vif7.0"]

    def test_it_goes_meanwhile(self, host: FakeHost) -> None:
        host.links.vifs[GUEST, 0] = "vif7.0"  # and yet there is no such interface any more
        disconnect(host, ADDRESS, {"script": f"{SCRIPTS}/vif-route", "lock": ""})
        assert host.done == ["unguard vif7.0"]
