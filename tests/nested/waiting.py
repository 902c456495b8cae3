"""Waiting for what others do in their own time: the kernel, udev, a program that ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def settled(look: Callable[[], Seen], expected: object, seconds: float = 90) -> Seen:
    """What `look` sees once it is as expected, or as it is after `seconds`.

    An interface goes after its backend is Closed, a loop device when the last who looks at it closes it,
    a process when its parent has asked how it ended.
    """
    end = time.monotonic() + seconds
    while (seen := look()) != expected and time.monotonic() < end:
        time.sleep(0.05)
    return seen
