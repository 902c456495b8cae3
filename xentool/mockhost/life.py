"""Starting, finding and ending the mock host. Light to import: every command with the mock backend does it.

A mock host lives in a directory of its own: sockets, logs, consoles. It holds a
lock on its pid file for as long as it lives, whatever ends it; whoever wants to
start or end one takes a lock on the directory first, so that there are never two.
"""

from __future__ import annotations

import errno
import os

from xentool.errors import MockHostError
from xentool.hypervisor.mock.remote import SOCKET_NAME, RemoteMock

LOG_NAME = "mockhost.log"
PID_NAME = "mockhost.pid"
STORE_NAME = "store.sock"
_ACTION = "start the mock host"


def default_directory() -> str:
    """``$XENTOOL_MOCK_DIR``, else ``$XDG_RUNTIME_DIR/xentool-mock``, else ``/tmp/xentool-mock-UID``."""
    chosen = os.environ.get("XENTOOL_MOCK_DIR")
    if chosen:
        return os.path.abspath(chosen)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        return os.path.join(runtime, "xentool-mock")
    return f"/tmp/xentool-mock-{os.getuid()}"  # noqa: S108 - its owner and mode are checked before use


def store_socket(directory: str) -> str:
    """The path of the mock host's XenStore socket."""
    return os.path.join(directory, STORE_NAME)


def attach(directory: str | None = None) -> RemoteMock:
    """A connection to the mock host of `directory`, which is started if need be.

    Raises:
        MockHostError: it cannot be started.
    """
    where = ensure_running(directory)
    try:
        return RemoteMock(where)
    except MockHostError:
        # It may have ended by itself, being idle, between the two lines above: then this starts another.
        return RemoteMock(ensure_running(where))


def ensure_running(directory: str | None = None, *, idle_seconds: float | None = None) -> str:
    """Have a mock host in `directory` (default: `default_directory`); the directory's path.

    One that is started ends by itself when it has had no domain and no client for
    `idle_seconds` (default: ``$XENTOOL_MOCK_IDLE`` or 60; 0 is never).

    Raises:
        MockHostError: the directory is not ours, or the host does not come up.
    """
    where = os.path.abspath(directory) if directory else default_directory()
    if is_running(where):
        return where
    _prepare(where)
    lock = lock_directory(where)
    assert lock is not None
    try:
        if not is_running(where):
            _start(where, idle_seconds)
    finally:
        os.close(lock)
    return where


def is_running(directory: str) -> bool:
    """Whether a mock host answers in `directory`."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(os.path.join(directory, SOCKET_NAME))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR, errno.EACCES):
                return False
            raise MockHostError("find the mock host", directory, error.strerror or str(error)) from error
    return True


def stop(directory: str | None = None) -> bool:
    """End the mock host of `directory`, and all its domains; False if there was none."""
    where = os.path.abspath(directory) if directory else default_directory()
    try:
        client = RemoteMock(where)
    except MockHostError:
        return False
    with client:
        try:
            client.stop_host()
            client.wait_until_gone()
        except (MockHostError, ConnectionError):
            pass  # gone before it could answer: what was wanted
    return True


def _prepare(directory: str) -> None:
    """Make the directory, for its owner alone; refuse one that somebody else could meddle with."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        found = os.lstat(directory)
    except OSError as error:
        raise MockHostError(
            _ACTION,
            directory,
            f"the directory cannot be made: {error.strerror}",
            hint="name another one with XENTOOL_MOCK_DIR",
        ) from error
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or found.st_mode & 0o170000 != 0o040000:
        raise MockHostError(
            _ACTION,
            directory,
            "it is not a directory that belongs to you alone (mode 0700)",
            hint="remove it if it is a leftover, or name another one with XENTOOL_MOCK_DIR",
        )


def lock_directory(directory: str, *, wait: bool = True) -> int | None:
    """The lock that whoever starts or ends a mock host holds: a descriptor; None if it is not free."""
    import fcntl

    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _start(directory: str, idle_seconds: float | None) -> None:
    """Start the process and wait until it says through a pipe that it is ready, or why it cannot be."""
    import sys

    read_end, write_end = os.pipe()
    environment = dict(os.environ)
    package_root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment["PYTHONPATH"] = os.pathsep.join(
        [package_root, *filter(None, [environment.get("PYTHONPATH")])]
    )
    arguments = [sys.executable, "-m", "xentool.mockhost", directory, "--ready-fd", "3"]
    if idle_seconds is not None:
        arguments += ["--idle", str(idle_seconds)]
    log = os.path.join(directory, LOG_NAME)
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        child = os.posix_spawn(
            sys.executable,
            arguments,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, log_flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, write_end, 3),
            ],
            setsid=True,
        )
    except OSError as error:
        os.close(read_end)
        raise MockHostError(
            _ACTION, directory, f"{sys.executable} cannot be run: {error.strerror}"
        ) from error
    finally:
        os.close(write_end)
    # The child forks at once and the process that stays is not ours, so that none is left to wait for.
    os.waitpid(child, 0)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    if said != "ready":
        raise MockHostError(
            _ACTION,
            directory,
            said or "it ended before it was ready",
            hint=f"see {log}",
            detail=_tail(log),
        )


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 4096))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""
