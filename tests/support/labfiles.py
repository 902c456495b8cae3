"""Programs out of the lab's image, run on this machine: Debian's own, of either release, with libraries.

They run with the image's dynamic loader, so that a newer or older Debian's binaries run here too. What is
taken is what the lab boots: a test against these is a test against the lab's.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from xentool.lab.build import build
from xentool.lab.tools import tool_environment

_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_LOADER = "ld-linux-x86-64.so.2"


class LabPrograms:
    """Programs of the image for Xen `xen` ("4.17"), copied into `folder` when first asked for.

    LabError if there is no image and none can be made.
    """

    def __init__(self, xen: str, folder: Path) -> None:
        self.xen = xen
        self._image = build(xen)
        self._folder = folder
        self._xen_folder = f"/usr/lib/xen-{xen}/bin"
        folder.mkdir(exist_ok=True)
        self._copy(f"{_LIBRARIES}/{_LOADER}")

    def command(self, name: str, preload: Path | None = None) -> list[str]:
        """What starts a program of Xen's own folder, or of /usr/bin; `preload` is a library to load first."""
        program = self._folder / name
        if not program.exists():
            with self._image.held():
                if not self._copy(f"/usr/lib/xen-{self.xen}/bin/{name}") and not self._copy(
                    f"/usr/bin/{name}"
                ):
                    raise AssertionError(f"the lab's image of Xen {self.xen} has no {name}")
                self._copy_libraries(program)
        loader = [str(self._folder / _LOADER), "--library-path", str(self._folder)]
        if preload is not None:
            loader += ["--preload", str(preload)]
        return [*loader, "--argv0", name, str(program)]

    def _copy_libraries(self, program: Path) -> None:
        while True:
            listed = subprocess.run(
                [self._folder / _LOADER, "--library-path", self._folder, "--list", program],
                capture_output=True,
                text=True,
                check=False,
            )
            lines = (listed.stdout + listed.stderr).splitlines()
            # Where the folder lacks a library the loader falls back on this machine's: not wanted either.
            missing = {
                line.split()[0].rstrip(":")
                for line in lines
                if " => " in line and not line.split(" => ")[1].startswith(str(self._folder))
            }
            missing |= {line.split("libraries: ")[1].split(":")[0] for line in lines if "libraries: " in line}
            missing -= {_LOADER, f"/lib64/{_LOADER}"}
            if not missing:
                return
            for library in missing:
                if not self._copy(f"{_LIBRARIES}/{library}"):
                    raise AssertionError(
                        f"{program.name} of Xen {self.xen} needs {library}: not in the image"
                    )

    def _copy(self, path: str) -> bool:
        """Copy a file, and what it links to; whether it is there."""
        copy = self._folder / os.path.basename(path)
        subprocess.run(
            ["debugfs", "-R", f"rdump {path} {self._folder}", self._image.path("root.img")],
            capture_output=True,
            env=tool_environment(LC_ALL="C"),
            check=True,
        )
        if copy.is_symlink() and not copy.exists():
            return self._copy(os.path.join(os.path.dirname(path), os.readlink(copy)))
        return copy.exists()
