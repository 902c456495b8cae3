"""CONTROL: what an administrator asks the server itself.

Source: tools/xenstore/xenstored_control.c (4.17), whose output people and
scripts know.
"""

from __future__ import annotations

from xentool.store.paths import child_of
from xentool.store.quota import HARD, SOFT
from xentool.store.refusal import Refused, leading_number, to_domid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.quota import Table
    from xentool.store.server import Server

    Verb = Callable[[Server, list[bytes]], str]


def control(server: Server, words: list[bytes]) -> bytes:
    """The reply to a control command.

    Raises:
        Refused: EINVAL, there is no such command, or not with such arguments.
    """
    verb = _VERBS.get(words[0])
    if verb is None:
        raise Refused("EINVAL")
    return verb[0](server, words[1:]).encode() + b"\0"


def _help(_server: Server, words: list[bytes]) -> str:
    if words:
        raise Refused("EINVAL")
    return "".join(f"{name.decode()}\t{arguments}\n" for name, (_, arguments) in _VERBS.items())


def check_tree(server: Server) -> list[str]:
    """What is wrong with the tree: nothing, unless the server has a fault."""
    nodes = server.tree.nodes
    faults = []
    reached = {b"/"}
    stack = [b"/"]
    while stack:
        path = stack.pop()
        for leaf in nodes[path].names():
            child = child_of(path, leaf)
            if child not in nodes:
                faults.append(f"{child.decode()} is listed, and is not there")
            elif child in reached:
                faults.append(f"{child.decode()} is listed twice")
            else:
                reached.add(child)
                stack.append(child)
    faults += [f"{path.decode()} is there, and is not listed" for path in nodes.keys() - reached]
    owned: dict[int, int] = {}
    for node in nodes.values():
        owned[node.owner] = owned.get(node.owner, 0) + 1
    for domain in server.domains.all():
        owns = owned.get(domain.domid, 0)
        if domain.nodes != owns:
            faults.append(f"domain {domain.domid} is charged {domain.nodes} nodes, and owns {owns}")
    return faults


def _check(server: Server, words: list[bytes]) -> str:
    if words:
        raise Refused("EINVAL")
    for fault in check_tree(server):
        server.log(f"check: {fault}")
    return "OK"


def _log(server: Server, words: list[bytes]) -> str:
    if words not in ([b"on"], [b"off"]):
        raise Refused("EINVAL")
    server.tracing = words == [b"on"]
    return "OK"


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
    return "OK"


def _quota(server: Server, words: list[bytes]) -> str:
    if not words:
        return server.quota.show(HARD)
    if words[0] == b"set":
        return _set(server, words[1:], HARD)
    if len(words) != 1:
        raise Refused("EINVAL")
    domain = server.domains.find(to_domid(words[0]))
    if domain is None:
        raise Refused("ENOENT")
    used = (
        ("nodes", domain.nodes),
        ("watches", domain.watches),
        ("transactions", len(domain.connection.transactions) if domain.connection else 0),
        ("outstanding", domain.outstanding),
        ("memory", domain.memory),
    )
    return f"Domain {domain.domid}:\n" + "".join(f"{name:<16}: {value:8d}\n" for name, value in used)


def _quota_soft(server: Server, words: list[bytes]) -> str:
    if not words:
        return server.quota.show(SOFT)
    if words[0] != b"set":
        raise Refused("EINVAL")
    return _set(server, words[1:], SOFT)


_VERBS: Final[dict[bytes, tuple[Verb, str]]] = {
    b"check": (_check, ""),
    b"log": (_log, "on|off"),
    b"print": (_print, "<string>"),
    b"quota": (_quota, "[set <name> <val>|<domid>]"),
    b"quota-soft": (_quota_soft, "[set <name> <val>]"),
    b"help": (_help, ""),
}
