"""libxl's record of configs with every key, and what is refused: ours against xl's.

xl shows, without making anything, what it would give libxl (`tests.support.records`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.badvalues import BAD_VALUES, REFUSES, bad_config, taken_together
from tests.support.records import RECORDS, RELEASES, configs, differences, explained, our_record, xls_record
from xentool.domain.config.load import parse_config
from xentool.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nested.dom0 import Dom0


def test_the_record_of_each_config_is_xls(dom0: Dom0) -> None:
    release = dom0.xen_version
    assert release in RELEASES
    for path in configs(release):
        text = xls_record(path)
        assert text == (RECORDS / release / path.name).with_suffix(".json").read_text(), (
            "the copy is out of date"
        )
        found = differences(json.loads(text), our_record(path, release))
        assert found == explained(release, path), path.name


def test_what_xl_refuses_we_refuse_too(dom0: Dom0, tmp_path: Path) -> None:
    """And more: what it takes of the table we refuse, as the unit tests show."""
    path = tmp_path / "bad.cfg"

    def taken(guest_type: str, text: str) -> bool:
        path.write_text(bad_config(guest_type, text))
        return dom0.run("xl", "create", "-n", str(path), check=False).returncode == 0

    refused = [(guest_type, text) for guest_type, text, verdict in BAD_VALUES if verdict == REFUSES]
    assert [row for row in refused if taken(*row)] == []
    assert [row for row in taken_together() if not taken(*row)] == []
    for guest_type, text, _ in BAD_VALUES:
        with pytest.raises(ConfigError):
            parse_config(bad_config(guest_type, text).encode(), str(path))
