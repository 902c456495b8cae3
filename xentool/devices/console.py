"""Attaching a terminal to a domain's console: what `console` and `create -c` do.

The other end is a pty that the console daemon holds. While attached, the user's
terminal is raw, so that every key goes to the guest; ^] alone leaves. Whatever
ends it, the terminal is as before.

One visitor at a time: two would each get half of the output. The lock is the
one of Xen's own client (tools/console/client/main.c), so that `xl console` and
this one exclude each other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios
import tty
from contextlib import contextmanager, suppress

from xentool.errors import HostError, InUseError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xentool.units import DomId

ESCAPE = b"\x1d"
"""^], as in telnet, ssh's grandfather, and xl."""

_CHUNK_BYTES = 4096
_BACKLOG_BYTES = 64 * 1024
"""How much typed input waits for a guest that does not read. A terminal's further input is dropped
(so that ^] is still seen), a pipe's is left in the pipe."""

LEFT = "left"
ENDED = "ended"


def attach(
    path: str,
    domid: DomId,
    *,
    lock_directory: str,
    input_fd: int = 0,
    output_fd: int = 1,
    ready: Callable[[], None] | None = None,
) -> str:
    """Join the terminal and the console at `path` until one of them has enough.

    `ready` is called when everything is in place: what the guest prints from then on is seen.
    Input that ends (a pipe, /dev/null) leaves the output going.

    Returns:
        `LEFT` if the user typed ^], `ENDED` if the console went away with its domain.

    Raises:
        InUseError: somebody else is attached.
        NotFoundError: there is no console (any more) at `path`.
        HostError: the lock or the console cannot be opened.
        BrokenPipeError, OSError: of writing to `output_fd`.
    """
    with (
        _lock(f"{lock_directory}/xenconsole.{domid}", domid),
        _opened(path, domid) as console,
        _raw(input_fd),
    ):
        if ready is not None:
            ready()
        return _relay(console, input_fd, output_fd)


@contextmanager
def _lock(path: str, domid: DomId) -> Iterator[None]:
    """Hold Xen's console lock. It is unlinked before it is let go, so after locking one looks whether it is
    still the file that the path names."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise HostError(
                "lock the console with", path, exc.strerror or str(exc), hint="are you root?"
            ) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(descriptor)
            named = os.stat(path)
        except FileNotFoundError:
            os.close(descriptor)
            continue
        except OSError as exc:
            os.close(descriptor)
            if exc.errno == errno.EWOULDBLOCK:
                raise InUseError(
                    "attach to the console of domain",
                    domid,
                    "somebody is attached already",
                    hint=f"^] in that terminal leaves it; `fuser {path}` shows who holds it",
                ) from exc
            raise HostError("lock the console with", path, exc.strerror or str(exc)) from exc
        if (held.st_ino, held.st_dev) == (named.st_ino, named.st_dev):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


@contextmanager
def _opened(path: str, domid: DomId) -> Iterator[int]:
    """The console's pty, raw: its line discipline must not echo the guest's output back to the guest."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        kind = NotFoundError if exc.errno in (errno.ENOENT, errno.EIO, errno.ENXIO) else HostError
        raise kind(
            "open the console of domain",
            domid,
            f"{path}: {exc.strerror}",
            hint="has the domain ended just now? `xentool list` shows"
            if kind is NotFoundError
            else "are you root?",
        ) from exc
    try:
        with suppress(termios.error):
            tty.setraw(descriptor, termios.TCSANOW)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """The user's terminal, raw while inside; anything else as it is."""
    try:
        before = termios.tcgetattr(descriptor)
    except (termios.error, OSError):
        yield
        return
    try:
        tty.setraw(descriptor, termios.TCSANOW)
        with _suspendable(descriptor, before):
            yield
    finally:
        # A terminal that has hung up has no state to restore.
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _suspendable(descriptor: int, before: list[object]) -> Iterator[None]:
    """Whoever stops this process (``kill -TSTP``; ^Z is the guest's) gets the terminal as it was before.
    When it goes on, by SIGCONT, the terminal is raw again."""
    import signal

    def suspend(_number: int, _frame: object) -> None:
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)  # type: ignore[arg-type]
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here it goes on.
        signal.signal(signal.SIGTSTP, suspend)
        resume(_number, _frame)

    def resume(_number: int, _frame: object) -> None:
        with suppress(termios.error):
            tty.setraw(descriptor, termios.TCSANOW)

    handlers = {signal.SIGTSTP: suspend, signal.SIGCONT: resume}
    try:
        saved = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    except ValueError:  # not the main thread: whose it is, is nobody's to say here
        saved = {}
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


def _relay(console: int, input_fd: int, output_fd: int) -> str:
    poll = select.poll()
    interactive = os.isatty(input_fd)
    listening = True
    backlog = bytearray()
    while True:
        poll.register(console, select.POLLIN | (select.POLLOUT if backlog else 0))
        if listening and (interactive or len(backlog) < _BACKLOG_BYTES):
            poll.register(input_fd, select.POLLIN)
        else:
            with suppress(KeyError):
                poll.unregister(input_fd)
        events = dict(poll.poll())
        if events.get(console, 0) & select.POLLOUT:
            _send(console, backlog)
        if events.get(console, 0) & ~select.POLLOUT:
            received = _receive(console)
            if received is None:
                return ENDED
            _write_all(output_fd, received)
        if input_fd in events:
            typed = _read_input(input_fd)
            if not typed:
                listening = False
            before, escape, _ = typed.partition(ESCAPE)
            backlog += before[: _BACKLOG_BYTES - len(backlog)] if interactive else before
            _send(console, backlog)
            if escape:
                return LEFT


def _receive(console: int) -> bytes | None:
    """What the guest printed; None when the console daemon has closed the other end."""
    try:
        return os.read(console, _CHUNK_BYTES) or None
    except BlockingIOError:
        return b""
    except OSError as exc:
        if exc.errno == errno.EIO:
            return None
        raise


def _read_input(descriptor: int) -> bytes:
    """Input from the user; empty at its end, which a terminal that hung up has too."""
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError as exc:
        if exc.errno == errno.EIO:
            return b""
        raise


def _send(console: int, backlog: bytearray) -> None:
    """Hand to the guest what it takes now; the rest stays in `backlog`."""
    if not backlog:
        return
    try:
        del backlog[: os.write(console, backlog)]
    except BlockingIOError:
        return
    except OSError as exc:
        if exc.errno != errno.EIO:
            raise
        backlog.clear()  # the other end is gone; reading will say so


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            written = os.write(descriptor, data)
        except BlockingIOError:
            # Somebody made our output non-blocking (ssh shares descriptions): wait as write would have.
            waiting = select.poll()
            waiting.register(descriptor, select.POLLOUT)
            waiting.poll()
            continue
        data = data[written:]
