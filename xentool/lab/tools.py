"""The programs that the lab calls, and what to install where one is missing."""

from __future__ import annotations

import os
import shutil
from typing import Final

from xentool.errors import LabError

# Programs, and the Debian package that brings each.
BUILD_TOOLS: Final = {
    "apt-get": "apt",
    "debugfs": "e2fsprogs",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
}
RUN_TOOLS: Final = {"qemu-system-x86_64": "qemu-system-x86"}

# Where Debian puts tools that users seldom have on their PATH.
_SYSTEM_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"


def tool_environment(**changes: str) -> dict[str, str]:
    """The environment to call programs in: ours, with the system's folders on the PATH, and `changes`."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{path}:{_SYSTEM_FOLDERS}", **changes}


def require_tools(tools: dict[str, str], action: str) -> None:
    """LabError that names all of `tools` that are missing, and the packages to install."""
    path = tool_environment()["PATH"]
    missing = [tool for tool in tools if shutil.which(tool, path=path) is None]
    if missing:
        packages = " ".join(dict.fromkeys(tools[tool] for tool in missing))
        *first, last = missing
        names, verb = (f"{', '.join(first)} and {last}", "are") if first else (last, "is")
        raise LabError(
            action, "", f"{names} {verb} not installed", hint=f"on Debian: apt-get install {packages}"
        )
