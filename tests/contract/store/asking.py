"""What the store's contract asks with: a host of Domain-0 alone, and requests past the client's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xentool.errors import StoreError
from xentool.store.domains import StoreHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.store.client import StoreClient

    Connect = Callable[[], StoreClient]

SOON = 60
"""Seconds in which a daemon does what it does at once, on a machine that may stall."""

NOBODY = 32000
"""A domid that no domain has."""


class Dom0Only(StoreHost):
    def exists(self, domid: int) -> bool:
        return domid == 0


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.errno_name


def raw(store: StoreClient, kind: int, payload: bytes, tx_id: int = 0) -> tuple[int, bytes]:
    """A request as it is, past the client's own checks."""
    reply = store.exchange(tx_id, [(kind, payload)])[0]
    return reply[0], reply[3]
