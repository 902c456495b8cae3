"""Devices in libxl's record: added to its text as libxl would have written it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.config.amend import add_device, remove_devices
from xentool.domain.config.yajl import dump

BASE = {"c_info": {"type": "pv", "name": "a", "empty": {}}, "b_info": {"max_vcpus": 1, "type.pv": {}}}
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
ENTRIES = st.lists(
    st.dictionaries(st.sampled_from(["mac", "vdev", "a"]), TEXT | st.integers(0, 99), min_size=1), max_size=3
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={"disks": ENTRIES.filter(bool), "nics": ENTRIES.filter(bool), "channels": ENTRIES.filter(bool)},
).map(lambda lists: BASE | lists)
TAILS = st.sampled_from([{}, {"on_reboot": "restart"}, {"on_reboot": "restart", "on_crash": "preserve"}])
ORDER = ("c_info", "b_info", "disks", "nics", "channels", "on_reboot", "on_crash")


def in_order(record: dict[str, object]) -> dict[str, object]:
    return {name: record[name] for name in ORDER if name in record}


def written(record: dict[str, object]) -> bytes:
    return dump(record).encode() + b"\0"  # type: ignore[arg-type]


@given(RECORDS, TAILS, st.sampled_from(["disks", "nics", "channels"]), ENTRIES.filter(bool))
def test_adding_to_the_text_is_writing_it_anew(
    lists: dict[str, object], tail: dict[str, object], key: str, entries: list[dict[str, object]]
) -> None:
    before = in_order(lists | tail)
    after = in_order(before | {key: [*before.get(key, []), entries[0]]})  # type: ignore[misc]
    assert add_device(written(before), key, entries[0]) == written(after)  # type: ignore[arg-type]


@given(RECORDS, TAILS, st.sampled_from(["disks", "nics"]))
def test_removing_what_was_added_changes_nothing(
    lists: dict[str, object], tail: dict[str, object], key: str
) -> None:
    before = written(in_order(lists | tail))
    added = add_device(before, key, {"mac": "mine", "vdev": "xvdz9"})
    assert added != before
    assert remove_devices(added, key, lambda entry: entry.get("vdev") == "xvdz9") == before


@pytest.mark.parametrize("indent", [None, 2])
def test_a_record_in_another_layout_is_written_anew(indent: int | None) -> None:
    other = json.dumps(BASE | {"on_reboot": "restart"}, indent=indent).encode() + b"\0"
    added = json.loads(add_device(other, "nics", {"mac": "x"})[:-1])
    assert list(added.items()) == [*BASE.items(), ("nics", [{"mac": "x"}]), ("on_reboot", "restart")]


@pytest.mark.parametrize(
    "text",
    [
        '{\n    "c_info": {},\n    "b_info": {},\n    "nics": [\n\n    ]\n}\n\0',
        '{\n    "b_info": {\n    "x": 1\n    },\n    "on_crash": "destroy"\n}\n',
        '{\n    "b_info": {},\n    "nics": [ {"mac": "y"\n}\n    ]\n}\n',
    ],
)
def test_a_record_that_somebody_has_edited_stays_json(text: str) -> None:
    before = json.loads(text.rstrip("\0"))
    added = json.loads(add_device(text.encode(), "nics", {"mac": "x"})[:-1])
    assert added == before | {"nics": [*before.get("nics", []), {"mac": "x"}]}
