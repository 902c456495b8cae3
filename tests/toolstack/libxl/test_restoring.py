"""Restoring: what a save file says of its domain is looked at before anything is done with it."""

from __future__ import annotations

import json

import pytest

from xentool.errors import ConfigError, XentoolError
from xentool.toolstack.libxl.creating import ANY_DOMID
from xentool.toolstack.libxl.restoring import _record_in
from xentool.toolstack.libxl.savefile import SaveFile

UUID = "0f4c2b1a-0000-4000-8000-00000000abcd"


def record(**create_info: object) -> dict[str, object]:
    config = json.dumps({"c_info": {"name": "web", **create_info}}).encode()
    return _record_in(SaveFile(config, is_json=True, stream_version=2), "file")


def test_a_uuid_is_said_as_xen_says_it() -> None:
    for text in (UUID, UUID.upper(), UUID.replace("-", "")):
        assert record(uuid=text)["c_info"] == {"name": "web", "uuid": UUID, "domid": ANY_DOMID}
    assert record()["c_info"] != record()["c_info"]


@pytest.mark.parametrize("uuid", ["/../../../../etc/cron.d/x", "0", UUID + "0", UUID[:-1] + "\n", 7, ["x"]])
def test_a_uuid_that_is_none_names_no_file_of_ours(uuid: object) -> None:
    with pytest.raises(ConfigError, match="a uuid that is none"):
        record(uuid=uuid)


@pytest.mark.parametrize("name", ["", "a\nb", "\ud800", 7, None, ["x"]])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    with pytest.raises(XentoolError, match="has no name"):
        record(name=name)
