"""What a domain may use of the store: xenstored's names and defaults.

Source: tools/xenstore/xenstored_core.c and xenstored_control.c (4.17),
tools/xenstored/domain.c (4.18 to 4.22), which is what `xenstore-control quota`
prints.
"""

from __future__ import annotations

from xentool.abi.xs_wire import XENSTORE_PAYLOAD_MAX, XENSTORE_REL_PATH_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from xentool.store.release import Release

    Table = tuple[tuple[str, str, str], ...]

_HARD_17: Final[Table] = (
    ("nodes", "nodes", "Nodes per domain"),
    ("watches", "watches", "Watches per domain"),
    ("transactions", "transactions", "Transactions per domain"),
    ("outstanding", "outstanding", "Outstanding requests per domain"),
    ("transaction-nodes", "transaction_nodes", "Max. number of accessed nodes per transaction"),
    ("memory", "memory", "Total Xenstore memory per domain (error level)"),
    ("node-size", "node_size", "Max. size of a node"),
    ("path-max", "path_max", "Max. length of a node path"),
    ("permissions", "permissions", "Max. number of permissions per node"),
)
_HARD_18: Final[Table] = (
    ("nodes", "nodes", "Nodes per domain"),
    ("watches", "watches", "Watches per domain"),
    ("outstanding", "outstanding", "Outstanding requests per domain"),
    ("memory", "memory", "Total Xenstore memory per domain (error level)"),
    ("transactions", "transactions", "Active transactions per domain"),
    ("transaction-nodes", "transaction_nodes", "Max. number of accessed nodes per transaction"),
    ("node-permissions", "permissions", "Max. number of permissions per node"),
    ("path-max", "path_max", "Max. length of a node path"),
    ("node-size", "node_size", "Max. size of a node"),
)
_MEMORY_22: Final = "Total Xenstore memory per domain"
_SOFT: Final[Table] = (("memory", "memory_soft", "Total Xenstore memory per domain (warning level)"),)
"""(name, attribute, what it says); the order is the one that is printed."""

_FIRST_REFUSED: Final[tuple[dict[str, int], ...]] = (
    # How far beyond the number that is set the first one is refused: of 4.17, of 4.18 to 4.21, and of 4.22.
    {"watches": 2, "transactions": 2, "permissions": 1, "path_max": 1, "transaction_nodes": 1},
    {
        "watches": 2,
        "transactions": 2,
        "permissions": 1,
        "path_max": 1,
        "transaction_nodes": 1,
        "node_size": 1,
    },
    {},
)


class Quota:
    """The limits: of each unprivileged domain alike; since 4.22, each has its own copy.

    Dom0 and the daemon's sockets have none. The numbers are xenstored's, and what
    they mean is as well: some count what is allowed, others the first that is
    refused, and `watches` and `transactions` let one more through than they say.
    0 is no limit.
    """

    def __init__(self, release: Release) -> None:
        self.release = release
        self.nodes = 1000
        self.watches = 128
        self.transactions = 10
        self.outstanding = 20
        self.transaction_nodes = 1024
        self.memory_soft = 2 << 20
        self.memory = (2 << 20) + (512 << 10)
        self.node_size = 2048
        self.path_max = XENSTORE_REL_PATH_MAX
        self.permissions = 5
        self.event_seconds = 20.0
        """How long a watch event waits for a guest that does not read it, before it is dropped."""
        minor = release.minor
        self._beyond: dict[str, int] = _FIRST_REFUSED[0 if minor < 18 else 1 if minor < 22 else 2]
        self.hard: Table = _HARD_17 if minor < 18 else _HARD_18
        self.soft: Table = _SOFT
        if minor >= 22:
            self.hard = tuple(
                [(name, kept, _MEMORY_22 if name == "memory" else text) for name, kept, text in _HARD_18]
            )
            self.soft = (("memory", "memory_soft", _MEMORY_22),)

    def refuses(self, attribute: str, value: int) -> bool:
        """Whether `value` is more of it than a domain may have."""
        limit: int = getattr(self, attribute)
        return bool(limit) and value >= limit + self._beyond.get(attribute, 0)

    @property
    def longest_path(self) -> int:
        """How many bytes a path may have, from below /local/domain/N/."""
        return self.path_max + self._beyond.get("path_max", 0) - 1 if self.path_max else XENSTORE_PAYLOAD_MAX

    def for_domain(self) -> Quota:
        """The limits of a domain that is new."""
        if not self.release.has_quota_requests:
            return self
        own = Quota(self.release)
        vars(own).update(vars(self))
        return own

    def show(self, table: Table) -> str:
        """The settings as `xenstore-control quota` prints them."""
        rows = [f"{name:<17}: {getattr(self, attribute):8d} {text}\n" for name, attribute, text in table]
        return "Quota settings:\n" + "".join(rows)

    def set(self, table: Table, name: str, value: int) -> bool:
        """Whether there is a quota `name`, which is `value` from now on."""
        for known, attribute, _ in table:
            if known == name:
                setattr(self, attribute, value)
                return True
        return False

    def attribute(self, name: str) -> str | None:
        """Which attribute SET_QUOTA means by `name` ("memory", "soft-memory"); None if none."""
        table = self.hard
        if name.startswith("soft-"):
            table, name = self.soft, name[5:]
        return next((attribute for known, attribute, _ in table if known == name), None)

    def names(self) -> list[str]:
        """What GET_QUOTA lists: each quota, a soft one right after its hard one."""
        soft = {name for name, _, _ in self.soft}
        names: list[str] = []
        for name, _, _ in self.hard:
            names += [name, f"soft-{name}"] if name in soft else [name]
        return names
