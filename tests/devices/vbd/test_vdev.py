"""Names and numbers of virtual disks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.devices.vbd.vdev import MAX_NUMBER, device_name, device_number


@pytest.mark.parametrize(
    ("vdev", "number"),
    [
        ("xvda", 51712),
        ("xvda1", 51713),
        ("xvdb", 51728),
        ("xvdp15", 51967),
        ("xvda16", 1 << 28 | 16),  # no room for the partition
        ("xvdq", 1 << 28 | 16 << 8),  # no room for the disk
        ("xvdtq37", 1 << 28 | 536 << 8 | 37),
        ("d536p37", 1 << 28 | 536 << 8 | 37),
        ("d0p0", 51712),
        ("d26p0", 268442112),
        ("d0x1p0", 51728),
        ("hda", 768),
        ("hdb", 832),
        ("hdc", 5632),
        ("hdd63", 5632 | 64 | 63),
        ("sda", 2048),
        ("sda1", 2049),
        ("sdp15", 2303),
        ("51712", 51712),
        ("0xca00", 51712),
        ("0145000", 51712),
        ("2147483647", MAX_NUMBER),
        *((bad, None) for bad in (
            "", "xvd", "xvda0", "xvda01", "xvda256", "xvdA", "xvda ", " xvda", "hd", "hde", "hda64", "sdq",
            "sda16", "d0", "d0p", "dp0", "d1048576p0", "d0p256", "2147483648", "0x", "08", "-1", "1_0", "+1",
            "٣", "xvdzzzzzz", "sda1x", "0x-1", "1" * 5000, "vda",
        )),
    ],
)  # fmt: skip
def test_numbers(vdev: str, number: int | None) -> None:
    assert device_number(vdev) == number


@given(st.integers(0, MAX_NUMBER))
def test_a_number_s_name_is_read_as_the_number(number: int) -> None:
    assert device_number(device_name(number)) == number


@given(st.integers(0, (1 << 20) - 1), st.integers(0, 255))
def test_disks_and_partitions_are_told_apart(disk: int, partition: int) -> None:
    number = device_number(f"d{disk}p{partition}")
    assert number is not None
    assert device_number(device_name(number)) == number
    if disk <= 15 and partition <= 15:
        assert number == 202 << 8 | disk << 4 | partition
    else:
        assert number == 1 << 28 | disk << 8 | partition


@given(st.text(max_size=12))
def test_any_text_has_a_number_or_none(text: str) -> None:
    number = device_number(text)
    assert number is None or 0 <= number <= MAX_NUMBER
