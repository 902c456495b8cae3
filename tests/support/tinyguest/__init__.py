"""A tiny PV guest of our own, for quick tests: see guest.S for what it does and says.

It is built with gcc and binutils when a test asks for it, and kept in the user's cache directory
under a name that depends on its sources, so that tests on a clean clone build it once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
VARIANTS = ("INIT_P2M", "MOD_START_PFN", "NO_HYPERCALL_PAGE")
_DEFINES = {
    "INIT_P2M": "WITH_INIT_P2M",
    "MOD_START_PFN": "WITH_MOD_START_PFN",
    "NO_HYPERCALL_PAGE": "WITHOUT_HYPERCALL_PAGE",
}

MARKER = "tiny guest up: "
"""Then the command line, then a newline."""


def build(*variants: str) -> Path:
    """The guest as an ELF file; `variants` (of `VARIANTS`) say which ELF notes it has, and has not."""
    flags = [f"-D{_DEFINES[variant]}" for variant in sorted(set(variants))]
    sources = [HERE / "guest.S", HERE / "guest.ld"]
    digest = hashlib.sha256(b"\0".join([*(path.read_bytes() for path in sources), " ".join(flags).encode()]))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xentool-tests"
    result = cache / f"tinyguest-{digest.hexdigest()[:16]}.elf"
    if result.exists():
        return result
    compiler = shutil.which("x86_64-linux-gnu-gcc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("the tiny guest is built with gcc and binutils: apt install gcc binutils")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        out = Path(work) / "guest.elf"
        link = [
            f"-Wl,-T,{sources[1]}",
            "-Wl,--build-id=none",
            "-Wl,--no-warn-rwx-segments",
            "-Wl,-z,max-page-size=4096",
        ]
        command = [
            compiler, "-m64", "-nostdlib", "-static", "-no-pie", *flags, *link,
            "-o", str(out), str(sources[0]),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} fails:\n{done.stderr}")
        out.replace(result)
    return result
