"""CONTROL: what an administrator asks the server itself.

Source: docs/misc/xenstore.txt; tools/xenstore/xenstored_control.c (4.17),
tools/xenstored/control.c (4.18 to 4.22), whose output people and scripts know.
"""

from __future__ import annotations

from xentool.store.consistency import check_tree, memory_report
from xentool.store.refusal import Refused, leading_number, to_domid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.quota import Table
    from xentool.store.server import Server

    Verb = Callable[[Server, list[bytes]], str]

_NO_LIVE_UPDATE: Final = (
    "live update is not supported: this daemon keeps its clients in its own process."
    " Stop it and start the new one."
)


def control(server: Server, words: list[bytes]) -> bytes:
    """The reply to a control command.

    Raises:
        Refused: EINVAL, there is no such command, or not with such arguments.
    """
    verb = _VERBS.get(words[0])
    if verb is None:
        raise Refused("EINVAL")
    return verb[0](server, words[1:]).encode() + b"\0"


def _help(server: Server, words: list[bytes]) -> str:
    if words:
        raise Refused("EINVAL")
    old = server.plays.minor < 18
    lines = []
    for name, (_, first, later) in _VERBS.items():
        arguments = first if old else later
        lines.append(f"{name.decode()}\t{arguments}\n" if old else f"{name.decode():<15} {arguments}\n")
    return "".join(lines)


def _check(server: Server, words: list[bytes]) -> str:
    if words:
        raise Refused("EINVAL")
    for fault in check_tree(server):
        server.log(f"check: {fault}")
    return "OK"


def _log(server: Server, words: list[bytes]) -> str:
    trace = server.trace
    if not words and server.plays.minor >= 18:
        rows = [f"{name:<8}: {'on' if on else 'off'}\n" for name, on in trace.switches.items()]
        return "Log switch settings:\n" + "".join(rows)
    if len(words) != 1:
        raise Refused("EINVAL")
    word = words[0]
    if word == b"on":
        _open_log(server)
    elif word == b"off":
        trace.close()
    elif server.plays.minor >= 18 and word[:1] in (b"+", b"-"):
        name = word[1:].decode("ascii", "replace")
        if name not in trace.switches:
            raise Refused("EINVAL")
        trace.switches[name] = word[:1] == b"+"
    else:
        raise Refused("EINVAL")
    return "OK"


def _open_log(server: Server) -> None:
    try:
        server.trace.open()
    except OSError as exc:
        # As xenstored: whoever asked is not told, the daemon's own log is.
        server.log(f"log {server.trace.path}: {exc.strerror}")


def _logfile(server: Server, words: list[bytes]) -> str:
    if len(words) != 1:
        raise Refused("EINVAL")
    server.trace.path = words[0].decode("utf-8", "surrogateescape")
    _open_log(server)
    return "OK"


def _memreport(server: Server, words: list[bytes]) -> str:
    if len(words) > 1:
        raise Refused("EINVAL")
    report = memory_report(server)
    if not words:
        if not server.trace.is_open:
            raise Refused("EBADF")  # which the wire has no word for
        for line in report:
            server.trace.line(line)
        return "OK"
    try:
        with open(words[0].decode("utf-8", "surrogateescape"), "a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in report))
    except OSError as exc:
        server.log(f"memreport: {exc.filename}: {exc.strerror}")
        raise Refused("EBADF") from exc
    return "OK"


def _live_update(server: Server, words: list[bytes]) -> str:
    if not words:
        raise Refused("EINVAL")
    # xenstore-control prints whatever is not "OK" as the reason.
    server.log("control: live update was asked for, and refused")
    return _NO_LIVE_UPDATE


def _print(server: Server, words: list[bytes]) -> str:
    if len(words) != 1:
        raise Refused("EINVAL")
    server.log(f"control: {words[0].decode('utf-8', 'backslashreplace')}")
    return "OK"


def _set(server: Server, words: list[bytes], table: Table) -> str:
    if len(words) != 2:
        raise Refused("EINVAL")
    value = leading_number(words[1])[0]
    if value < 1 or not server.quota.set(table, words[0].decode("ascii", "replace"), value):
        raise Refused("EINVAL")
    server.wake_all()
    return "OK"


def _quota(server: Server, words: list[bytes]) -> str:
    if not words:
        return server.quota.show(server.quota.hard)
    if words[0] == b"set":
        return _set(server, words[1:], server.quota.hard)
    if words[0] == b"max" and server.plays.keeps_peaks:
        return _peaks(server, words[1:])
    if len(words) != 1:
        raise Refused("EINVAL")
    domain = server.domains.find(to_domid(words[0]))
    if domain is None:
        raise Refused("ENOENT")
    if server.plays.keeps_peaks:
        rows = [
            f"{name:<17}: {domain.used(attribute):8d} (max {domain.peak(attribute):8d})\n"
            for name, attribute, _ in server.quota.hard
        ]
    else:
        shown = ("nodes", "watches", "transactions", "outstanding", "memory")
        rows = [f"{name:<16}: {domain.used(name):8d}\n" for name in shown]
    return f"Domain {domain.domid}:\n" + "".join(rows)


def _peaks(server: Server, words: list[bytes]) -> str:
    if words not in ([], [b"-r"]):
        raise Refused("EINVAL")
    if words:
        server.domains.reset_peaks()
    peaks = server.domains.peaks
    rows = [f"{name:<17}: {peaks.get(attribute, 0):8d}\n" for name, attribute, _ in server.quota.hard]
    return "Max. seen accounting values:\n" + "".join(rows)


def _quota_soft(server: Server, words: list[bytes]) -> str:
    if not words:
        return server.quota.show(server.quota.soft)
    if words[0] != b"set":
        raise Refused("EINVAL")
    return _set(server, words[1:], server.quota.soft)


_VERBS: Final[dict[bytes, tuple[Verb, str, str]]] = {
    b"check": (_check, "", ""),
    b"log": (_log, "on|off", "[on|off|+<switch>|-<switch>]"),
    b"live-update": (_live_update, "(not supported)", "(not supported)"),
    b"logfile": (_logfile, "<file>", "<file>"),
    b"memreport": (_memreport, "[<file>]", "[<file>]"),
    b"print": (_print, "<string>", "<string>"),
    b"quota": (_quota, "[set <name> <val>|<domid>]", "[set <name> <val>|<domid>|max [-r]]"),
    b"quota-soft": (_quota_soft, "[set <name> <val>]", "[set <name> <val>]"),
    b"help": (_help, "", ""),
}
"""Each with its arguments, as ``help`` says them: of 4.17, and later."""
