"""Which libxenlight this host has, and whether it is as we rely on it to be.

libxl's soname has Xen's release in it (``libxenlight.so.4.17``), because its structures change from
release to release. We know none of them: each goes in and out as JSON, and its size is what its own
``_init`` writes to. So the same code serves every release whose functions take what ours are given
(`OLDEST` and later); those that it was tried on are `PROVEN`. What is relied on is looked at when the
library is loaded, and a library of which it does not hold is refused by name, before it is called.

Source: tools/libs/light/gentypes.py (every ``_init`` zeroes its whole structure); Makefile (sonames).
"""

from __future__ import annotations

import os

from xentool.cfunctions import CLibrary, addressof, c_char
from xentool.errors import HostError, NoLibxlError
from xentool.toolstack.libxl.signatures import LIBC, NEEDED, STRUCTS, TOOLLOG, signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import Array

PROVEN = (17, 20)
"""The minor releases of Xen 4 with whose libxl the whole of this was tried."""
OLDEST = 14
"""Before it, functions of the same name took fewer arguments."""

PROBE_BYTES = 1 << 13
"""Far more than any structure of libxl has: libxl_domain_config, the largest, has 1.3 kB."""
PATTERNS = (b"\xa5" * PROBE_BYTES, b"\x5a" * PROBE_BYTES)
FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/usr/local/lib64")


class Library:
    """libxenlight and, beside it, libxentoollog and the C library that both share with us.

    `warning` says what is not as it should be and keeps nobody from trying: an unproven release.
    """

    def __init__(self, light: CLibrary, toollog: CLibrary, libc: CLibrary, release: tuple[int, int]) -> None:
        self.release = release
        self.warning = ""
        self._libraries = (light, toollog, libc)
        self._functions: dict[str, Callable[..., int]] = {}
        self._sizes: dict[str, int] = {}
        self._probe: Array[c_char] | None = None

    @property
    def title(self) -> str:
        """As a sysadmin calls it: ``libxl 4.17``."""
        return "libxl " + ".".join(map(str, self.release))

    def function(self, name: str) -> Callable[..., int]:
        """The function of that name, declared.

        Raises:
            HostError: this libxl has none.
        """
        function = self._functions.get(name)
        if function is None:
            found = self._find(name)
            if found is None:
                raise HostError(
                    "use",
                    self.title,
                    f"it has no function {name}",
                    hint="another release of Xen's libraries may have it",
                )
            self._functions[name] = function = found
        return function

    def text(self, name: str, *arguments: object) -> str:
        """What a function says whose answer is a string that stays libxl's own."""
        told: object = self.function(name)(*arguments)
        return told.decode("utf-8", "replace") if isinstance(told, bytes) else ""

    def has(self, name: str) -> bool:
        """Whether this libxl has the function."""
        return name in self._functions or not self._home_of(name).lacks([name])

    def lacks(self) -> list[str]:
        """The functions that are needed and not there."""
        of_structs = [
            f"libxl_{struct}_{what}"
            for struct in STRUCTS
            for what in ("init", "dispose", "from_json", "to_json")
        ]
        light, toollog, libc = self._libraries
        return [*light.lacks([*NEEDED, *of_structs]), *toollog.lacks(TOOLLOG), *libc.lacks(LIBC)]

    def _find(self, name: str) -> Callable[..., int] | None:
        declared = LIBC.get(name) or signature(name)
        if declared is None:
            raise AssertionError(f"{name} is declared nowhere")
        return self._home_of(name).function(name, declared)

    def _home_of(self, name: str) -> CLibrary:
        light, toollog, libc = self._libraries
        return libc if name in LIBC else toollog if name in TOOLLOG else light

    def size_of(self, struct: str) -> int:
        """The size of libxl_`struct` in bytes: as far as its ``_init`` writes.

        Raises:
            HostError: this libxl has no such structure.
            NoLibxlError: its size cannot be told.
        """
        size = self._sizes.get(struct)
        if size is None:
            self._sizes[struct] = size = self._measure(struct)
        return size

    def _measure(self, struct: str) -> int:
        init = self.function(f"libxl_{struct}_init")
        if self._probe is None:
            self._probe = (c_char * PROBE_BYTES)()
        size = 0
        for untouched in PATTERNS:
            self._probe.raw = untouched
            init(addressof(self._probe))
            filled = self._probe.raw
            end = filled.find(untouched[0])
            while end >= 0 and filled[end:] != untouched[end:]:
                end = filled.find(untouched[0], end + 1)
            # A byte that was written is the same both times, so it differs from the pattern of one.
            size = max(size, end if end >= 0 else PROBE_BYTES)
        if not 0 < size < PROBE_BYTES:
            raise NoLibxlError(
                "use",
                self.title,
                f"the size of its libxl_{struct} cannot be told (libxl_{struct}_init wrote {size} bytes)",
                hint="it keeps its structures another way; PV guests need none (`--toolstack native`)",
            )
        return size


def open_library(release: tuple[int, int]) -> Library:
    """The libxl of that release of Xen (major, minor), checked.

    Raises:
        NoLibxlError: there is none, or it is not as we rely on it to be.
    """
    major, minor = release
    wanted = f"libxenlight.so.{major}.{minor}"
    if major != 4 or minor < OLDEST:
        raise NoLibxlError(
            "use libxl",
            f"{major}.{minor}",
            f"xentool drives libxl from 4.{OLDEST} on",
            hint="PV guests need none (`--toolstack native`)",
        )
    library = Library(
        _load(wanted, f"apt-get install libxenmisc{major}.{minor}, or your Xen's own tools"),
        _load("libxentoollog.so.1", "apt-get install libxentoollog1"),
        CLibrary(None),
        release,
    )
    check(library)
    return library


def _load(soname: str, hint: str) -> CLibrary:
    try:
        return CLibrary(soname)
    except OSError as exc:
        others = others_of(soname)
        reason = f"the library {soname} is missing"
        if os.path.exists(soname) or "cannot open shared object file" not in str(exc):
            reason = f"{soname} cannot be loaded"
        elif others:
            reason += f": there is {', '.join(others)}, which is for another Xen than the one that runs"
        raise NoLibxlError(
            "use libxl", "on this host", reason, hint=f"{hint}; PV guests need none (`--toolstack native`)",
            detail=str(exc),
        ) from exc  # fmt: skip


def others_of(soname: str, folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """The releases of that library that the host does have."""
    stem = soname.partition(".so.")[0] + ".so."
    found: set[str] = set()
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found.update(name for name in names if name.startswith(stem) and name.count(".") == 3)
    return sorted(found - {soname})


def check(library: Library) -> None:
    """Look at all that is relied on and can be seen without a connection: functions, and sizes.

    Raises:
        NoLibxlError: something is missing; all that is missing is named.
    """
    missing = library.lacks()
    if missing:
        raise NoLibxlError(
            "use",
            library.title,
            f"it lacks {len(missing)} of the functions that xentool calls: {', '.join(missing[:5])}"
            + (" …" if len(missing) > 5 else ""),
            hint="is it a whole libxenlight of that release? PV guests need none (`--toolstack native`)",
            detail="\n".join(missing),
        )
    for struct in STRUCTS:
        library.size_of(struct)
    if library.release[1] not in PROVEN:
        proven = " and ".join(f"4.{minor}" for minor in PROVEN)
        library.warning = (
            f"{library.title} has all that is needed, but xentool was tried with {proven}: "
            "look twice at what it does, or use `--toolstack native`"
        )
