"""xl's syntax for network interfaces: what is read, what is refused, and that nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.devices.vif.rate import DEFAULT_INTERVAL_US, MIN_INTERVAL_US, UINT32_MAX, Rate, parse_rate
from xentool.devices.vif.spec import KEYS, Vif, parse_vif, vif_of_mapping
from xentool.errors import ConfigError

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=15).filter(
    lambda name: name[0] != "-" and name not in ("all", "default")
)
WORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=",="), min_size=1, max_size=20
)
MACS = st.binary(min_size=5, max_size=5).map(lambda raw: "00:" + raw.hex(":")).filter(lambda mac: "1" in mac)
ADDRESSES_201 = [f"2001:db8::{number:x}" for number in range(0x1000, 0x10C9)]  # of 14 characters
ADDRESSES = st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=6, network="2001:db8::/32")


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    unit = draw(st.sampled_from(("B/s", "KB/s", "MB/s", "b/s", "Kb/s", "Mb/s", "Gb/s")))
    number = draw(st.integers(1, UINT32_MAX))
    interval = draw(st.integers(MIN_INTERVAL_US, 1_000_000))
    try:
        return parse_rate(f"{number}{unit}@{interval}us")
    except ValueError:
        return Rate(1_000_000, interval)


@st.composite
def vifs(draw: st.DrawFn) -> Vif:
    ips = tuple(dict.fromkeys(map(str, draw(st.lists(ADDRESSES, max_size=3)))))
    optional = {
        "mac": MACS,
        "bridge": NAMES,
        "gatewaydev": NAMES,
        "type": st.just("vif"),
        "model": WORDS,
        "vifname": NAMES.filter(lambda name: not name.startswith("vif")),
        "script": WORDS,
        "backend": WORDS,
        "rate": rates(),
        "devid": st.integers(0, 0xFFFF),
        "mtu": st.integers(68, 65517),
        "vlan": st.sampled_from(("10", "10p/20", "7p/20-22u/100+10x4")),
        "trusted": st.booleans(),
    }
    chosen = {key: draw(st.none() | values) for key, values in optional.items()}
    return Vif(**chosen, lock=bool(ips) or draw(st.booleans()), ips=ips)  # type: ignore[arg-type]


@given(vifs())
def test_a_vif_is_what_its_text_says(vif: Vif) -> None:
    assert parse_vif(str(vif)) == vif


@given(vifs())
def test_a_mapping_says_the_same(vif: Vif) -> None:
    mapping = {key: value for key in KEYS if (value := getattr(vif, key)) not in (None, ())}
    mapping = {key: str(value) if isinstance(value, Rate) else value for key, value in mapping.items()}
    assert vif_of_mapping(mapping) == vif


@given(st.text(max_size=60) | st.builds("{}={}".format, st.sampled_from(KEYS), st.text(max_size=30)))
def test_whatever_is_written_is_a_vif_or_an_error(text: str) -> None:
    try:
        vif = parse_vif(text)
    except ConfigError:
        return
    assert parse_vif(str(vif)) == vif


def test_nothing_said() -> None:
    assert parse_vif("") == parse_vif(" , ,") == Vif()
    assert str(Vif()) == ""


def test_all_of_it() -> None:
    text = (
        "mac=0-16-3E-1-2-3, bridge=br1,netdev=eth0,type=vif,model=e1000,vifname=web0,script=vif-nat,"
        "ip=10.0.0.5  10.0.0.6,backend=net,rate=10Mb/s@20ms,devid=3,mtu=1400,vlan=10p/20,untrusted,lock"
    )
    assert parse_vif(text) == Vif(
        mac="00:16:3e:01:02:03",
        bridge="br1",
        gatewaydev="eth0",
        type="vif",
        model="e1000",
        vifname="web0",
        script="vif-nat",
        ip="10.0.0.5 10.0.0.6",
        backend="net",
        rate=Rate(1_250_000, 20_000),
        devid=3,
        mtu=1400,
        vlan="10p/20",
        trusted=False,
        lock=True,
        ips=("10.0.0.5", "10.0.0.6"),
    )


@pytest.mark.parametrize(
    ("text", "ips"),
    [
        ("ips=10.0.0.5", ("10.0.0.5",)),
        ("lock=1,ips=10.0.0.5;2001:DB8:0::5", ("10.0.0.5", "2001:db8::5")),
        ("ips=10.0.0.16/28 10.0.0.1/32", ("10.0.0.16/28", "10.0.0.1")),
        ("lock", ()),
        ("lock=0", ()),
    ],
)
def test_locks(text: str, ips: tuple[str, ...]) -> None:
    vif = parse_vif(text)
    assert vif.ips == ips
    assert vif.lock == (text != "lock=0")


def test_what_may_be_in_a_name_that_no_rule_has() -> None:
    assert parse_vif('vifname=a"+b').vifname == 'a"+b'
    assert parse_vif("lock,vifname=a-b+c@1").vifname == "a-b+c@1"


def test_as_many_addresses_as_a_node_of_the_store_can_keep() -> None:
    assert len(parse_vif(f"ips={';'.join(ADDRESSES_201[1:])}").ips) == 200


def test_hvm_guests_have_emulated_ones() -> None:
    assert parse_vif("type=ioemu", "hvm").type == "ioemu"


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("brige=x", "brige: is no key of a vif", "did you mean bridge?"),
        ("xenbr0", "xenbr0: is no key", ""),
        ("=x", '"": is no key', "known are: mac, bridge"),
        ("accel=1", "no longer has a meaning", "leave it out"),
        ("forwarddev=x", "does not do COLO", "use xl"),
        ("bridge=a,bridge=b", "bridge: is given twice", "keep one"),
        ("gatewaydev=a,netdev=b", "netdev: is given twice", ""),
        ("trusted,untrusted", "is given twice", ""),
        ("bridge=", "bridge: has no value", "leave bridge out"),
        ("bridge", "bridge: has no value", "write bridge=…"),
        ("untrusted=1", "untrusted: is a flag", ""),
        ("trusted=maybe", "maybe is not 0 or 1", ""),
        ("mac=00:16:3e:01:02", "is not a MAC address", "without mac"),
        ("mac=00:16:3e:01:02:xx", "is not a MAC address", "mac=00:16:3e"),
        ("mac=01:16:3e:01:02:03", "is a multicast address", "even"),
        ("mac=ff:ff:ff:ff:ff:ff", "is a multicast address", ""),
        ("mac=fe:ff:ff:ff:ff:ff", "the one of every backend", "leave mac out"),
        ("mac=0:0:0:0:0:0", "nobody's", ""),
        ("type=ioemu", "is plugged into none that runs", "type=vif"),
        ("type=paravirtual", "is no type of interface", ""),
        ("vifname=abcdefghijklmnop", "longer than 15", ""),
        ("vifname=a/b", "no name for an interface", ""),
        ("vifname=a%d", "no name for an interface", ""),
        ("vifname=..", "no name for an interface", ""),
        ("vifname=vif12.0", "another domain's interface", ""),
        ("vifname=vif12.0-emu", "another domain's interface", ""),
        ("vifname=-x", "no name for an interface", ""),
        ("vifname=all", "no name for an interface", "default"),
        ("gatewaydev=-x", "no name for an interface", ""),
        ("vifname=web+", "to iptables web+ is every interface whose name begins so", "last +"),
        ('lock,vifname=a";drop', "a locked interface's name has letters", ""),
        ("ips=10.0.0.5,vifname=web*", "a locked interface's name has letters", ""),
        ("bridge=-x", "no name for a bridge", ""),
        ("bridge=a/b", "no name for a bridge", "ip link show type bridge"),
        ("script=a\tb", "holds a character", "ASCII"),
        ("script=grün", "holds a character", "ASCII"),
        ("devid=-1", "-1 is not a number from 0 to 65535", ""),
        ("devid=65536", "not a number from 0 to 65535", ""),
        ("devid=0x1", "not a number from 0 to 65535", ""),
        ("mtu=67", "not a number from 68 to 65517", ""),
        ("mtu=1500bytes", "not a number", ""),
        ("rate=10Mb", "10Mb is no rate", "10Mb/s"),
        ("rate=Mb/s", "is no rate", ""),
        ("rate=-1Mb/s", "is no rate", ""),
        ("rate=010Mb/s", "is no rate", ""),
        ("rate=0Mb/s", "the number must be from 1", ""),
        ("rate=4294967296B/s", "K, M and G make it greater", ""),
        ("rate=10Mb/s@", "nothing is no interval", ""),
        ("rate=10Mb/s@10h", "10h is no interval", ""),
        ("rate=10Mb/s@999us", "is not from 1ms", ""),
        ("rate=10Mb/s@4295s", "is not from 1ms to 4294s", ""),
        ("rate=1B/s", "less than a byte in each interval", ""),
        ("rate=4294967295GB/s@5s", "more than can be counted", ""),
        ("vlan=", "has no value", ""),
        ("vlan=4095", "no number of a VLAN", "vlan=10"),
        ("vlan=10/20", "must mark one VLAN", ""),
        ("vlan=10p/20p", "must mark one VLAN", ""),
        ("ips=10.0.0", "10.0.0 is no IP address", "for example"),
        ("ips=10.0.0.5/8", "not where its network starts: that is 10.0.0.0/8", ""),
        ("ips=10.0.0.5/33", "from 1 to 32", ""),
        ("ips=10.0.0.0/0", "from 1 to 32", ""),
        ("ips=224.0.0.1", "no address that a guest can send from", ""),
        ("ips=0.0.0.0", "no address that a guest can send from", ""),
        ("ips=ff02::1", "no address that a guest can send from", ""),
        ("ips=10.0.0.5;10.0.0.5", "is given twice", ""),
        ("ips=10.0.0.5,10.0.0.6", "10.0.0.6: is no key of a vif", "have a ; between them"),
        (f"ips={';'.join(ADDRESSES_201)}", "ips: 201 addresses are more", "networks"),
        ("ips=;", "has no address in it", ""),
        ("lock=0,ips=10.0.0.5", "lock=0 says no", "leave lock=0 or ips out"),
        ("lock,ip=dhcp", "ip: dhcp is no IP address", ""),
    ],
)
def test_what_is_refused(text: str, reason: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_vif(text)
    assert reason in caught.value.reason
    assert hint in caught.value.hint
    assert caught.value.action == "read vif"


def test_an_entry_is_shown_in_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_vif("x\n\x1b[2J" * 100)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.subject) < 130


@pytest.mark.parametrize("value", [True, ["a"], {"a": 1}, 1.5])
def test_values_of_yaml_that_are_no_text(value: object) -> None:
    with pytest.raises(ConfigError, match="bridge: must be text"):
        vif_of_mapping({"bridge": value})


def test_yaml() -> None:
    mapping = {
        "lock": True,
        "trusted": False,
        "mtu": 1400,
        "ips": ["10.0.0.5", "2001:db8::5"],
        "ip": ["a", "b"],
    }
    vif = vif_of_mapping(mapping)
    assert vif == Vif(lock=True, trusted=False, mtu=1400, ips=("10.0.0.5", "2001:db8::5"), ip="a b")


@pytest.mark.parametrize(
    ("text", "per_second", "interval"),
    [
        # tools/xl/check-xl-vif-parse's
        ("16000000b/s", 2_000_000, DEFAULT_INTERVAL_US),
        ("16Kb/s@50ms", 2_000, 50_000),
        ("2KB/s", 2_000, 50_000),
        ("2MB/s@50ms", 2_000_000, 50_000),
        ("8Gb/s", 1_000_000_000, 50_000),
        ("80Mb/s@1s", 10_000_000, 1_000_000),
        ("10MB/s@1", 10_000_000, 1_000_000),
        ("10MB/s@2m", 10_000_000, 2_000),
        ("10MB/s@2000u", 10_000_000, 2_000),
    ],
)
def test_rates(text: str, per_second: int, interval: int) -> None:
    assert parse_rate(text) == Rate(per_second, interval)


@given(rates())
def test_a_rate_is_what_its_text_says(rate: Rate) -> None:
    assert parse_rate(str(rate)) == rate
    assert rate.words == f"{rate.bytes_per_second * rate.interval_us // 1_000_000},{rate.interval_us}"
