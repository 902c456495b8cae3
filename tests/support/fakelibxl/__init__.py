"""The stand-in for libxl, compiled for a test, and what its files are called."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from xentool.cfunctions import CLibrary
from xentool.toolstack.libxl.library import Library
from xentool.toolstack.libxl.signatures import LIBC, NEEDED, STRUCTS, TOOLLOG

SOURCE = Path(__file__).with_name("fakelibxl.c")


def functions() -> list[str]:
    """All that is looked for when a libxl is loaded."""
    structs = [
        f"libxl_{name}_{what}" for name in STRUCTS for what in ("init", "dispose", "from_json", "to_json")
    ]
    return [*NEEDED, *TOOLLOG, *structs]


def compile_fake(folder: Path, *, without: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The stand-in with all functions that are looked for, but some; those that it plays no part for are
    there and do what an ``_init`` does to a structure of 64 bytes."""
    written = SOURCE.read_text()
    stubs = [
        f"void {name}(void *memory) {{ memset(memory, 0, 64); }}"
        for name in functions()
        if f" {name}(" not in written and f"*{name}(" not in written and name not in without
    ]
    source, library = folder / "fake.c", folder / "libfakexenlight.so"
    source.write_text("#define _GNU_SOURCE\n" + written + "\n".join(stubs) + "\n")
    subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source)], check=True
    )
    return ctypes.CDLL(str(library))


def library_of(fake: ctypes.CDLL, release: tuple[int, int] = (4, 17)) -> Library:
    assert not set(LIBC) & set(functions())
    loaded = CLibrary(fake._name)
    return Library(loaded, loaded, CLibrary(None), release)
