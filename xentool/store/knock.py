"""Whether XenStore's daemon answers: asked before somebody else's library, which waits for it without end.

It takes no client: who has another way to the store need not load one.

Source: xen/include/public/io/xs_wire.h (struct xsd_sockmsg, XS_READ).
"""

from __future__ import annotations

from _struct import Struct  # what struct has it from; that module would cost its import

from xentool.abi.xs_wire import XS_READ
from xentool.errors import StoreGoneError, TimedOutError
from xentool.store.transport import CONNECT_TIMEOUT_SECONDS, open_transport

NODE = b"/local\0"
"""Of which it does not matter whether it is there: no is an answer, too."""
QUESTION = Struct("=4I").pack(XS_READ, 1, 0, len(NODE)) + NODE


def ensure_answering(path: str | None = None, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS) -> None:
    """Ask the daemon something (`path` as for `open_transport`), and return once it has answered.

    Raises:
        HostError: there is no store here, or not for this user.
        StoreGoneError: nobody is behind its socket, or went away.
        TimedOutError: whoever is there does not answer.
    """
    transport = open_transport(path, timeout_seconds)
    try:
        transport.send([QUESTION])
        answer = transport.receive(timeout_seconds)
        why = "the connection was closed"
    except OSError as exc:
        answer, why = b"", exc.strerror or str(exc)
    finally:
        transport.close()
    if answer is None:
        raise TimedOutError(
            "ask",
            "XenStore",
            f"the XenStore daemon did not answer within {timeout_seconds:g} s ({transport.name})",
            hint="is the daemon stopped, or the host overloaded?",
        )
    if not answer:
        raise StoreGoneError(
            "ask",
            "XenStore",
            "EPIPE",
            f"{why} ({transport.name})",
            hint="is the XenStore daemon running? `systemctl status xenstored`",
        )
