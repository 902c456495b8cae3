"""Debian's packages for the lab, through the machine's own apt, in folders of the lab's own.

The machine's sources are read, Debian's archive among them is kept, and the suite's name is replaced by the
one that is wanted: so the lab uses the mirror, proxy and keys that the machine's administrator chose. Nothing
needs root, and nothing of the machine's package state is read or changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from xentool.errors import LabError
from xentool.lab.tools import tool_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Set to the path of a sources file (deb822; "@SUITE@" is the suite) to use it instead of the machine's.
SOURCES_VARIABLE: Final = "XENTOOL_LAB_SOURCES"
_NO_SOURCES_HINT: Final = (
    f"set {SOURCES_VARIABLE} to a deb822 sources file for Debian's archive, "
    "with @SUITE@ in place of the suite"
)

# A suite of Debian itself: a codename or an alias, and the pocket.
_SUITE: Final = re.compile(
    r"(?:bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)"
    r"(?P<pocket>|-updates|-security|/updates)"
)
_POCKETS: Final = {"": "", "-updates": "-updates", "-security": "-security", "/updates": "-security"}
_ONE_LINE: Final = re.compile(
    r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)"
)
_INSTALL: Final = re.compile(r"^Inst (\S+) \((\S+) .*\[(\w+)\]\)", re.MULTILINE)
_OPTION_FIELDS: Final = {
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "check-valid-until": "Check-Valid-Until",
    "allow-insecure": "Allow-Insecure",
}


def sources_for(suite: str, texts: Sequence[tuple[str, str]]) -> str:
    """The machine's Debian sources, turned to `suite`, as one deb822 text; "" if there are none.

    `texts` are (file name, content) of the machine's source files; a name's end tells its format.
    """
    stanzas: list[str] = []
    for name, text in texts:
        for fields in _deb822(text) if name.endswith(".sources") else _one_line(text):
            stanza = _turn(fields, suite)
            if stanza and stanza not in stanzas:
                stanzas.append(stanza)
    return "\n".join(stanzas)


def _turn(fields: dict[str, str], suite: str) -> str:
    """One stanza with its suites replaced, or "" if it is not Debian's archive."""
    lower = {key.lower(): value for key, value in fields.items()}
    if "deb" not in lower.get("types", "").split() or "main" not in lower.get("components", "").split():
        return ""
    if lower.get("enabled", "yes").strip().lower() in ("no", "false", "0"):
        return ""
    matches = [_SUITE.fullmatch(name) for name in lower.get("suites", "").split()]
    pockets = [_POCKETS[match["pocket"]] for match in matches if match]
    if not pockets:
        return ""
    suites = " ".join(dict.fromkeys(suite + pocket for pocket in pockets))
    kept = {
        key: value
        for key, value in fields.items()
        if key.lower() not in ("types", "suites", "components", "architectures", "enabled")
    }
    lines = ["Types: deb", f"Suites: {suites}", "Components: main"]
    lines += [f"{key}: {value}" for key, value in kept.items()]
    return "\n".join(lines) + "\n"


def _deb822(text: str) -> Iterator[dict[str, str]]:
    """The stanzas of a deb822 sources file."""
    fields: dict[str, str] = {}
    last = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t" and last:
            fields[last] += "\n" + line
        elif ":" in line:
            last, _, value = line.partition(":")
            fields[last] = value.strip()


def _one_line(text: str) -> Iterator[dict[str, str]]:
    """The entries of a one-line sources file, as deb822 fields."""
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if not match:
            continue
        fields = {
            "Types": "deb",
            "URIs": match["uri"],
            "Suites": match["suite"],
            "Components": match["components"],
        }
        for option in (match["options"] or "").split():
            key, _, value = option.partition("=")
            if key.lower() in _OPTION_FIELDS:
                fields[_OPTION_FIELDS[key.lower()]] = value.replace(",", " ")
        yield fields


class Packages:
    """Debian's packages of one suite, in the lab's own folder `folder`. Call `update` first."""

    def __init__(self, suite: str, folder: str) -> None:
        self.suite = suite
        self.folder = folder
        self._config = os.path.join(folder, "apt.conf")
        self.archives = os.path.join(folder, "cache", "archives")

    def update(self) -> None:
        """Fetch the suite's lists. LabError without sources for Debian, or when apt fails."""
        sources = self._sources()
        shutil.rmtree(os.path.join(self.folder, "etc"), ignore_errors=True)
        for name in ("etc", "state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        self._write("etc/debian.sources", sources)
        self._write("status", "")
        quoted = self.folder.replace('"', "")
        config = (
            # Hooks of the machine act on the machine's own cache.
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n#clear DPkg::Pre-Invoke;\n#clear DPkg::Post-Invoke;\n"
            "#clear DPkg::Pre-Install-Pkgs;\n"
            f'Dir::State "{quoted}/state";\nDir::State::status "{quoted}/status";\n'
            f'Dir::State::extended_states "{quoted}/state/extended_states";\n'
            f'Dir::Cache "{quoted}/cache";\nDir::Etc::sourcelist "/dev/null";\n'
            f'Dir::Etc::sourceparts "{quoted}/etc";\nDir::Etc::preferences "/dev/null";\n'
            'Dir::Etc::preferencesparts "/dev/null";\nDir::Log "/dev/null";\n'
            'APT::Architecture "amd64";\n#clear APT::Architectures;\nAPT::Architectures { "amd64"; };\n'
            'APT::Install-Recommends "false";\nAPT::Install-Suggests "false";\nAPT::Get::Assume-Yes "true";\n'
            'Acquire::Languages "none";\n'
        )
        if os.geteuid() == 0:
            # apt would fetch as _apt, which cannot enter root's cache folder.
            config += 'APT::Sandbox::User "root";\n'
        self._write("apt.conf", config)
        self._apt("fetch Debian's package lists for", ["update", "-qq"])

    def resolve(self, names: Sequence[str]) -> dict[str, str]:
        """The packages to unpack for `names`, with all that they depend on: file name to "name=version"."""
        # A simulation, because --print-uris leaves out what has been fetched already.
        text = self._apt("resolve packages of", ["install", "-q", "--simulate", *names])
        found: dict[str, str] = {}
        for package, version, architecture in _INSTALL.findall(text):
            file = f"{package}_{version.replace(':', '%3a')}_{architecture}.deb"
            found[file] = f"{package}={version}"
        return found

    def download(self, names: Sequence[str], progress: Callable[[str], None]) -> list[str]:
        """Fetch `names` with all that they depend on; the .deb files' paths. Verified by apt's keys."""
        wanted = self.resolve(names)
        missing = [file for file in wanted if not os.path.exists(os.path.join(self.archives, file))]
        if missing:
            progress(f"fetching {len(missing)} of {len(wanted)} packages of Debian {self.suite}")
        # Run even if nothing seems missing: it is apt that checks each file's hash.
        self._apt("fetch packages of", ["install", "-qq", "--download-only", *names])
        for file in os.listdir(self.archives):
            if file.endswith(".deb") and file not in wanted:
                os.unlink(os.path.join(self.archives, file))
        return [os.path.join(self.archives, file) for file in wanted]

    def _write(self, name: str, text: str) -> None:
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def _sources(self) -> str:
        own = os.environ.get(SOURCES_VARIABLE)
        if own:
            try:
                with open(own, encoding="utf-8") as file:
                    return file.read().replace("@SUITE@", self.suite)
            except OSError as exc:
                raise LabError(
                    "read the lab's package sources", own, exc.strerror or str(exc), hint=_NO_SOURCES_HINT
                ) from exc
        sources = sources_for(self.suite, list(_machine_sources()))
        if not sources:
            raise LabError(
                "find Debian's archive for",
                self.suite,
                "no apt source of this machine is Debian's",
                hint=_NO_SOURCES_HINT,
            )
        return sources

    def _apt(self, action: str, arguments: list[str]) -> str:
        done = subprocess.run(
            ["apt-get", "-c", self._config, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=tool_environment(LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive"),
            check=False,
        )
        if done.returncode:
            reason = next(
                (line[2:].strip() for line in done.stderr.splitlines() if line.startswith("E:")),
                "apt-get failed",
            )
            raise LabError(
                action,
                f"Debian {self.suite}",
                reason,
                hint="check the network and that `apt-get update` works on this machine",
                detail=done.stderr,
            )
        return done.stdout


def _machine_sources() -> Iterator[tuple[str, str]]:
    """The machine's apt source files, as (name, content), wherever its apt is configured to look for them."""
    done = subprocess.run(
        ["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(re.findall(r"^(\w+)='(.*)'$", done.stdout, re.MULTILINE))
    paths = [found.get("LIST", "/etc/apt/sources.list")]
    folder = found.get("PARTS", "/etc/apt/sources.list.d/")
    if os.path.isdir(folder):
        paths += sorted(
            os.path.join(folder, name) for name in os.listdir(folder) if name.endswith((".list", ".sources"))
        )
    for path in paths:
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                yield path, file.read()
