"""VLANs of a bridge's port, in xl's words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.dom0.vlan import MAX_VLAN, PortVlans, parse_vlans


@pytest.mark.parametrize(
    ("text", "vlans"),
    [
        # xl-network-configuration(5)'s
        ("10", PortVlans(10, (), (10,))),
        ("10p/20", PortVlans(10, (20,), (10,))),
        ("10p/100+10x4", PortVlans(10, (100, 110, 120, 130, 140), (10,))),
        ("10p/20-22/30-31u", PortVlans(10, (20, 21, 22), (10, 30, 31))),
        ("5u/4094p", PortVlans(4094, (), (5, 4094))),
        ("10-10p", PortVlans(10, (), (10,))),
    ],
)
def test_what_is_said(text: str, vlans: PortVlans) -> None:
    assert parse_vlans(text) == vlans


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nothing is no number"),
        ("0", "0 is no number of a VLAN"),
        ("4095", "no number of a VLAN"),
        ("x", "no number"),
        ("10u", "must mark one VLAN"),
        ("10/20", "must mark one VLAN"),
        ("10p/20p", "must mark one VLAN"),
        ("10-12p", "only one VLAN can be the port's own"),
        ("10p/10", "has a VLAN twice"),
        ("10p/5-20", "has a VLAN twice"),
        ("10p/22-20", "not within 1 to 4094, upwards"),
        ("10p/4000+50x4", "not within 1 to 4094"),
        ("10p/100+10", "is no VLAN, nor several"),
        ("10p/100+0x4", "0 is no number"),
        ("10p//20", "nothing is no number"),
        ("10p/٣", "no number"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_vlans(text)


@given(st.text("0123456789pu/-+x", max_size=24))
def test_whatever_is_written_is_within_bounds_or_an_error(text: str) -> None:
    try:
        vlans = parse_vlans(text)
    except ValueError:
        return
    everyone = (*vlans.tagged, *vlans.untagged)
    assert vlans.pvid in vlans.untagged
    assert len(set(everyone)) == len(everyone)
    assert all(1 <= vlan <= MAX_VLAN for vlan in everyone)
