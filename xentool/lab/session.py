"""A booted lab: one QEMU with Xen, and the commands that run in its dom0."""

from __future__ import annotations

import json
import os
import select
import shlex
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from xentool.errors import LabError, TimedOutError
from xentool.lab.build import build
from xentool.lab.cache import Cache
from xentool.lab.console import ConsoleLog
from xentool.lab.errata import mend
from xentool.lab.frames import ERRORS, EXIT, INPUT, OUTPUT, READY, REQUEST, SIZE, FrameReader, encode
from xentool.lab.layer import CHECKOUT, make_layer, own_checkout
from xentool.lab.qemu import DEFAULT_MACHINE, Machine, Qemu, Share, share_tag
from xentool.lab.recipe import DEFAULT_XEN, release_of
from xentool.lab.tools import RUN_TOOLS, require_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    Sink = Callable[[bytes], object]

# Where the folder that `out` names is in dom0.
OUT: Final = "/lab/out"

# Two idle cores without hardware virtualisation boot in 13 s. A busy machine may take many times that, and a
# boot that fails says so by itself: this is only for one that hangs.
BOOT_TIMEOUT_SECONDS: Final = 600.0

_CHUNK: Final = 1 << 16


class LabResult(NamedTuple):
    """How a command in dom0 ended.

    `exit_code` is the command's; 128 + N if signal N ended it, 127 if there is no such command. `stdout` and
    `stderr` are all it said, whether or not it was streamed too. `seconds` is its own time in dom0,
    `boot_seconds` the time from QEMU's start until dom0 was ready, `xen` and `kernel` the versions that run.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    boot_seconds: float
    xen: str
    kernel: str


class Lab:
    """Real Xen in a QEMU of our own. Use as a context manager: at its end QEMU is gone, whatever happened.

    QEMU also ends with the thread that called `boot`, even if that is killed: keep it alive meanwhile.
    """

    def __init__(
        self,
        xen: str = DEFAULT_XEN,
        *,
        checkout: str = "",
        out: str = "",
        shares: Sequence[Share] = (),
        machine: Machine = DEFAULT_MACHINE,
        log: str = "",
        cache: Cache | None = None,
        progress: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Nothing is started yet.

        `checkout`: the folder whose xentool dom0 runs; by default the one that is running. `out`: a folder of
        this machine that is /lab/out in dom0, writable; `shares` are further ones. `log`: a file for all that
        the console says.
        """
        self.xen = xen
        self.boot_seconds = 0.0
        self.facts: dict[str, str] = {}
        self._checkout = checkout or own_checkout()
        self._shares = [Share(out, OUT, writable=True)] if out else []
        self._shares += shares
        self._machine = machine
        self._log = log
        self._cache = cache or Cache()
        self._progress = progress
        self._stack = ExitStack()
        self._reader = FrameReader()
        self._outgoing = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def boot(self, timeout_seconds: float = BOOT_TIMEOUT_SECONDS) -> None:
        """Build the image if need be, start QEMU, wait for dom0. LabError or TimedOutError if that fails."""
        require_tools(RUN_TOOLS, "run the lab")
        for share in self._shares:
            if not os.path.isdir(share.host):
                raise LabError("share with the lab's dom0", share.host, "there is no such folder")
        release = release_of(self.xen)
        image = build(self.xen, cache=self._cache, progress=self._progress)
        self._stack.enter_context(image.held())
        layer = make_layer(
            self._checkout, release.python, image.path("python"), os.path.join(self._cache.folder, "python")
        )
        self._console = ConsoleLog(self._open_log())
        self._progress(f"booting Xen {self.xen}")
        started = time.monotonic()
        self._qemu = self._stack.enter_context(Qemu(image, self._machine, self._shares, layer))
        deadline = started + timeout_seconds
        mended = False
        while not self.facts:
            frames, _ = self._step(deadline, "boot Xen in the lab", timeout_seconds)
            if not mended:
                # What speaks is QEMU itself and no longer what started it, and Xen has just begun.
                self._mend_qemu()
                mended = True
            for kind, payload in frames:
                if kind == READY:
                    self.facts = json.loads(payload)
        self.boot_seconds = time.monotonic() - started
        self._progress(f"dom0 is ready after {self.boot_seconds:.1f} s")

    def _mend_qemu(self) -> None:
        try:
            mend(self._qemu.pid)
        except OSError as exc:
            self._progress(f"QEMU could not be mended, guests and dom0 may crash: {exc.strerror or exc}")

    def _open_log(self) -> BinaryIO | None:
        if not self._log:
            return None
        try:
            return self._stack.enter_context(open(self._log, "wb"))
        except OSError as exc:
            raise LabError("write the lab's log", self._log, exc.strerror or str(exc)) from exc

    def run(
        self,
        command: Sequence[str],
        *,
        timeout_seconds: float = 600.0,
        environment: Mapping[str, str] | None = None,
        folder: str = "/" + CHECKOUT,
        stdin: bytes = b"",
        stdout: Sink | None = None,
        stderr: Sink | None = None,
    ) -> LabResult:
        """Run one command in dom0 (a list, no shell) and wait for its end; `boot` comes first, once.

        `stdout` and `stderr` are called with bytes as they come. TimedOutError after `timeout_seconds`: dom0
        is in an unknown state then, and the lab is of no more use. LabError if QEMU or Xen died.
        """
        self._request(command, environment or {}, folder)
        self._send(INPUT, stdin)
        if stdin:
            self._send(INPUT, b"")
        said: dict[bytes, list[bytes]] = {OUTPUT: [], ERRORS: []}
        sinks = {OUTPUT: stdout, ERRORS: stderr}
        deadline = time.monotonic() + timeout_seconds
        while True:
            for kind, payload in self._step(
                deadline, f"run {shlex.join(command)} in the lab", timeout_seconds
            )[0]:
                if kind == EXIT:
                    code, seconds = self._ended(payload)
                    return LabResult(
                        code,
                        b"".join(said[OUTPUT]),
                        b"".join(said[ERRORS]),
                        seconds,
                        self.boot_seconds,
                        self.facts["xen"],
                        self.facts["kernel"],
                    )
                said[kind].append(payload)
                sink = sinks[kind]
                if sink:
                    sink(payload)

    def interact(
        self,
        command: Sequence[str],
        terminal: int,
        size: Callable[[], tuple[int, int]],
        resized: int,
        environment: Mapping[str, str],
    ) -> int:
        """Run a command on a terminal of its own in dom0, wired to the descriptor `terminal`; its exit code.

        `size` gives the terminal's rows and columns, and is asked again whenever `resized` becomes readable.
        """
        self._request(command, environment, "/" + CHECKOUT, size())
        while True:
            # More is read only when what was read is on its way: a paste must not fill our memory.
            extra = [resized] if self._outgoing else [resized, terminal]
            frames, ready = self._step(None, "use the lab's shell", 0.0, extra)
            for kind, payload in frames:
                if kind == EXIT:
                    return self._ended(payload)[0]
                data = memoryview(payload)
                while data:
                    data = data[os.write(terminal, data) :]
            if terminal in ready:
                typed = os.read(terminal, _CHUNK)
                if not typed:
                    return 0
                self._send(INPUT, typed)
            if resized in ready:
                os.read(resized, _CHUNK)
                self._send(SIZE, json.dumps(size()).encode())

    def _request(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        size: tuple[int, int] | None = None,
    ) -> None:
        request = {
            "command": list(command),
            "environment": dict(environment),
            "folder": folder,
            "terminal": size is not None,
            "size": size,
            "shares": [
                [share_tag(number), share.path, "rw" if share.writable else "ro"]
                for number, share in enumerate(self._shares)
            ],
        }
        self._send(REQUEST, json.dumps(request).encode())

    @staticmethod
    def _ended(payload: bytes) -> tuple[int, float]:
        result = json.loads(payload)
        if "failure" in result:
            raise LabError("run a command in the lab", "", result["failure"])
        return result["code"], result["seconds"]

    def _send(self, kind: bytes, payload: bytes) -> None:
        self._outgoing += b"".join(
            encode(kind, payload[start : start + _CHUNK]) for start in range(0, max(len(payload), 1), _CHUNK)
        )

    def _step(
        self, deadline: float | None, action: str, limit_seconds: float, extra: Sequence[int] = ()
    ) -> tuple[list[tuple[bytes, bytes]], set[int]]:
        """Wait until something comes: the frames from dom0, and which of `extra` can be read."""
        qemu = self._qemu
        port, console = qemu.port.fileno(), qemu.console.fileno()
        poll = select.poll()
        poll.register(port, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        for fd in (console, qemu.pidfd, *extra):
            poll.register(fd, select.POLLIN)
        remaining = None if deadline is None else max(0, deadline - time.monotonic())
        ready = dict(poll.poll(None if remaining is None else remaining * 1000))
        if not ready:
            self._console_ended()
            raise TimedOutError(
                action,
                "",
                f"not done within {limit_seconds:g} s",
                hint="allow more time, or look at the end of the console below",
                detail=self._console.tail(),
            )
        if console in ready:
            self._console.feed(qemu.console.recv(_CHUNK))
            if not self.facts and self._console.failure():
                raise LabError(action, "", self._console.failure(), detail=self._console.tail())
        if ready.get(port, 0) & select.POLLOUT:
            # Never to wait in here: dom0 may be waiting for us to read what it says.
            del self._outgoing[: qemu.port.send(self._outgoing, socket.MSG_DONTWAIT)]
        frames: list[tuple[bytes, bytes]] = []
        if ready.get(port, 0) & (select.POLLIN | select.POLLHUP):
            frames = list(self._reader.feed(qemu.port.recv(_CHUNK)))
        if qemu.pidfd in ready and not frames:
            self._console_ended()
            words = qemu.last_words() or "Xen or dom0 crashed, or powered off"
            raise LabError(
                action, "", f"the machine ended: {words}", hint="see its console", detail=self._console.tail()
            )
        return frames, ready.keys() & set(extra)

    def _console_ended(self) -> None:
        """Take what is still in the console's wire."""
        self._qemu.console.setblocking(False)
        try:
            while data := self._qemu.console.recv(_CHUNK):
                self._console.feed(data)
        except BlockingIOError:
            pass
