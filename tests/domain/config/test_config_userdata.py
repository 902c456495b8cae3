"""libxl's record of a domain, byte for byte as xl leaves it.

The files in golden/ were made on real Xen: NAME.cfg was created with `xl create -p`, and
XEN/NAME.json is the /var/lib/xen/userdata-d.*.libxl-json that it left, on a host with two CPUs.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.config.load import parse_config
from xentool.domain.config.model import Action, DomainConfig
from xentool.domain.config.record.whole import domain_config
from xentool.domain.config.userdata import as_it_is, config_from_userdata, libxl_json
from xentool.domain.config.yajl import dump
from xentool.errors import ConfigError

if TYPE_CHECKING:
    from xentool.domain.config.yajl import Json

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.relative_to(GOLDEN) for path in GOLDEN.glob("4.*/*.json"))
UUID = "5f3a1c9e-7b2d-4e86-9a10-c4d2e8f01b37"
HOST_CPU_NODES = [0, 0]
DIFFERING = {
    "affinity-without-vcpus": {"vcpu_soft_affinity"},
    "keys-without-effect": {
        "hap", "oos", "vcpu_hard_affinity", "video_memkb", "shadow_memkb", "acpi", "nested_hvm",
    },
}  # fmt: skip
"""Golden file -> the fields in which we differ, for the reasons in the table of `record.whole`."""

strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
values = st.recursive(
    strings | st.integers(-(1 << 63), (1 << 63) - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=12,
)


def test_there_are_golden_files_of_both_releases() -> None:
    assert {case.parts[0] for case in CASES} == {"4.17", "4.20"}
    assert len(CASES) >= 20


def ours(case: Path) -> bytes:
    release, name = case.parts
    raw = (GOLDEN / name).with_suffix(".cfg").read_bytes()
    config, _ = parse_config(raw, name)
    assert config.uuid
    major, minor = map(int, release.split("."))
    return libxl_json(config, config.uuid, (major, minor), HOST_CPU_NODES)


@pytest.mark.parametrize("case", [case for case in CASES if case.stem not in DIFFERING], ids=str)
def test_the_record_is_xls(case: Path) -> None:
    assert ours(case) == (GOLDEN / case).read_bytes()


@pytest.mark.parametrize("case", [case for case in CASES if case.stem in DIFFERING], ids=str)
def test_the_record_differs_as_the_table_says_and_no_more(case: Path) -> None:
    differing = DIFFERING[case.stem]
    mine = config_from_userdata(ours(case))
    theirs = config_from_userdata((GOLDEN / case).read_bytes())
    for part in ("c_info", "b_info"):
        left, right = mine.pop(part), theirs.pop(part)
        assert isinstance(left, dict)
        assert isinstance(right, dict)
        assert {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)} == {
            key for key in differing if key in left or key in right
        }
        differing = differing - left.keys() - right.keys()
    assert not differing
    assert mine == theirs


def test_the_record_reads_back() -> None:
    raw = (GOLDEN / CASES[0]).read_bytes()
    assert dump(config_from_userdata(raw)).encode() + b"\0" == raw  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [b"", b"\0", b"{", b"\xff", b"[" * 100_000, b"[]", b"3"])
def test_what_is_no_record(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="read libxl's record"):
        config_from_userdata(raw)


def test_a_config_made_without_a_file_says_what_differs_from_the_default() -> None:
    config = DomainConfig(name="a", kernel="k", vcpus=2, nomigrate=True, max_event_channels=5)
    config = config.replace(rtc_timeoffset=-3600)
    record = domain_config(config, UUID)
    info = record["b_info"]
    assert isinstance(info, dict)
    assert (info["max_vcpus"], info["avail_vcpus"], info["disable_migrate"]) == (2, [0, 1], "True")
    assert info["event_channels"] == 5
    assert info["rtc_timeoffset"] == 2**32 - 3600  # libxl has it unsigned
    assert "localtime" not in info


def test_every_action_has_libxls_word() -> None:
    words = []
    for action in map(Action, Action.WORDS):
        config = DomainConfig(name="a", kernel="k", on_crash=action)
        words.append(domain_config(config, UUID).get("on_crash"))
    assert words == [
        None, "restart", "restart_rename", "preserve", "coredump_destroy", "coredump_restart",
        "soft_reset",
    ]  # fmt: skip


@given(values)
def test_what_is_dumped_is_json(value: Json) -> None:
    assert json.loads(dump(value)) == value


@pytest.mark.skipif(not ctypes.util.find_library("yajl"), reason="libyajl is not installed")
@given(values)
def test_what_is_dumped_is_formatted_as_libyajl_does(value: Json) -> None:
    assert dump(value) == yajl(value)


def yajl(value: Json) -> str:
    library = ctypes.CDLL(ctypes.util.find_library("yajl"))
    library.yajl_gen_alloc.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(library.yajl_gen_alloc(None))
    library.yajl_gen_config(handle, 1, ctypes.c_int(1))  # yajl_gen_beautify

    def generate(item: Json) -> None:
        if isinstance(item, dict):
            library.yajl_gen_map_open(handle)
            for key, inner in item.items():
                generate(key)
                generate(inner)
            library.yajl_gen_map_close(handle)
        elif isinstance(item, list):
            library.yajl_gen_array_open(handle)
            for inner in item:
                generate(inner)
            library.yajl_gen_array_close(handle)
        elif isinstance(item, str):
            raw = item.encode()
            library.yajl_gen_string(handle, raw, ctypes.c_size_t(len(raw)))
        else:
            library.yajl_gen_integer(handle, ctypes.c_longlong(item))

    try:
        generate(value)
        text, size = ctypes.c_void_p(), ctypes.c_size_t()
        library.yajl_gen_get_buf(handle, ctypes.byref(text), ctypes.byref(size))
        assert text.value
        return ctypes.string_at(text.value, size.value).decode()
    finally:
        library.yajl_gen_free(handle)


def test_list_l_shows_the_domain_as_it_is() -> None:
    """The golden list-l.json is what `xl list -l` printed of the domain of maxima.cfg."""
    record = config_from_userdata((GOLDEN / "4.17" / "maxima.json").read_bytes())
    (printed,) = json.loads((GOLDEN / "4.17" / "maxima.list-l").read_bytes())
    found = as_it_is(
        record | {"c_info": record["c_info"] | {"name": "old"}},  # type: ignore[operator]
        name="g02",
        uuid=printed["config"]["c_info"]["uuid"],
        online_vcpus=[0, 1],
        target_kib=16 << 10,
        max_kib=32 << 10,
        scheduling={"sched": "credit2", "weight": 256, "cap": 0},
    )
    assert json.dumps(found) == json.dumps(printed["config"])


def test_a_record_without_vcpus_has_none_online() -> None:
    record = config_from_userdata((GOLDEN / "4.17" / "names-only.json").read_bytes())
    (printed,) = json.loads((GOLDEN / "4.17" / "names-only.list-l").read_bytes())
    found = as_it_is(
        record,
        name="g11",
        uuid=printed["config"]["c_info"]["uuid"],
        online_vcpus=[0],
        target_kib=32 << 10,
        max_kib=32 << 10,
        scheduling={"sched": "credit2", "weight": 256, "cap": 0},
    )
    assert json.dumps(found) == json.dumps(printed["config"])


@pytest.mark.parametrize(
    ("kind", "video", "most", "beside"),
    [("hvm", 16384, 64, 16384), ("hvm", 16384, 72, 16384 + 1024), ("hvm", 0, 72, 1024), ("pvh", 0, 72, 0)],
)
def test_an_hvm_guest_has_more_than_its_target(kind: str, video: int, most: int, beside: int) -> None:
    """The store's target is without the memory of the card that QEMU plays (libxl__get_targetmem_fudge)."""
    build_info = {"max_memkb": most << 10, "target_memkb": 64 << 10, "video_memkb": video}
    found = as_it_is(
        {"c_info": {"type": kind}, "b_info": build_info},
        name="w", uuid="", online_vcpus=[], target_kib=48 << 10, max_kib=most << 10, scheduling={},
    )  # fmt: skip
    assert found["b_info"]["target_memkb"] == (48 << 10) + beside  # type: ignore[index]
