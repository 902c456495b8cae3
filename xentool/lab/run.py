"""The lab in one call each: `run` a command in dom0 and take its result, or have a `shell` there."""

from __future__ import annotations

import os
import signal
import socket
import termios
import tty
from typing import TYPE_CHECKING

from xentool.errors import UsageError
from xentool.lab.qemu import DEFAULT_MACHINE
from xentool.lab.recipe import DEFAULT_XEN
from xentool.lab.session import Lab, LabResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xentool.lab.cache import Cache
    from xentool.lab.qemu import Machine, Share
    from xentool.lab.session import Sink


def run(
    command: Sequence[str],
    *,
    xen: str = DEFAULT_XEN,
    timeout_seconds: float = 600.0,
    checkout: str = "",
    out: str = "",
    shares: Sequence[Share] = (),
    machine: Machine = DEFAULT_MACHINE,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    log: str = "",
    cache: Cache | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> LabResult:
    """Boot Xen, run `command` in dom0, and take everything down again.

    The image is built first if it is not in the cache. `timeout_seconds` is the command's; the boot has its
    own. The rest is as in `Lab` and `Lab.run`. LabError: the lab cannot be built or booted, or died;
    TimedOutError: the boot or the command took too long. A command that fails is no error: see the result's
    `exit_code`.
    """
    if not command:
        raise UsageError(
            "run in the lab", "", "no command given", hint="for example: xentool lab run -- xl info"
        )
    with Lab(
        xen,
        checkout=checkout,
        out=out,
        shares=shares,
        machine=machine,
        log=log,
        cache=cache,
        progress=progress,
    ) as lab:
        lab.boot()
        return lab.run(
            command,
            timeout_seconds=timeout_seconds,
            environment=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )


def shell(
    xen: str = DEFAULT_XEN,
    command: Sequence[str] = ("/bin/bash", "-i"),
    *,
    checkout: str = "",
    out: str = "",
    shares: Sequence[Share] = (),
    machine: Machine = DEFAULT_MACHINE,
    terminal: int = 0,
    log: str = "",
    cache: Cache | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> int:
    """Boot Xen, and run a shell in dom0 on the terminal that the descriptor is; its exit code.

    The machine goes when the shell ends. UsageError if `terminal` is none.
    """
    if not os.isatty(terminal):
        raise UsageError(
            "open the lab's shell", "", "there is no terminal", hint="for scripts: xentool lab run -- COMMAND"
        )
    with Lab(
        xen,
        checkout=checkout,
        out=out,
        shares=shares,
        machine=machine,
        log=log,
        cache=cache,
        progress=progress,
    ) as lab:
        lab.boot()
        return _on_terminal(lab, command, terminal)


def _on_terminal(lab: Lab, command: Sequence[str], terminal: int) -> int:
    """Wire the command to the terminal, in raw mode, and follow its size."""

    def size() -> tuple[int, int]:
        columns, rows = os.get_terminal_size(terminal)
        return rows, columns

    resized, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    before = termios.tcgetattr(terminal)
    previous = signal.signal(signal.SIGWINCH, lambda _signal, _frame: None)
    previous_wakeup = signal.set_wakeup_fd(wakeup.fileno())
    try:
        tty.setraw(terminal)
        environment = {"TERM": os.environ.get("TERM", "linux")}
        return lab.interact(command, terminal, size, resized.fileno(), environment)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(previous_wakeup)
        signal.signal(signal.SIGWINCH, previous)
        resized.close()
        wakeup.close()
