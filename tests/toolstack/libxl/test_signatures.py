"""What we say that libxl's functions take and return is what its headers say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from xentool.cfunctions import c_char_p, c_int, c_int64, c_uint32, c_uint64, c_void_p
from xentool.toolstack.libxl.kinds import KINDS
from xentool.toolstack.libxl.signatures import NEEDED, OPTIONAL, STRUCTS, TOOLLOG, TimeOfDay, signature

HEADERS = ("libxl.h", "libxl_utils.h", "libxl_event.h", "libxl_json.h", "xentoollog.h")
VERBS = ("list", "add", "remove", "destroy", "safe_remove", "getinfo")
KIND_OF = {
    c_uint64: "u64", c_int64: "i64", c_uint32: "u32", c_int: "int", TimeOfDay: "timeval", None: "void",
}  # fmt: skip
"""How an argument is passed: a type of ours, and a word for it."""

pytestmark = pytest.mark.skipif(
    not Path("/usr/include/libxl.h").exists(), reason="libxen-dev is not installed"
)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """For each function its result and its arguments, as C says them."""
    folder = tmp_path_factory.mktemp("include")
    (folder / "yajl").mkdir()
    for name in ("gen", "parse", "version"):  # of which Xen's headers need no more than these
        text = "typedef void *yajl_gen; typedef int yajl_gen_status;" if name == "gen" else ""
        (folder / "yajl" / f"yajl_{name}.h").write_text(text)
    source = "".join(f"#include <{header}>\n" for header in HEADERS)
    done = subprocess.run(
        ["cc", "-E", "-P", "-x", "c", f"-I{folder}", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(
        r"[;}] ?([\w *]+?[ *])(libxl_\w+|xtl_\w+) ?\(([^;{]*?)\)(?= ?[;_])", " ".join(done.stdout.split())
    )
    return {name: [result, *parameters(words)] for result, name, words in found}


def parameters(words: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    parts, depth = [""], 0
    for letter in words:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def as_c_has_it(words: str) -> str:
    if "*" in words or "[" in words:
        return "pointer"
    for pattern, kind in (
        ("timeval", "timeval"), ("uint64_t", "u64"), ("int64_t", "i64"), ("uint32_t|unsigned|domid", "u32"),
        ("void", "void"),
    ):  # fmt: skip
        if re.search(pattern, words):
            return kind
    assert re.match(r" ?(const )?(int|libxl_\w+|xentoollog_level)\b", words), words  # enums are ints
    return "int"


def as_we_have_it(given: object) -> str:
    if given in KIND_OF:
        return KIND_OF[given]
    assert given in (c_void_p, c_char_p)
    return "pointer"


def test_functions_take_and_return_what_the_headers_say(declared: dict[str, list[str]]) -> None:
    structs = [
        f"libxl_{name}_{what}" for name in STRUCTS for what in ("init", "dispose", "from_json", "to_json")
    ]
    of_devices = [kind.function(verb) for kind in KINDS.values() for verb in VERBS]
    frees = [f"libxl_{kind.struct}_list_free" for kind in KINDS.values()]
    ours, theirs = {}, {}
    for name in [*NEEDED, *OPTIONAL, *TOOLLOG, *structs, *of_devices, *frees]:
        if name not in declared and name not in NEEDED:
            continue  # this release has none
        known = signature(name)
        assert known is not None, name
        ours[name] = [as_we_have_it(known[0]), *map(as_we_have_it, known[1])]
        theirs[name] = [as_c_has_it(words) for words in declared[name]]
    assert ours == theirs
    assert len(ours) > 140
