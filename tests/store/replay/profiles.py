"""What replays are about: how often what is asked, about which names, under which quotas."""

from __future__ import annotations

from typing import NamedTuple


class Profile(NamedTuple):
    """What a replay is about."""

    name: str
    quotas: tuple[tuple[str, int], ...] = ()
    domids: tuple[int, ...] = (1, 2, 3)
    names: tuple[bytes, ...] = (b"a", b"b", b"c", b"dd")
    values: tuple[int, ...] = (0, 1, 10, 300, 1900, 2100)
    weights: tuple[tuple[str, float], ...] = ()
    burst: float = 0.1
    exact_memory: bool = False
    """Whether domains' memory is compared."""
    top: bytes = b""
    """The nodes that it plays with are below this one, which is there; "" on a store of its own."""


WEIGHTS = {
    "read": 12, "write": 22, "mkdir": 8, "rm": 10, "directory": 8, "part": 3, "get_perms": 6, "set_perms": 9,
    "watch": 6, "unwatch": 5, "start": 6, "end": 9, "reset": 0.25, "domain": 0.5, "shut_down": 0.1,
    "odd": 2, "target": 0.15, "reconnect": 0.3, "control": 0.7,
}  # fmt: skip

_TIGHT = (
    ("nodes", 14), ("watches", 5), ("transactions", 2), ("transaction-nodes", 12), ("permissions", 3),
    ("node-size", 400),
)  # fmt: skip

PROFILES = (
    Profile("everything"),
    Profile("tight quotas", _TIGHT),
    # One request at a time, and no transactions: what a domain's memory comes to is the same, to the byte.
    Profile(
        "accounts",
        (("outstanding", 3), *_TIGHT[:2]),
        weights=(("start", 0), ("control", 8)),
        burst=0,
        exact_memory=True,
    ),
    Profile(
        "transactions",
        weights=(("start", 14), ("end", 14), ("write", 26), ("rm", 14), ("watch", 2)),
        names=(b"a", b"b"),
    ),
    Profile("watches", weights=(("watch", 18), ("unwatch", 9), ("set_perms", 16)), names=(b"a", b"b")),
    Profile("domains", weights=(("domain", 6), ("shut_down", 2), ("target", 2), ("set_perms", 14))),
    Profile(
        "wide and deep",
        names=tuple(b"%s-%d" % (b"n" * 40, number) for number in range(200)),
        weights=(("mkdir", 60), ("directory", 20), ("part", 20), ("rm", 1)),
        values=(0, 2000, 4000),
    ),
)
