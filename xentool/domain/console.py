"""Waiting until a new domain's console can be used."""

from __future__ import annotations

from contextlib import contextmanager

from xentool.devices.paths import domain_path, libxl_path
from xentool.errors import NotFoundError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xentool.domain.host import Host
    from xentool.units import DomId

TTY_SECONDS = 10.0


def tty_path(domid: DomId) -> str:
    """The node in which xenconsoled says which terminal carries the domain's console."""
    return f"{domain_path(domid)}/console/tty"


def read_tty(host: Host, domid: DomId) -> str:
    """The terminal's path; empty as long as there is none."""
    value = host.store.try_read(tty_path(domid))
    return value.decode("utf-8", "replace") if value else ""


def read_channel_tty(host: Host, domid: DomId, number: int) -> str:
    """The terminal of a further console, a channel's.

    Its node is in the guest's reach: what is no terminal's path is not opened.

    Raises:
        NotFoundError: there is no such console, or it has no terminal.
    """
    text = _terminal(host.store.try_read(f"{domain_path(domid)}/device/console/{number}/tty"))
    if not text:
        raise NotFoundError(
            f"attach to console {number} of domain",
            domid,
            "it has none of that number with a terminal",
            hint=f"`xentool channel-list {domid}` shows its channels: console N is channel N - 1",
        )
    return text


def read_serial_tty(host: Host, domid: DomId, number: int, *, asked: bool) -> str:
    """The terminal of a serial port, which an HVM domain's QEMU gives it; empty where it has none.

    Unless it is `asked` for, it is an HVM domain's first that counts (libxl_primary_console_get_tty).
    """
    if not asked and (number or host.store.try_read(f"{libxl_path(domid)}/type") != b"hvm"):
        return ""
    return _terminal(host.store.try_read(f"{domain_path(domid)}/serial/{number}/tty"))


def _terminal(value: bytes | None) -> str:
    """The path of a terminal, as a node has it; empty where it is none."""
    text = (value or b"").decode("ascii", "replace")
    return text if text.startswith("/dev/pts/") and text[9:].isdigit() and len(text) < 20 else ""


def wait_for_tty(host: Host, domid: DomId, timeout_seconds: float = TTY_SECONDS) -> str:
    """The path of the domain's terminal, as soon as xenconsoled has one.

    Raises:
        TimedOutError: xenconsoled did not open one in time.
    """
    with awaited(host, domid, timeout_seconds) as wait:
        return wait()


@contextmanager
def awaited(host: Host, domid: DomId, timeout_seconds: float = TTY_SECONDS) -> Iterator[Callable[[], str]]:
    """Watch for the terminal from here on; the function that is given waits for it and says its path."""
    with host.store.watch(tty_path(domid), "tty") as watch:

        def wait() -> str:
            for _event in watch.events(timeout_seconds):
                if tty := read_tty(host, domid):
                    return tty
            # Of a machine that stood still the time is over before xenconsoled had any of it.
            if tty := read_tty(host, domid):
                return tty
            raise TimedOutError(
                "connect the console of domain",
                domid,
                f"xenconsoled opened no terminal within {timeout_seconds:g} s",
                hint="is xenconsoled running, and does /var/log/xen/console exist?",
            )

        yield wait
