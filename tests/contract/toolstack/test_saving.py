"""Saving and restoring: what no toolstack takes, and native's honest refusal. What guests make of it is
tried with guests, in tests/nested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.toolstack.conftest import changed
from xentool.errors import ConfigError, NotFoundError, UnsupportedError, XentoolError
from xentool.units import DomId

if TYPE_CHECKING:
    from tests.contract.toolstack.hosts import Place

HEADER = b"Xen saved domain, xl format\n \0 \r"
FILES = {
    "empty": (b"", "empty"),
    "foreign": (b"\x7fELF" + bytes(10_000), "no saved domain"),
    "cut in its header": (HEADER + bytes(4), "ends too early"),
    "cut in its config": (
        HEADER + b"\x04\x03\x02\x01" + b"\x03\0\0\0" + bytes(4) + b"\0\x10\0\0" + b"\xfc\x0f\0\0{",
        "ends too early",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_what_is_no_saved_domain_makes_none(place: Place, what: str) -> None:
    content, reason = FILES[what]
    path = place.folder / "some.save"
    path.write_bytes(content)
    before = place.state()
    expected = UnsupportedError if place.name.startswith("native") else ConfigError
    with pytest.raises(expected) as caught:
        place.toolstack.restore(str(path))
    if expected is ConfigError:
        assert reason in str(caught.value)
    assert changed(place, before) == {}


def test_a_file_that_is_missing_makes_none(place: Place) -> None:
    expected = UnsupportedError if place.name.startswith("native") else NotFoundError
    with pytest.raises(expected):
        place.toolstack.restore(str(place.folder / "nowhere.save"))


def test_where_saving_cannot_begin_the_guest_is_as_it_was_and_there_is_no_file(
    place: Place, guest: DomId
) -> None:
    before = place.state()
    files = sorted(place.folder.iterdir())
    for domid, path in (
        (guest, place.folder / "no-folder" / "x.save"),
        (DomId(32_000), place.folder / "x.save"),
        (DomId(0), place.folder / "x.save"),
    ):
        with pytest.raises(XentoolError) as caught:
            place.toolstack.save(domid, str(path))
        assert isinstance(caught.value, UnsupportedError) is place.name.startswith("native")
    assert changed(place, before) == {}
    assert sorted(place.folder.iterdir()) == files
