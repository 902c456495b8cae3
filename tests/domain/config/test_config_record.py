"""libxl's record of configs with every key, as xl itself shows it (`tests.support.records`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.records import (
    RECORDS,
    RELEASES,
    configs,
    differences,
    explained,
    our_record,
)
from xentool.domain.config.keys import all_keys
from xentool.domain.config.load import load_config

CASES = [(release, path) for release in RELEASES for path in configs(release)]

WITHOUT_ORACLE = {
    "altp2m_count": "came with 4.21",
    "xen_platform_pci_bar_uc": "came with 4.21",
    "xenstore_feature_mask": "came with 4.21",
    "xenstore_quota": "came with 4.22",
    "rdm": "xl leaves what it records of it undefined",
}


@pytest.mark.parametrize(("release", "path"), CASES, ids=lambda value: getattr(value, "stem", value))
def test_the_record_is_xls(release: str, path: Path) -> None:
    theirs = json.loads((RECORDS / release / path.name).with_suffix(".json").read_text())
    assert differences(theirs, our_record(path, release)) == explained(release, path)


def test_every_key_has_its_config() -> None:
    """So that no key is recorded but xl has been asked how."""
    given: set[str] = set()
    for path in configs(RELEASES[-1]):
        given |= load_config(str(path))[0].beyond.keys()
    here = {
        key.name
        for key in all_keys()
        if key.status in ("libxl", "deprecated") and key.types != ("arm",) and key.name != "builder"
    }
    assert here - given == WITHOUT_ORACLE.keys()


def test_what_counts_as_a_difference() -> None:
    assert differences({"a": [{"b": 1}], "c": 1}, {"a": [{"b": 1}], "c": 1}) == set()
    assert differences({"a": [{"b": 1}]}, {"a": [{"b": 2, "x": 0}]}) == {"a[0].b", "a[0].x"}
    assert differences({"a": 1, "b": 2}, {"b": 2, "a": 1}) == {": order"}
    assert differences({"a": True}, {"a": 1}) == {"a"}
    assert differences({"a": [1]}, {"a": [1, 2]}) == {"a"}
