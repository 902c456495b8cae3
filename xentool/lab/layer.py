"""The run's own files: this xentool, its tests, and dom0's init, as a tar that dom0 unpacks over its root.

Every module comes compiled for dom0's Python, as pip leaves it: compiling on first import would take dom0
many times as long as the command that it runs. The image's own Python does it, on this machine, once per
content.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from xentool.errors import LabError
from xentool.lab.tree import run_python

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the checkout is in dom0; commands start there.
CHECKOUT: Final = "lab/checkout"

# What of a checkout is taken, besides the package itself.
_PARTS: Final = ("tests", "man", "pyproject.toml", "README.md", "dev")
_HERE: Final = os.path.dirname(__file__)
# -I: what root runs takes no modules from $PYTHONPATH, nor from beside itself.
_LAUNCHER: Final = """\
#!/usr/bin/python3 -I
import sys
from xentool.cli.main import main
sys.exit(main())
"""
# Reads "source TAB target TAB name in dom0" lines, and compiles each. A module with a mistake in it is dom0's
# to complain about, when somebody imports it.
_COMPILER: Final = """\
import py_compile, sys
for line in sys.stdin:
    source, target, name = line.rstrip("\\n").split("\\t")
    try:
        py_compile.compile(source, target, name, doraise=True)
    except py_compile.PyCompileError:
        pass
"""
# Compiled files kept beyond those in use: older ones go.
_KEPT_COMPILED: Final = 3000


def own_checkout() -> str:
    """The folder that holds the xentool that is running: a checkout's root, or a site-packages folder."""
    return os.path.dirname(os.path.dirname(_HERE))


def make_layer(checkout: str, python: str, image_python: str, cache: str) -> bytes:
    """The tar of a run.

    `checkout` is a folder with the package `xentool` in it; `image_python` the image's Python, of version
    `python`, on this machine; `cache` the folder for compiled modules. LabError if that Python does not run.
    """
    files = list(_files(checkout))
    if not any(name == "xentool/__init__.py" for name in files):
        raise LabError("share the checkout", checkout, "there is no xentool package in it")
    sources = {name: os.path.join(checkout, name) for name in files if name.endswith(".py")}
    compiled = _compile(sources, python, image_python, os.path.join(cache, python))
    tag = "cpython-" + python.replace(".", "")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in files:
            path = os.path.join(checkout, name)
            status = os.stat(path)
            with open(path, "rb") as file:
                _add(archive, f"{CHECKOUT}/{name}", file.read(), int(status.st_mtime), status.st_mode & 0o777)
            if name in compiled:
                folder, base = os.path.split(name)
                # What Python checks is the source's time and size: the cached file may have another's time.
                head = struct.pack("<II", int(status.st_mtime) & 0xFFFFFFFF, status.st_size)
                data = compiled[name][:8] + head + compiled[name][16:]
                _add(archive, f"{CHECKOUT}/{folder}/__pycache__/{base[:-3]}.{tag}.pyc", data)
        with open(os.path.join(_HERE, "dom0", "init.sh"), "rb") as file:
            _add(archive, "lab/init", file.read(), mode=0o755)
        _add(archive, "usr/bin/xentool", _LAUNCHER.encode(), mode=0o755)
        link = tarfile.TarInfo("usr/lib/python3/dist-packages/xentool")
        link.type, link.linkname = tarfile.SYMTYPE, f"/{CHECKOUT}/xentool"
        archive.addfile(link)
    return out.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, mtime: int = 0, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(data), mtime, mode
    archive.addfile(member, io.BytesIO(data))


def _files(checkout: str) -> Iterator[str]:
    """Paths under `checkout` that dom0 gets, sorted: the package, and a checkout's tests and settings."""
    parts = ["xentool", *(_PARTS if os.path.exists(os.path.join(checkout, "pyproject.toml")) else ())]
    for part in parts:
        top = os.path.join(checkout, part)
        if os.path.isfile(top):
            yield part
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(
                name for name in folders if name != "__pycache__" and not name.startswith(".")
            )
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not name.startswith(".") and not name.endswith(".pyc") and os.path.isfile(path):
                    yield os.path.relpath(path, checkout)


def _compile(sources: dict[str, str], python: str, image_python: str, cache: str) -> dict[str, bytes]:
    """The compiled modules by name, from the cache, or compiled into it now."""
    os.makedirs(cache, exist_ok=True)
    cached: dict[str, str] = {}
    for name, path in sources.items():
        with open(path, "rb") as file:
            # The name is in the key because it is in the compiled code, for tracebacks.
            cached[name] = hashlib.sha256(name.encode() + b"\0" + file.read()).hexdigest()
    missing = [name for name, key in cached.items() if not os.path.exists(os.path.join(cache, key))]
    if missing:
        with tempfile.TemporaryDirectory(dir=cache, prefix=".new-") as scratch:
            lines = [
                f"{sources[name]}\t{os.path.join(scratch, cached[name])}\t/{CHECKOUT}/{name}\n"
                for name in missing
            ]
            run_python(image_python, python, ["-I", "-S", "-c", _COMPILER], "".join(lines))
            for name in missing:
                if os.path.exists(os.path.join(scratch, cached[name])):
                    os.rename(os.path.join(scratch, cached[name]), os.path.join(cache, cached[name]))
        _prune(cache, keep=set(cached.values()))
    found: dict[str, bytes] = {}
    for name, key in cached.items():
        with suppress(FileNotFoundError), open(os.path.join(cache, key), "rb") as file:
            found[name] = file.read()
    return found


def _prune(cache: str, keep: set[str]) -> None:
    """Remove the oldest compiled modules beyond a number, but none of `keep`.

    Other labs may be doing so at the same time.
    """
    old = []
    with os.scandir(cache) as entries:
        for entry in entries:
            if entry.name not in keep and entry.is_file():
                with suppress(FileNotFoundError):
                    old.append((entry.stat().st_mtime, entry.path))
    for _, path in sorted(old, reverse=True)[_KEPT_COMPILED:]:
        with suppress(FileNotFoundError):
            os.unlink(path)
