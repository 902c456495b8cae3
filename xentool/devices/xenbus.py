"""XenbusState: the states of a device's two ends, and waiting for a backend to reach one.

Source: public/io/xenbus.h.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from xentool.devices.device import Address
    from xentool.store.client import StoreClient

UNKNOWN, INITIALISING, INIT_WAIT, INITIALISED, CONNECTED, CLOSING, CLOSED, RECONFIGURING, RECONFIGURED = (
    range(9)
)
"""XenbusState of public/io/xenbus.h."""
STATE_NAMES = (
    "Unknown", "Initialising", "InitWait", "Initialised", "Connected", "Closing", "Closed", "Reconfiguring",
    "Reconfigured",
)  # fmt: skip


def await_state(
    store: StoreClient, address: Address, until: Collection[int | None], timeout_seconds: float
) -> int | None:
    """The backend's state (None: its node is gone) once it is one of `until`, or when the time is over."""
    path = f"{address.back}/state"
    state = parse_state(store.try_read(path))
    if state in until:
        return state
    with store.watch(path) as watch:
        for _event in watch.events(timeout_seconds):
            state = parse_state(store.try_read(path))
            if state in until:
                return state
    # Of a machine that stood still the time is over before the backend could use it: as it is by now.
    return parse_state(store.try_read(path))


def parse_state(value: bytes | None) -> int | None:
    """A state node's value; what is no state is Unknown."""
    if value is None:
        return None
    return int(value) if len(value) == 1 and b"0" <= value <= b"8" else UNKNOWN


def state_name(state: int | None) -> str:
    return "nothing" if state is None else STATE_NAMES[state]
