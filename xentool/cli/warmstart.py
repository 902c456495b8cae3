"""A command's modules, out of one file: what Python's bytecode cache is for a module, for a whole command.

A command imports forty to sixty small modules, and looking for them one by one takes Python longer
than running them. So the first run of a command that went well keeps the bytecode of what it imported
in one file, beside Python's own (``__pycache__``), and later runs begin with that.

The file is made of Python's own bytecode files. Each module's source is held against the time and
size that its bytecode was compiled from, as Python does: one that was changed is imported in the
ordinary way, and the file made anew. Where the folder may not be written, or Python was told to keep no
bytecode, there is no file, and everything goes the ordinary way.

Source: PEP 3147, PEP 552; importlib._bootstrap_external (SourceLoader.get_code).
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from importlib.util import MAGIC_NUMBER
    from types import CodeType, ModuleType

    Entry = tuple[str, str, str, bool, int, int, CodeType]
else:
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

    ModuleType = type(sys)

_HEADER = MAGIC_NUMBER + b"xentool1"
_PYC_HEADER_BYTES = 16
_PYC_CHECKED_BY_TIME = MAGIC_NUMBER + bytes(4)
_GROUPS = ("lab", "mock", "store")
_LARGE = ("click", "rich", "yaml")
"""What only some runs of a command import, those on a terminal for one: such a run is no model."""
_MAX_MODULES = 250
"""More than a create of a guest with every kind of device imports, which is the most."""
_LIBXL = "xentool.toolstack.libxl"
_LIBXLS_OWN = ("save", "restore")
"""What libxl does in any case. Elsewhere a run that took it is no model, unless it was asked for by name."""


class WarmStart:
    """One command's file. `load` it before the command runs, and `save` when it went well.

    `excluded` are modules that only some of its runs import.
    """

    def __init__(self, path: str, excluded: tuple[str, ...] = _LARGE) -> None:
        self._path = path
        self._excluded = excluded
        self._before = frozenset(sys.modules)
        self._current = False

    def load(self) -> None:
        """Import what the file has, as far as it is current."""
        try:
            with open(self._path, "rb", 0) as file:
                data = file.read()
            if not data.startswith(_HEADER):
                return
            entries: list[Entry] = marshal.loads(memoryview(data)[len(_HEADER) :])  # noqa: S302
        except (OSError, ValueError, EOFError, TypeError):
            return
        self._current = True
        for entry in entries:
            if entry[0] not in sys.modules and not _run(entry):
                self._current = False

    def save(self) -> None:
        """Make the file anew, if it was not there or something in it was not current."""
        new = {name: module for name, module in sys.modules.items() if name not in self._before}
        if self._current or len(new) > _MAX_MODULES or not new.keys().isdisjoint(self._excluded):
            return
        entries = {name: entry for name, module in new.items() if (entry := _entry(name, module)) is not None}
        unnamed = f"{self._path}.{os.getpid()}"
        try:
            descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                with open(descriptor, "wb") as file:
                    file.write(_HEADER + marshal.dumps(_in_order(entries)))
                os.rename(unnamed, self._path)
            except BaseException:
                os.unlink(unnamed)
                raise
        except (OSError, ValueError):
            return  # the next run is as slow as this one


def of_command(argv: Sequence[str]) -> WarmStart | None:
    """The file of the command that `argv` names, or None where there is none to be had."""
    toolstack = _toolstack(argv)
    if argv and argv[0] == "--toolstack":
        argv = argv[2:]
    words = [
        *argv[: 2 if argv[:1] and argv[0] in _GROUPS else 1],
        os.environ.get("XENTOOL_BACKEND", ""),
        toolstack,
    ]
    if not words[0] or not all(word.replace("-", "a").isalnum() and word[0] != "-" for word in words if word):
        return None
    if sys.pycache_prefix is not None or sys.dont_write_bytecode or sys.flags.optimize:
        return None
    folder = os.path.dirname(os.path.dirname(__file__))
    name = ".".join(["start", *filter(None, words), str(sys.implementation.cache_tag)])
    excluded = _LARGE if toolstack == "libxl" or words[0] in _LIBXLS_OWN else (*_LARGE, _LIBXL)
    return WarmStart(f"{folder}/__pycache__/{name}", excluded) if name.isascii() and len(name) < 100 else None


def _toolstack(argv: Sequence[str]) -> str:
    """The toolstack that is asked for by name; empty where it is chosen for each operation."""
    asked = os.environ.get("XENTOOL_TOOLSTACK", "")
    for position, word in enumerate(argv, 1):
        if word == "--toolstack":
            asked = argv[position] if position < len(argv) else ""
        elif word.startswith("--toolstack="):
            asked = word[12:]
    return asked if asked in ("native", "libxl") else ""


def _run(entry: Entry) -> bool:
    """Do what importing that module does; False where its source is not the one that was compiled."""
    name, source, cached, is_package, time, size, code = entry
    try:
        status = os.stat(source)
    except OSError:
        return False
    if (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF) != (time, size):
        return False
    above, _, base = name.rpartition(".")
    if above and above not in sys.modules:
        return True  # its package was changed, and takes the ordinary way, as will this
    spec = ModuleSpec(name, SourceFileLoader(name, source), origin=source, is_package=is_package)
    spec.has_location = True
    spec.cached = cached
    module = ModuleType(name)
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__file__ = source
    module.__dict__["__cached__"] = cached
    module.__package__ = name if is_package else above
    if is_package:
        module.__path__ = spec.submodule_search_locations = [os.path.dirname(source)]
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - as every import does
    except BaseException:
        del sys.modules[name]
        raise
    if above:
        setattr(sys.modules[above], base, module)
    return True


def _entry(name: str, module: ModuleType) -> Entry | None:
    """The module's entry, of Python's own bytecode file; None where there is none that is like the others."""
    spec = getattr(
        module, "__spec__", None
    )  # what is listed as a module need not be one: typing.io is a class
    if spec is None or spec.name != name or type(spec.loader) is not SourceFileLoader:
        return None
    if spec.origin is None or spec.cached is None:
        return None
    try:
        with open(spec.cached, "rb") as file:
            data = file.read()
    except OSError:
        return None
    if not data.startswith(_PYC_CHECKED_BY_TIME):
        return None
    time, size = int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little")
    code: CodeType = marshal.loads(memoryview(data)[_PYC_HEADER_BYTES:])  # noqa: S302
    is_package = spec.submodule_search_locations is not None
    return name, spec.origin, spec.cached, is_package, time, size, code


def _in_order(entries: dict[str, Entry]) -> list[Entry]:
    """Packages before what is in them, and modules after those that they import."""
    ordered: dict[str, Entry] = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun or name not in entries:
            return
        begun.add(name)
        visit(name.rpartition(".")[0])
        for needed in _imported(entries[name][-1], vars(sys.modules[name])):
            if not needed.startswith(name + "."):  # a package runs before what it imports of itself
                visit(needed)
        ordered[name] = entries[name]

    for name in entries:
        visit(name)
    return list(ordered.values())


def _imported(code: CodeType, namespace: Mapping[str, object]) -> Iterator[str]:
    """The modules that this module's code has imported: ``import a.b`` and ``from a.b import c``.

    What it imports for type checkers alone is in its code as well, but has left no name.
    """
    from dis import get_instructions

    module = part = ""
    for step in get_instructions(code):
        if step.opname == "IMPORT_NAME":
            module, part = step.argval, ""
        elif step.opname == "IMPORT_FROM":
            part = step.argval
        elif step.opname == "STORE_NAME" and module:
            if step.argval in namespace:
                yield module
                if part:
                    yield f"{module}.{part}"
            if not part:
                module = ""
        elif step.opname == "POP_TOP":
            module = ""
