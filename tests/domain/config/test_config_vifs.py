"""A config's network interfaces: in both syntaxes, numbered as xl numbers them, each once."""

from __future__ import annotations

import pytest

from xentool.devices.vif.rate import Rate
from xentool.devices.vif.spec import Vif
from xentool.domain.config.load import parse_config
from xentool.errors import ConfigError

XL = 'name="a"\nkernel="k"\nmemory=16\n'
YAML = "name: a\nkernel: k\nmemory: 16\n"


def vifs(text: str, path: str = "a.cfg") -> tuple[Vif, ...]:
    config, warnings = parse_config(((YAML if path.endswith("yaml") else XL) + text).encode(), path)
    assert warnings == []
    return config.vifs


def test_none() -> None:
    assert vifs("") == vifs("vif=[]") == ()


def test_numbers_are_places_in_the_list() -> None:
    found = vifs("vif=['', 'bridge=br1', 'devid=7', 'rate=1MB/s']")
    assert [vif.devid for vif in found] == [0, 1, 7, 3]


def test_both_syntaxes_say_the_same() -> None:
    text = "bridge=br1,mtu=1400,untrusted,rate=1MB/s,lock,ips=10.0.0.5;2001:db8::5"
    yaml = f"""
vif:
  - "{text}"
  - bridge: br1
    mtu: 1400
    trusted: false
    rate: 1MB/s
    ip:
    lock: true
    ips: [10.0.0.5, "2001:db8::5"]
"""
    first, second = vifs(yaml, "a.yaml")
    expected = Vif(
        bridge="br1",
        mtu=1400,
        trusted=False,
        rate=Rate(1_000_000),
        lock=True,
        ips=("10.0.0.5", "2001:db8::5"),
        devid=0,
    )
    assert first == expected
    assert second == expected.replace(devid=1)
    assert vifs(f"vif=['{text}']") == (first,)


@pytest.mark.parametrize(
    ("text", "path", "reason", "hint"),
    [
        (
            "vif=['', 'brige=x']",
            "a.cfg",
            'line 4: vif[1] = "brige=x": brige: is no key',
            "did you mean bridge?",
        ),
        ("vif='bridge=x'", "a.cfg", "must be a list", "put it in brackets"),
        ("vif=[['bridge=x']]", "a.cfg", "its entries must be text", ""),
        (
            "vif=['devid=1', '']",
            "a.cfg",
            "entries 0 and 1 (the first is 0) both have devid 1",
            "its own devid",
        ),
        ("vif=['mac=0:1:2:3:4:5', 'mac=00:01:02:03:04:05']", "a.cfg", "both have mac 00:01:02:03:04:05", ""),
        ("vif=['vifname=web', 'vifname=web']", "a.cfg", "both have vifname web", "give each its own vifname"),
        ("vif=['type=ioemu']", "a.cfg", "a PV guest has no emulated devices", "type=vif"),
        ("vif:\n- {bridge: x, mtu: 1}", "a.yaml", "vif[0] = {bridge: ", ""),
        ("vif:\n- {bridge: x, bridge: y}", "a.yaml", "bridge is given twice", ""),
        ("vif:\n- {1: x}", "a.yaml", "a key must be text", ""),
        ("vif:\n- {ips: {a: b}}", "a.yaml", "ips: must be text", ""),
        ("vif: {bridge: x}", "a.yaml", "a value must be text", ""),
        ("vif:\n- &a {bridge: x}\n- *a", "a.yaml", "a mapping cannot be repeated by an alias", ""),
        ("vif:\n- 00:16:3e:01:02:03", "a.yaml", "", ""),
    ],
)
def test_what_is_refused(text: str, path: str, reason: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        vifs(text, path)
    assert reason in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.subject == path
