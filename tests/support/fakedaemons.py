"""Daemons that are not there: `xentool.dom0.port.Daemons` with a table of what was started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence


class FakeDaemon:
    """One of them; `closed` when nobody holds it."""

    def __init__(self, daemons: FakeDaemons, pid: int) -> None:
        self.daemons = daemons
        self.pid = pid
        self.closed = False
        self._descriptor, self._write = os.pipe2(os.O_CLOEXEC)
        daemons.held.append(self)
        if pid not in daemons.running:
            self.ended()

    def fileno(self) -> int:
        return self._descriptor

    def end(self, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        self.daemons.ended.append(self.pid)
        self.daemons.die(self.pid)

    def ended(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.ended()
        os.close(self._descriptor)


class FakeDaemons:
    """`running` are the words of each by pid, `ended` the pids that were told to end, `text` any log.

    `on_spawn` is called with each one's words and pid: for what it would do.
    """

    log_directory = "/nonexistent/log"
    socket_directory = "/nonexistent/run"

    def __init__(self, on_spawn: Callable[[list[str], int], None] = lambda _words, _pid: None) -> None:
        self.program: str | None = "/usr/bin/qemu"
        self.running: dict[int, list[str]] = {}
        self.ended: list[int] = []
        self.held: list[FakeDaemon] = []
        self.logs: list[str] = []
        self.text = ""
        self.on_spawn = on_spawn
        self.looked_at_all = 0

    def qemu(self) -> str | None:
        return self.program

    def spawn(self, words: Sequence[str], environment: Mapping[str, str], log_path: str) -> int:
        assert environment
        pid = 100 + len(self.logs)
        self.logs.append(log_path)
        self.running[pid] = list(words)
        self.on_spawn(list(words), pid)
        return pid

    def die(self, pid: int) -> None:
        self.running.pop(pid, None)
        for daemon in self.held:
            if daemon.pid == pid:
                daemon.ended()

    def find(self, marks: Sequence[str], pid: int | None = None) -> FakeDaemon | None:
        self.looked_at_all += pid is None
        wanted = list(marks)
        for number, words in self.running.items():
            if pid in (None, number) and any(
                words[at : at + len(wanted)] == wanted for at in range(len(words))
            ):
                return FakeDaemon(self, number)
        return None

    def printed(self, log_path: str, *, ended: bool) -> str:
        assert log_path.startswith(self.log_directory)
        return self.text
