"""What a domain may use of the store: xenstored's names and defaults.

Source: tools/xenstore/xenstored_core.c and xenstored_control.c (4.17), which is
what `xenstore-control quota` prints.
"""

from __future__ import annotations

from xentool.abi.xs_wire import XENSTORE_REL_PATH_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Table = tuple[tuple[str, str, str], ...]

HARD: Final[Table] = (
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
SOFT: Final[Table] = (("memory", "memory_soft", "Total Xenstore memory per domain (warning level)"),)
"""(name, attribute, what it says); the order is the one that is printed."""


class Quota:
    """The limits, the same for each unprivileged domain. Dom0 and the daemon's sockets have none.

    As in xenstored, `watches` and `transactions` let one more through than they
    say, and `nodes` and `node_size` are reached by the first that is refused.
    """

    def __init__(self) -> None:
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
