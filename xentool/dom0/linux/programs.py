"""Programs that Domain-0 runs for a domain, in a process group of their own.

By posix_spawn, a pipe and a pidfd: `subprocess` would take as long to import as a small script takes to run.
"""

from __future__ import annotations

import os
from select import POLLIN, poll
from time import monotonic

from xentool.errors import HostError, NotFoundError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ = 9, 13, 15, 25
"""signal(7). The module of that name imports enum."""
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Looked through after $PATH, which a service may lack."""
OUTPUT_BYTES = 64 << 10
"""Of a program's output the last part is kept: what it says is shown to people."""
GRACE_SECONDS = 1.0
"""What a program that took too long is given to clean up after SIGTERM."""


class LinuxPrograms:
    """Implements `xentool.dom0.port.Programs`."""

    def run_script(
        self, words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, str]:
        """Run it; see the port. `environment` is added to ours; killed by a signal, it exits with 128 + it.

        Raises:
            NotFoundError: there is no such program.
            HostError: it may not be run, or is none.
            TimedOutError: it hung; `detail` has what it printed.
        """
        end, output = _started(words, environment)
        try:
            return end.wait(output, timeout_seconds)
        finally:
            os.close(output)

    def exists(self, path: str) -> bool:
        return os.path.isfile(path) and os.access(path, os.X_OK)

    def find(self, name: str) -> str | None:
        paths = (f"{folder}/{name}" for folder in (*os.get_exec_path(), *SYSTEM_FOLDERS) if folder)
        return next((path for path in paths if self.exists(path)), None)


def _started(words: Sequence[str], environment: Mapping[str, str]) -> tuple[_Running, int]:
    """The program, running, and where its output can be read."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        actions = (
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_DUP2, writing, 2),
        )
        pid = os.posix_spawn(
            words[0],
            list(words),
            {**os.environ, **environment},
            file_actions=actions,
            setpgroup=0,
            setsigmask=(),
            # Python ignores these, and what is ignored stays so in a child.
            setsigdef=(SIGPIPE, SIGXFSZ),
        )
    except OSError as exc:
        os.close(reading)
        raise _cannot_run(words[0], exc) from exc
    finally:
        os.close(writing)
    return _Running(pid, words[0]), reading


class _Running:
    """A program that runs, the leader of its process group."""

    __slots__ = ("_name", "_pid", "_said")

    def __init__(self, pid: int, name: str) -> None:
        self._pid = pid
        self._name = name
        self._said = bytearray()

    def wait(self, output: int, timeout_seconds: float) -> tuple[int, str]:
        """Its exit code and what it said. Whatever else happens, it is ended with what it started."""
        ended = os.pidfd_open(self._pid)
        try:
            os.set_blocking(output, False)
            if not self._follow(ended, output, timeout_seconds):
                self._end(ended, output)
                raise TimedOutError(
                    "run",
                    self._name,
                    f"it did not end within {timeout_seconds:g} s, and was ended with what it had started",
                    hint="run it by hand with `sh -x` to see where it waits",
                    detail=self._text(),
                )
        except BaseException:
            self._kill(SIGKILL)
            os.waitpid(self._pid, 0)
            raise
        finally:
            os.close(ended)
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return (code if code >= 0 else 128 - code), self._text()

    def _follow(self, ended: int, output: int, seconds: float) -> bool:
        """Read what it says until it ends (True) or the time is over.

        Not until its output ends: what it left running in the background may hold that open.
        """
        deadline = monotonic() + seconds
        waiting = poll()
        waiting.register(ended, POLLIN)
        waiting.register(output, POLLIN)
        while (left := deadline - monotonic()) > 0:
            ready = {descriptor for descriptor, _ in waiting.poll(left * 1000)}
            if output in ready and not self._hear(output):
                waiting.unregister(output)
            if ended in ready:
                while self._hear(output):
                    pass
                return True
        return False

    def _hear(self, output: int) -> bool:
        """Take some of its output; False if there is none now."""
        try:
            part = os.read(output, OUTPUT_BYTES)
        except BlockingIOError:
            return False
        self._said += part
        del self._said[:-OUTPUT_BYTES]
        return bool(part)

    def _end(self, ended: int, output: int) -> None:
        self._kill(SIGTERM)
        self._follow(ended, output, GRACE_SECONDS)

    def _kill(self, signal: int) -> None:
        # Not reaped yet, so the number is still its own.
        try:
            os.killpg(self._pid, signal)
        except ProcessLookupError:
            pass

    def _text(self) -> str:
        return self._said.decode("utf-8", "replace")


def _cannot_run(path: str, exc: OSError) -> NotFoundError | HostError:
    if isinstance(exc, FileNotFoundError) and not os.path.exists(path):
        return NotFoundError("run", path, "there is no such file")
    if isinstance(exc, PermissionError):
        return HostError("run", path, "it may not be run", hint=f"is it a program? `chmod +x {path}`")
    return HostError(
        "run",
        path,
        exc.strerror or str(exc),
        hint="does it begin with a line like #!/bin/sh, naming what is there?",
    )
