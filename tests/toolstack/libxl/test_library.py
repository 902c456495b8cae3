"""Which libxl is there, and whether it is as we rely on it to be."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from tests.support.fakelibxl import compile_fake, library_of
from xentool.errors import ConfigError, HostError, NoLibxlError
from xentool.toolstack.libxl import signatures
from xentool.toolstack.libxl.context import Context
from xentool.toolstack.libxl.kinds import KINDS
from xentool.toolstack.libxl.library import Library, check, open_library, others_of
from xentool.toolstack.libxl.signatures import LIBC, NEEDED, OPTIONAL, STRUCTS, TOOLLOG, signature
from xentool.toolstack.libxl.struct import Struct, missing_keys

INSTALLED = "/usr/lib/x86_64-linux-gnu/libxenlight.so.4.17"


def test_a_structure_is_as_large_as_what_its_init_writes(library: Library) -> None:
    # Its last bytes are those of the patterns, each in its turn.
    assert library.size_of("domain_config") == 40
    assert library.size_of("swapped") == 12


@pytest.mark.parametrize("name", ["nothing", "endless"])
def test_a_size_that_cannot_be_told_is_refused(library: Library, name: str) -> None:
    with pytest.raises(NoLibxlError, match=f"libxl_{name} cannot be told"):
        library.size_of(name)


def test_a_whole_and_proven_libxl_is_taken_without_a_word(library: Library) -> None:
    check(library)
    assert not library.warning


def test_an_unproven_release_is_taken_with_a_warning(fake: ctypes.CDLL) -> None:
    library = library_of(fake, (4, 19))
    check(library)
    assert "4.19" in library.warning
    assert "4.17 and 4.20" in library.warning


def test_functions_that_are_missing_are_named(tmp_path: Path) -> None:
    gone = ("libxl_send_trigger", "libxl_dominfo_to_json")
    with pytest.raises(HostError, match=r"lacks 2 of the functions.*libxl_send_trigger") as refused:
        check(library_of(compile_fake(tmp_path, without=gone)))
    assert set(refused.value.detail.split()) == set(gone)
    assert "PV guests need none (`--toolstack native`)" in refused.value.hint  # of others that is not true


def test_what_one_asks_for_and_is_not_there_is_named(library: Library) -> None:
    assert not library.has("libxl_device_9pfs_add")
    with pytest.raises(HostError, match=r"no function libxl_device_9pfs_add"):
        library.function("libxl_device_9pfs_add")


@pytest.mark.parametrize(("release", "why"), [((4, 13), "from 4.14 on"), ((5, 0), "from 4.14 on")])
def test_releases_that_differ_in_their_functions_are_refused(release: tuple[int, int], why: str) -> None:
    with pytest.raises(HostError, match=why):
        open_library(release)


def test_a_host_without_libxl_is_told_what_to_install() -> None:
    with pytest.raises(HostError, match=r"libxenlight.so.4.99 is missing") as missing:
        open_library((4, 99))
    assert "apt-get install" in missing.value.hint
    assert missing.value.detail


def test_a_libxl_of_another_release_is_named(tmp_path: Path) -> None:
    for name in ("libxenlight.so.4.17", "libxenlight.so.4.17.0", "libxenlight.so", "libxenlight.so.4.20"):
        (tmp_path / name).touch()
    assert others_of("libxenlight.so.4.20", (str(tmp_path), "/nosuch")) == ["libxenlight.so.4.17"]


@pytest.mark.skipif(not Path(INSTALLED).exists(), reason="no libxl of 4.17 is installed here")
def test_the_libxl_of_debian_12_is_as_we_rely_on_it_to_be() -> None:
    library = open_library((4, 17))
    # Its headers say so (sizeof, x86-64).
    assert {name: library.size_of(name) for name in ("domain_config", "dominfo", "event", "bitmap")} == {
        "domain_config": 1288,
        "dominfo": 120,
        "event": 208,
        "bitmap": 16,
    }


def test_every_function_is_declared_by_its_family_or_by_name() -> None:
    assert signature("libxl_device_vkb_add") == signature("libxl_device_disk_add")
    assert signature("libxl_xyz_init") == signature("libxl_event_init")
    assert signature("libxl_xyz") is None
    assert not set(NEEDED) & set(OPTIONAL)


def test_no_libxl_is_refused_for_want_of_what_nobody_calls() -> None:
    room = Path(signatures.__file__).parent
    text = "".join(path.read_text() for path in room.glob("*.py") if path.name != "signatures.py")
    by_their_parts = {"libxl_event_to_json", "libxl_domain_config_copy"}
    assert {name for name in (*NEEDED, *TOOLLOG, *LIBC) if f'"{name}"' not in text} == by_their_parts
    structs = set(re.findall(r'"(\w+)"', text)) | {kind.struct for kind in KINDS.values()}
    assert set(STRUCTS) <= structs


def test_a_structure_is_filled_and_read_as_json(context: Context) -> None:
    with Struct(context, "domain_config") as config:
        config.fill({"name": "web"})
        assert config.read() == {"name": "web"}


def test_a_copy_is_a_structure_of_its_own(context: Context) -> None:
    with Struct(context, "domain_config") as copy:
        with Struct(context, "domain_config") as config:
            config.fill({"name": "web"})
            copy.copy(config)
        assert copy.read() == {"name": "web"}


def test_what_a_structure_holds_is_freed(context: Context, fake: ctypes.CDLL) -> None:
    alive = ctypes.c_int.in_dll(fake, "fake_alive")
    context.library.size_of("domain_config")
    before = alive.value
    with Struct(context, "domain_config") as config:
        assert alive.value == before + 1
        with pytest.raises(ConfigError):
            config.fill({"name": "refuse me"})
    assert alive.value == before


def test_what_libxl_cannot_read_is_refused_with_its_own_words(context: Context) -> None:
    with Struct(context, "domain_config") as config, pytest.raises(ConfigError) as refused:
        config.fill({"name": "refuse me"})
    assert "that is no config" in refused.value.detail


def deep(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("value", [1.5, [None], "\ud800", b"x", deep(400), [deep(90)]])
def test_what_is_nothing_of_libxls_is_refused(context: Context, value: object) -> None:
    """As a save file may have it."""
    with Struct(context, "domain_config") as config, pytest.raises(ConfigError, match="cannot have"):
        config.fill({"name": value})


def test_what_libxl_would_pass_over_is_refused_by_name(context: Context) -> None:
    with (
        Struct(context, "domain_config") as config,
        pytest.raises(ConfigError, match=r"libxl 4\.17: it does not know vlan"),
    ):
        config.fill({"name": "web", "vlan": "7"})


@pytest.mark.parametrize(
    ("given", "understood", "missing"),
    [
        ({"a": 1}, {"a": 1}, set()),
        ({"a": 1}, {"a": 2}, set()),
        ({"a": 1}, {}, {"a"}),
        ({"a": 0, "b": "", "c": {}, "d": [], "e": False, "f": None, "g": {"h": [0]}}, {}, set()),
        ({"a": {"b": "x"}}, {"a": {}}, {"a.b"}),
        ({"nics": [{"mac": "m"}, {"vlan": "7"}]}, {"nics": [{"mac": "m"}, {}]}, {"nics.vlan"}),
    ],
)
def test_missing_keys(given: object, understood: object, missing: set[str]) -> None:
    assert missing_keys(given, understood) == missing
