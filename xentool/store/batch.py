"""Many requests in one write: how a domain's whole tree is written at once."""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.store.operations import failure, is_gone_anyway, permissions_payload, write_payload
from xentool.store.paths import check_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from xentool.store.client import StoreClient
    from xentool.store.permissions import Permission


class Batch:
    """Gathers requests; leaving its ``with`` without an error sends them, in order.

    Each is carried out by itself, the later ones too where an earlier one was
    refused: outside a transaction a batch is no unit. The first refusal is
    raised once all were answered, naming its operation and path.
    """

    __slots__ = ("_client", "_requests", "_tx_id")

    def __init__(self, client: StoreClient, tx_id: int) -> None:
        self._client = client
        self._tx_id = tx_id
        self._requests: list[tuple[int, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.send()

    def __len__(self) -> int:
        return len(self._requests)

    def write(
        self, path: str, value: str | bytes, permissions: Iterable[Permission | str] | None = None
    ) -> None:
        """Set a node's value, and who may use it."""
        self._requests.append((xs_wire.XS_WRITE, write_payload(path, value)))
        if permissions is not None:
            self.set_perms(path, permissions)

    def mkdir(self, path: str, permissions: Iterable[Permission | str] | None = None) -> None:
        """Make sure that a node is there, and who may use it."""
        self._requests.append((xs_wire.XS_MKDIR, check_path("make node", path) + b"\0"))
        if permissions is not None:
            self.set_perms(path, permissions)

    def rm(self, path: str) -> None:
        """Make sure that a node, and all below it, is not there."""
        self._requests.append((xs_wire.XS_RM, check_path("remove", path) + b"\0"))

    def set_perms(self, path: str, permissions: Iterable[Permission | str]) -> None:
        """Say who may use a node; the owner first."""
        self._requests.append((xs_wire.XS_SET_PERMS, permissions_payload(path, permissions)))

    def send(self) -> None:
        """Send what was gathered, gather the replies; the batch is empty then.

        Raises:
            StoreError: the first request that was refused.
            StoreGoneError, TimedOutError: the daemon went away, or does not answer.
        """
        requests, self._requests = self._requests, []
        if not requests:
            return
        first = None
        for request, reply in zip(requests, self._client.exchange(self._tx_id, requests), strict=True):
            if first is None and reply[0] != request[0] and not is_gone_anyway(request[0], reply[3]):
                first = failure(*request, reply[3])
        if first is not None:
            raise first
