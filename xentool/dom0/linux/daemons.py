"""Programs that stay: started in a session of their own, with a log that cannot grow without bound.

A program is known by its pid and by some of its arguments. A pid alone may be another's by
now: nothing is signalled unless its arguments say that it is the one.
"""

from __future__ import annotations

import os
from select import POLLIN, poll

from xentool.dom0.linux.programs import SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ
from xentool.errors import HostError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QEMUS = (
    "/usr/libexec/xen-qemu-system-i386",  # Debian's package qemu-system-xen
    "/usr/libexec/xen/bin/qemu-system-i386",
    "/usr/lib/xen/bin/qemu-system-i386",
    "/usr/local/libexec/xen/bin/qemu-system-i386",
    "/usr/local/lib/xen/bin/qemu-system-i386",
    "/usr/bin/qemu-system-i386",
)
"""Where libxl is built to look for it (QEMU_XEN_PATH), by those who build it."""
KEEPER = "/bin/dd"
_READS, _READ_BYTES = 4096, 1024
"""The log ends after so many reads of at most so many bytes: 4 MiB. A guest can make QEMU print for ever
(XSA-180); what it prints then is lost."""
_OLD_LOGS = 10
_TAIL_BYTES = 64 << 10
_KILLED_SECONDS = 10.0
_started: dict[int, list[str]] = {}
"""Our own children and their arguments: a pid is theirs until we reap them, and the kernel does not know
the arguments of what has only just been started."""


class Daemon:
    """Implements `xentool.dom0.port.Daemon`: by its pidfd, as its pid may be another's one day."""

    __slots__ = ("_pidfd", "pid")

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    def fileno(self) -> int:
        return self._pidfd

    def end(self, timeout_seconds: float) -> None:
        """Ask it to end, kill it if it does not within the time, and wait until it is gone.

        Raises:
            HostError: it may not be signalled.
            TimedOutError: not even killing ends it (it waits for a device that does not answer).
        """
        self._signal(SIGTERM)
        if not self._gone(timeout_seconds):
            self._signal(SIGKILL)
            if not self._gone(_KILLED_SECONDS):
                raise TimedOutError(
                    "end process", self.pid, "it was killed, and is still there", hint="`dmesg` may say why"
                )
        _reap()

    def close(self) -> None:
        os.close(self._pidfd)

    def _signal(self, number: int) -> None:
        from signal import pidfd_send_signal

        try:
            pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass
        except OSError as exc:
            raise HostError("end process", self.pid, exc.strerror or str(exc), hint="are you root?") from exc

    def _gone(self, seconds: float) -> bool:
        waiting = poll()
        waiting.register(self._pidfd, POLLIN)
        return bool(waiting.poll(seconds * 1000))


class LinuxDaemons:
    """Implements `xentool.dom0.port.Daemons`."""

    log_directory = "/var/log/xen"
    socket_directory = "/var/run/xen"

    def qemu(self) -> str | None:
        for path in QEMUS:
            if os.access(path, os.X_OK):
                return path
        return None

    def spawn(self, words: Sequence[str], environment: Mapping[str, str], log_path: str) -> int:
        """Start a program that stays: its pid. See the port.

        Raises:
            HostError: it cannot be run, or the log not be written.
        """
        _reap()
        log = _new_log(log_path)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        null = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
        keeper = [KEEPER, f"bs={_READ_BYTES}", f"count={_READS}", "status=none"]
        try:
            # With the log it holds the lock on it, until there is no more to come. Of ours it holds nothing:
            # who reads what a command says, in a pipe, waits for the last one that could say more.
            ends = ((os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, log, 1))
            silent = (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)
            _spawn(keeper, {}, [*ends, silent])
            outputs = ((os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, writing, 2))
            return _spawn(words, environment, [null, *outputs])
        finally:
            for descriptor in (log, reading, writing):
                os.close(descriptor)

    def find(self, marks: Sequence[str], pid: int | None = None) -> Daemon | None:
        _reap()
        wanted = _joined(marks)
        for number in [str(pid)] if pid is not None else os.listdir("/proc"):
            if not number.isdigit() or not _has_arguments(number, wanted):
                continue
            try:
                pidfd = os.pidfd_open(int(number))
            except ProcessLookupError:
                continue
            # Still, so that the pidfd is that of what we have looked at.
            if _has_arguments(number, wanted):
                return Daemon(int(number), pidfd)
            os.close(pidfd)
        return None

    def printed(self, log_path: str, *, ended: bool) -> str:
        import fcntl

        try:
            with open(log_path, "rb") as log:
                if ended:
                    fcntl.flock(log, fcntl.LOCK_SH)  # until what it said last is in it
                size = os.fstat(log.fileno()).st_size
                log.seek(max(0, size - _TAIL_BYTES))
                return log.read(_TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""


def _spawn(
    words: Sequence[str], environment: Mapping[str, str], actions: Sequence[tuple[object, ...]]
) -> int:
    try:
        pid = os.posix_spawn(
            words[0],
            list(words),
            {**os.environ, **environment},
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=(SIGPIPE, SIGXFSZ),
        )
    except OSError as exc:
        raise HostError("run", words[0], exc.strerror or str(exc), hint="is it there, and whole?") from exc
    _started[pid] = list(words)
    return pid


def _new_log(path: str) -> int:
    """The log, new and locked; the old ones are kept under numbers, as libxl does (libxl_create_logfile)."""
    import fcntl

    try:
        if os.path.exists(path):
            for number in range(_OLD_LOGS - 1, -1, -1):
                old = f"{path}.{number}" if number else path
                if os.path.exists(old):
                    os.rename(old, f"{path}.{number + 1}")
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        fcntl.flock(log, fcntl.LOCK_EX)
    except OSError as exc:
        raise HostError(
            "open the log", path, exc.strerror or str(exc), hint="is its folder there, and are you root?"
        ) from exc
    return log


def _joined(words: Sequence[str]) -> bytes:
    return b"\0" + b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)


def _has_arguments(pid: str, wanted: bytes) -> bool:
    ours = _started.get(int(pid))
    if ours is not None:
        return wanted in _joined(ours)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return wanted in b"\0" + file.read()
    except OSError:
        return False


def _reap() -> None:
    for pid in list(_started):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                del _started[pid]
        except ChildProcessError:  # somebody else's by now, or we are a fork of who started it
            del _started[pid]
