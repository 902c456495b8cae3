"""A vif's nodes, and its entry in libxl's record. What xl itself writes is compared in the lab."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.devices.vif.device import (
    lowest_free,
    mac_of,
    nic_entry,
    number_of,
    vif_device,
    with_defaults,
)
from xentool.devices.vif.spec import Vif, parse_vif
from xentool.errors import ConfigError
from xentool.units import DomId

UUID = "5f3a1c9e-7b2d-4e86-9a10-c4d2e8f01b37"
MAC = "00:16:3e:00:21:01"


def test_the_least() -> None:
    device = vif_device(Vif(devid=0, mac=MAC), UUID)
    assert (device.kind, device.devid, device.title) == ("vif", 0, "vif 0")
    # As `xl network-attach` leaves them, in its order.
    assert list(device.back.items()) == [
        ("script", "/etc/xen/scripts/vif-bridge"),
        ("mac", MAC),
        ("bridge", "xenbr0"),
        ("handle", "0"),
        ("type", "vif"),
        ("hotplug-status", ""),
    ]
    assert list(device.front.items()) == [("handle", "0"), ("mac", MAC), ("trusted", "1")]
    assert device.front_readonly == {"mtu": "1500"}
    assert device.record == {}


def test_all_of_it() -> None:
    text = (
        f"mac={MAC},bridge=br1,vifname=web0,mtu=1400,rate=10Mb/s@20ms,model=e1000,type=vif,vlan=10,"
        "ip=10.0.0.5 10.0.0.6,gatewaydev=eth0,script=vif-note,untrusted,devid=3,lock"
    )
    device = vif_device(parse_vif(text), UUID)
    assert list(device.back.items()) == [
        ("script", "/etc/xen/scripts/vif-note"),
        ("vifname", "web0"),
        ("mac", MAC),
        ("ip", "10.0.0.5 10.0.0.6"),
        ("gatewaydev", "eth0"),
        ("rate", "25000,20000"),
        ("mtu", "1400"),
        ("vlan", "10"),
        ("bridge", "br1"),
        ("handle", "3"),
        ("type", "vif"),
        ("hotplug-status", ""),
    ]
    assert device.front["trusted"] == "0"
    assert device.front_readonly == {"mtu": "1400"}
    assert device.record == {"lock": "10.0.0.5 10.0.0.6"}


def test_the_usual_mtu_is_not_written() -> None:
    assert "mtu" not in vif_device(Vif(devid=0, mtu=1500), UUID).back
    assert nic_entry(Vif(devid=0, mtu=1500), UUID)["mtu"] == 1500


@pytest.mark.parametrize(
    ("script", "marked"),
    [
        ("vif-bridge", False),
        ("/etc/xen/scripts/vif-bridge", True),
        ("/etc/xen/scripts/vif-route", True),
        ("/etc/xen/scripts/own", False),
        ("/opt/vif-bridge", False),
    ],
)
def test_a_script_of_xens_by_its_path_is_remembered(script: str, marked: bool) -> None:
    device = vif_device(Vif(devid=0, script=script), UUID)
    assert device.record == ({"run-script": "1"} if marked else {})


def test_another_domains_backend() -> None:
    assert vif_device(Vif(devid=0), UUID, backend=DomId(5)).backend == 5
    with pytest.raises(ConfigError, match="locked, but its backend is domain 5"):
        vif_device(Vif(devid=0, lock=True), UUID, backend=DomId(5))


def test_without_a_number() -> None:
    with pytest.raises(AssertionError):
        vif_device(Vif(), UUID)
    assert number_of(Vif(devid=4)) == 4


@given(st.uuids(), st.integers(0, 65535))
def test_macs_stay(uuid: object, devid: int) -> None:
    mac = mac_of(Vif(devid=devid), str(uuid))
    assert mac == mac_of(Vif(devid=devid, bridge="other", mtu=1400), str(uuid))
    assert mac.startswith("00:16:3e:")
    assert parse_vif(f"mac={mac}").mac == mac
    assert int(mac.split(":")[3], 16) < 0x80


def test_macs_differ() -> None:
    macs = {mac_of(Vif(devid=devid), UUID) for devid in range(200)}
    assert len(macs) == 200
    assert mac_of(Vif(devid=0), UUID) != mac_of(Vif(devid=0), UUID[::-1])
    assert mac_of(Vif(devid=0, mac=MAC), UUID) == MAC


def test_a_generated_mac_is_the_same_for_ever() -> None:
    """Guests name their cards after it, so no release may change how it is made."""
    assert mac_of(Vif(devid=0), UUID) == "00:16:3e:26:d0:27"


@given(st.sets(st.integers(0, 40)))
def test_the_lowest_free_number(taken: set[int]) -> None:
    found = lowest_free(taken)
    assert found not in taken
    assert set(range(found)) <= taken


CONF = """\
# vif.default.bridge="commented"
autoballoon="auto"
vif.default.bridge = "br9"   # ours
vif.default.script='vif-route'
vifscript="vif-nat"
vif.default.gatewaydev="eth3"
vif.default.backend="net"
vif.default.bridge=unquoted
"""


def test_defaults_of_the_host(tmp_path: object) -> None:
    path = f"{tmp_path}/xl.conf"
    with open(path, "w") as file:
        file.write(CONF)
    assert with_defaults(Vif(), path) == Vif(
        bridge="br9", script="vif-route", gatewaydev="eth3", backend="net"
    )
    said = Vif(bridge="a", script="b", gatewaydev="c", backend="d")
    assert with_defaults(said, path) == said
    assert with_defaults(Vif(), f"{path}.none") == Vif()


@pytest.mark.parametrize(
    ("conf", "vif"),
    [
        ("", Vif()),
        ('#vif.default.bridge="x"\n', Vif()),
        ('defaultbridge="old"\n', Vif(bridge="old")),
        ('vif.default.bridge="new"\ndefaultbridge="old"\n', Vif(bridge="new")),
        ('defaultbridge="old"\nvif.default.bridge="new"\n', Vif(bridge="new")),
        ('vif.default.bridge="one"\nvif.default.bridge="two"\n', Vif(bridge="two")),
        ('vif.default.bridge="\n', Vif()),
    ],
)
def test_odd_defaults(tmp_path: object, conf: str, vif: Vif) -> None:
    path = f"{tmp_path}/xl.conf"
    with open(path, "w") as file:
        file.write(conf)
    assert with_defaults(Vif(), path) == vif
