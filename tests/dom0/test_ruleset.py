"""Addresses as nftables' intervals: pure."""

from __future__ import annotations

import ipaddress
import itertools

from hypothesis import given
from hypothesis import strategies as st

from xentool.dom0.linux import ruleset
from xentool.dom0.linux.ruleset import Lock

MAC = "00:16:3e:12:34:56"

networks = st.one_of(
    st.integers(20, 32).flatmap(
        lambda bits: st.integers(0, 40).map(
            lambda n: ipaddress.ip_network((0x0A000000 + (n << 32 - bits), bits))
        )
    ),
    st.integers(118, 128).flatmap(
        lambda bits: st.integers(0, 40).map(
            lambda n: ipaddress.ip_network((0x20010DB8 << 96 | n << 128 - bits, bits))
        )
    ),
)


@given(st.lists(networks, max_size=8))
def test_the_addresses_are_those_that_were_given(
    given_networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> None:
    lock = Lock("vif1.0", MAC, [str(network) for network in given_networks])
    for version, intervals in ((4, lock.v4), (6, lock.v6)):
        expected = set()
        for network in given_networks:
            if network.version == version:
                first = int(network.network_address)
                expected |= set(range(first, first + network.num_addresses))
        assert [n for first, last in intervals for n in range(first, last + 1)] == sorted(expected)
        assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(intervals))


@given(st.lists(networks, max_size=8))
def test_what_is_shown_is_what_was_read(
    given_networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> None:
    lock = Lock("vif1.0", MAC, [str(network) for network in given_networks])
    again = Lock("vif1.0", MAC, lock.addresses)
    assert (again.v4, again.v6, again.addresses) == (lock.v4, lock.v6, lock.addresses)


def test_the_link_local_address_of_a_mac() -> None:
    """RFC 2464, section 4, has this example (with another prefix)."""
    assert ipaddress.ip_address(ruleset.link_local_of("34:56:78:9a:bc:de")) == ipaddress.ip_address(
        "fe80::3656:78ff:fe9a:bcde"
    )


def test_names_of_chains_and_sets_tell_interfaces_apart() -> None:
    names = ["a+", "a@", "a-2b", "a", "a.2b", "vif1.0", "vif1-0"]
    assert len({ruleset.chain_name(name) for name in names}) == len(names)
    assert [ruleset.unescaped(ruleset.base_name(name).removeprefix("dev/")) for name in names] == names
