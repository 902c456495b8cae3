"""Reading a serial line, on which bytes come one by one, or never."""

from __future__ import annotations

import os
import select
import time


def read_until(line: int, ending: bytes, seconds: float) -> bytes:
    """What comes on the descriptor `line` as far as `ending`; or less, if that is all that came in time."""
    came = b""
    end = time.monotonic() + seconds
    while not came.endswith(ending):
        left = end - time.monotonic()
        if left <= 0 or not select.select([line], [], [], left)[0]:
            break
        came += os.read(line, 1)
    return came
