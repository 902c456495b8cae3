"""Linux guests for the tests of devices: they boot, take orders on their console, and give the output back.

Their ramdisk is the lab's, with Python and the scripts of `tests/nested/inguest` before it: so a test can
send frames that no tool sends, and write to the store as a guest's kernel lets it.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.nested.dom0 import MARKER, RAMDISK, Dom0, telling

HERE: Final = Path(__file__).parent
TOOL: Final = os.environ.get("XENTOOL_TEST_TOOL", "xentool")
"""What the tests of devices make guests with. With "xl" they show that they are right, if not that we are."""
BRIDGE: Final = "xenbr0"
DOM0_ADDRESS: Final = "10.17.0.1"

# Of Python's library, what the scripts import or might: compiled modules alone, as nothing else is read.
_MODULES: Final = (
    "__future__", "_collections_abc", "abc", "bisect", "codecs", "collections", "contextlib", "copyreg",
    "encodings", "enum", "functools", "genericpath", "heapq", "io", "ipaddress", "keyword", "linecache",
    "operator", "os", "posixpath", "random", "re", "reprlib", "selectors", "socket", "stat", "struct",
    "textwrap", "threading", "token", "tokenize", "traceback", "types", "_weakrefset", "warnings", "weakref",
)  # fmt: skip
_LIBRARIES: Final = ("libc.so.6", "libm.so.6", "libz.so.1", "libexpat.so.1")
_OURS: Final = ("xentool/abi", "xentool/store")
_OUR_FILES: Final = ("xentool/__init__", "xentool/errors", "xentool/units", "xentool/values")
QUIET: Final = "quiet loglevel=3 audit=0 lsm=capability cryptomgr.notests norandmaps"


def make_ramdisk(folder: Path) -> Path:
    """Make the guests' ramdisk in the empty `folder`: Python first, as is, then the lab's own.

    In this order and not compressed, because xl unpacks a ramdisk that begins as gzip does, and takes the
    file's last bytes for its length.
    """
    root = folder / "root"
    libraries = root / "lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    (root / "lib64").mkdir()
    (root / "pybin").mkdir()
    shutil.copy("/lib64/ld-linux-x86-64.so.2", root / "lib64")
    for name in _LIBRARIES:
        shutil.copy(f"/lib/x86_64-linux-gnu/{name}", libraries)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(f"/usr/bin/{version}", root / "pybin/python3")
    library = root / "usr/lib" / version
    for name in _MODULES:
        _compiled(Path("/usr/lib") / version, name, library)
    checkout = HERE.parents[1]
    ours = root / "usr/lib/xentool-tests"
    for folder_name in _OURS:
        _compiled(checkout, folder_name, ours)
    for name in _OUR_FILES:
        _compiled(checkout, name, ours)
    shutil.copytree(HERE / "inguest", ours, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    result = folder / "traffic.cpio"
    with open(result, "wb") as file:
        subprocess.run(
            ["sh", "-c", "find . | busybox cpio -o -H newc 2>/dev/null"], cwd=root, stdout=file, check=True
        )
        # What follows an archive that is not compressed begins at a multiple of four.
        file.seek(0, os.SEEK_END)
        file.write(b"\0" * (-file.tell() % 4))
        file.write(Path(RAMDISK).read_bytes())
    shutil.rmtree(root)
    return result


def _compiled(top: Path, name: str, into: Path) -> None:
    """Copy a module's compiled file, or a package's, to where Python takes it without a source."""
    if (top / name).is_dir():
        for path in (top / name).iterdir():
            if path.suffix == ".py":
                _compiled(top, f"{name}/{path.stem}", into)
            elif path.is_dir() and path.name != "__pycache__":
                _compiled(top, f"{name}/{path.name}", into)
        return
    source = top / f"{name}.py"
    target = into / f"{name}.pyc"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc", target)


class Guest:
    """A Linux guest on its console. A context manager: leave it and the guest is destroyed.

    `tool` ("xl" or "xentool") makes and destroys it.
    """

    def __init__(
        self, dom0: Dom0, config: Path, *, tool: str = TOOL, arguments: tuple[str, ...] = ()
    ) -> None:
        self.dom0 = dom0
        self.tool = tool
        name = next(line for line in config.read_text().splitlines() if line.startswith("name"))
        self.name = name.split('"')[1]
        # Paused, so that nothing that it says is lost.
        dom0.run(tool, "create", "-p", "-q", str(config), *arguments)
        self.said = ""
        self.orders = 0
        """How many lines of shell it was given."""
        self._console = -1
        self.take_up()

    def take_up(self) -> None:
        """Open the console of the domain, which was made or restored, paused, and let the guest run."""
        if self._console >= 0:
            os.close(self._console)
        self.domid = int(self.dom0.xl("domid", self.name).stdout)
        path = self.dom0.console_tty(self.domid)
        self._console = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._console)
        self.dom0.run(self.tool, "unpause", str(self.domid))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._console)
        if self.domid in self.dom0.domids():
            self.dom0.run(self.tool, "destroy", str(self.domid), check=kind is None)

    def wait_until_up(self, seconds: float = 300) -> None:
        """Until the guest's shell takes orders."""
        self._read_until(MARKER, seconds)
        self._read_until("guest# ", seconds)
        # No prompts, no echo, nothing that asks for the window's size.
        self._write(
            'stty -echo; n=0; while echo "<$n:$?>"; read -r order; do n=$((n+1));'
            ' eval "$order" </dev/null 2>&1; done\n'
        )
        # What comes together with that line, the shell's line editor takes and loses.
        self._read_until("<0:0>", seconds)
        self.sh("export PATH=$PATH:/pybin PYTHONHOME=/usr PYTHONPATH=/usr/lib/xentool-tests")

    def sh(self, command: str, *, seconds: float = 150, check: bool = True) -> str:
        """Run a line of shell in the guest; what it said."""
        self.send(command)
        return self.answer(seconds=seconds, check=check)

    def send(self, command: str) -> None:
        """Start a line of shell in the guest; `answer` waits for its end."""
        assert "\n" not in command
        assert len(command) < 4000, "a terminal cuts longer lines"
        self.orders += 1
        self._write(command + "\n")

    def answer(self, *, seconds: float = 150, check: bool = True) -> str:
        text = self._read_until(f"<{self.orders}:", seconds)
        code = self._read_until(">", seconds)
        if check:
            assert code == "0", f"{self.name}: exit code {code}\n{text}"
        return text.replace("\r\n", "\n").lstrip("\n")

    def python(self, script: str, *words: object, seconds: float = 200, check: bool = True) -> str:
        """Run one of `tests/nested/inguest` in the guest; what it said."""
        return self.sh(self.python_command(script, *words), seconds=seconds, check=check)

    @staticmethod
    def python_command(script: str, *words: object) -> str:
        arguments = " ".join(shlex.quote(str(word)) for word in words)
        return f"python3 -S /usr/lib/xentool-tests/{script}.py {arguments}"

    def _write(self, text: str) -> None:
        data = text.encode()
        end = time.monotonic() + 60
        while data:
            try:
                data = data[os.write(self._console, data) :]
            except BlockingIOError:
                assert time.monotonic() < end, f"{self.name} does not read its console"
                select.select([], [self._console], [], 1)

    def _read_until(self, text: str, seconds: float) -> str:
        """What the guest says before `text`; the rest is kept."""
        end = time.monotonic() + seconds
        while text not in self.said:
            left = end - time.monotonic()
            assert left > 0, f"{self.name}: no {text!r} within {seconds} s, but:\n{telling(self.said)}"
            if select.select([self._console], [], [], left)[0]:
                self.said += os.read(self._console, 1 << 16).decode(errors="replace")
        before, _, self.said = self.said.partition(text)
        return before


@contextmanager
def bridge(dom0: Dom0, name: str = BRIDGE, address: str = f"{DOM0_ADDRESS}/16") -> Iterator[str]:
    """A bridge of Domain-0 with an address on it."""
    dom0.run("ip", "link", "add", name, "type", "bridge")
    try:
        # Nothing of IPv6's own on it: what is counted is what guests send.
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        dom0.run("ip", "address", "add", address, "dev", name)
        dom0.run("ip", "link", "set", name, "up")
        yield name
    finally:
        dom0.run("ip", "link", "del", name)


@contextmanager
def tap(dom0: Dom0, bridge_name: str = BRIDGE) -> Iterator[str]:
    """An interface that gets whatever the bridge floods, as any other guest on it does."""
    dom0.run("ip", "link", "add", "tap-in", "type", "veth", "peer", "name", "tap-out")
    try:
        for name in ("tap-in", "tap-out"):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
            dom0.run("ip", "link", "set", name, "up")
        dom0.run("ip", "link", "set", "tap-in", "master", bridge_name)
        yield "tap-out"
    finally:
        dom0.run("ip", "link", "del", "tap-in")


class Capture:
    """Every frame that an interface of Domain-0 sees from now on (`ETH_P_ALL`), until `frames` is called."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((interface, 0))
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.close()

    def frames(self) -> list[bytes]:
        """What came so far."""
        found = []
        try:
            while True:
                found.append(self._socket.recv(1 << 16))
        except BlockingIOError:
            return found


def received_bytes(interface: str) -> int:
    """What Domain-0 had from the guest behind that interface."""
    return int(Path(f"/sys/class/net/{interface}/statistics/rx_bytes").read_text())
