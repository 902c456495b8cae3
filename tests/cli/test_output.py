"""What scripts parse, held against what xl prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.fakes import UUID, view
from xentool.cli.jsontext import to_json
from xentool.cli.xltext import info_text, list_text
from xentool.toolstack.views import HostView

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome
    from tests.cli.fakes import FakeBackend

ZERO = "00000000-0000-0000-0000-000000000000"

# Laid out by hand from the formats in tools/xl/xl_info.c of Xen 4.17, independently of our code.
LIST = (
    "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
    "Domain-0                                     0  1536     2     r-----      98.8\n"
    "web                                          3   256     1     -b----       1.2\n"
    "a-name-that-is-longer-than-forty-characters-is-not-cut    12   256     1     --p---       1.2\n"
    "(null)                                      17     7     1     ---sc-       1.2\n"
)
VERBOSE_HEADER = (
    "Name                                        ID   Mem VCPUs\tState\tTime(s)"
    "   UUID                            Reason-Code\tSecurity Label\n"
)


def test_list_is_xls_byte_for_byte(xentool: Callable[..., Outcome]) -> None:
    outcome = xentool("list")
    assert (outcome.code, outcome.out, outcome.err) == (0, LIST, "")


def test_list_of_named_domains_keeps_their_order(xentool: Callable[..., Outcome]) -> None:
    header, zero, web, *_ = LIST.splitlines(keepends=True)
    assert xentool("list", "web", "0").out == header + web + zero


def test_verbose_list_adds_uuid_reason_and_label(xentool: Callable[..., Outcome]) -> None:
    lines = xentool("list", "-v").out.splitlines(keepends=True)
    rows = LIST.splitlines()
    assert lines[0] == VERBOSE_HEADER
    assert lines[1] == f"{rows[1]} {ZERO}        -                -\n"
    assert lines[4] == f"{rows[4]} {UUID}        3               42\n"


def test_labels_and_pools_are_columns_of_sixteen(xentool: Callable[..., Outcome]) -> None:
    rows = LIST.splitlines()
    assert xentool("list", "-Z").out.splitlines()[:2] == [
        rows[0] + "   Security Label",
        rows[1] + "                -",
    ]
    pools = xentool("list", "-c").out.splitlines()
    assert pools[:2] == [rows[0] + "         Cpupool", rows[1] + "          Pool-0"]
    assert pools[3] == rows[3] + "           quiet"


def test_time_is_rounded_as_a_c_float() -> None:
    # As a float these nanoseconds are 123456749568000, which prints as .7; the exact value would print as .8.
    assert list_text([view(1, "x", cpu_time_ns=123_456_750_000_000)]).endswith(" 123456.7\n")


def test_long_list_is_libxls_json(xentool: Callable[..., Outcome]) -> None:
    outcome = xentool("list", "-l", "web")
    assert outcome.out == (
        "[\n"
        "    {\n"
        '        "domid": 3,\n'
        '        "config": {\n'
        '            "c_info": {\n'
        '                "type": "pv",\n'
        '                "name": "x"\n'
        "            },\n"
        '            "disks": [\n'
        "\n"
        "            ],\n"
        '            "on_reboot": "restart",\n'
        '            "b_info": {\n'
        "\n"
        "            }\n"
        "        }\n"
        "    }\n"
        "]\n\n"
    )


def test_long_list_leaves_out_a_domain_that_is_gone(xentool: Callable[..., Outcome]) -> None:
    assert [entry["domid"] for entry in json.loads(xentool("list", "-l").out)] == [0, 3, 12]


def test_json_list_has_the_documented_keys(xentool: Callable[..., Outcome]) -> None:
    answer = json.loads(xentool("list", "--json").out)
    assert answer[1] == {
        "domid": 3,
        "name": "web",
        "uuid": UUID,
        "type": "pv",
        "state": "-b----",
        "memory_kib": 262_144,
        "max_memory_kib": 263_168,
        "vcpus_online": 1,
        "vcpus_max": 2,
        "cpu_time_ns": 1_234_567_890,
        "shutdown_reason": None,
        "cpupool": 0,
    }
    assert answer[3]["name"] is None


INFO = (
    "host                   : dom0\n"
    "nr_cpus                : 2\n"
    "virt_caps              : pv hvm\n"
    "free_memory            : 512\n"
    "free_cpus              : 0\n"
    "xen_caps               : xen-3.0-x86_64 \n"
    "xen_commandline        : \n"
)


def test_info_is_xls(xentool: Callable[..., Outcome]) -> None:
    assert xentool("info").out == INFO


def test_info_without_any_virt_caps_has_no_space_after_the_colon() -> None:
    assert info_text(HostView({"virt_caps": ""})) == "virt_caps              :\n"


@pytest.mark.parametrize(
    ("key", "printed"),
    [("free", "512\n0\n"), ("virt_caps", "pv hvm\n"), ("host", "dom0\n"), ("xen_", "xen-3.0-x86_64 \n\n")],
)
def test_info_of_a_key_prints_the_values_alone(
    xentool: Callable[..., Outcome], key: str, printed: str
) -> None:
    assert xentool("info", key).out == printed


def test_info_of_an_unknown_key_is_an_error(xentool: Callable[..., Outcome]) -> None:
    outcome = xentool("info", "fre_memory")
    assert (outcome.code, outcome.out) == (1, "")
    assert "fre_memory" in outcome.err


def test_domid_and_domname(xentool: Callable[..., Outcome]) -> None:
    assert xentool("domid", "web").out == "3\n"
    assert xentool("domname", "3").out == "web\n"
    assert json.loads(xentool("domid", "web", "--json").out) == {"domid": 3, "name": "web"}


@pytest.mark.parametrize("argv", [("domid", "nobody"), ("domid", "3"), ("domname", "99"), ("domname", "17")])
def test_domid_and_domname_of_nobody_exit_1(xentool: Callable[..., Outcome], argv: tuple[str, ...]) -> None:
    outcome = xentool(*argv)
    assert (outcome.code, outcome.out) == (1, "")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(value=JSON_VALUES)
def test_our_json_is_json(value: object) -> None:
    assert json.loads(to_json(value)) == value


def test_tables_say_on_a_terminal_what_the_text_says(backend: FakeBackend) -> None:
    from xentool.cli.tables import info_table, list_table

    table = list_table(backend.fake.views, uuids=True, labels=True, pools={0: "Pool-0"})
    for word in ("Domain-0", "web", "1,536", "running", "paused", "crashed", "Pool-0"):
        assert word in table
    assert "pv hvm" in info_table(backend.fake.host())
