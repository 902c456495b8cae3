"""Which domids were freed a moment ago: they are not to be used again at once.

A peer that still holds an old domid (a backend, a script) must not reach a
new domain by it. libxl keeps the list in ``/run/xen/domid-history``: a line
``SECONDS DOMID`` (CLOCK_MONOTONIC) for each domain destroyed, and takes a domid
for recent for 60 seconds. We share the file, its lock and the rule.
"""

from __future__ import annotations

import os
import time

from xentool.domain.locks import libxl_lock
from xentool.units import DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

REUSE_SECONDS = 60


def _recent(path: str) -> Iterator[tuple[int, int]]:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return
    now = int(time.monotonic())
    for line in text.split(b"\n"):
        words = line.split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            seconds, domid = int(words[0]), int(words[1])
            if now - seconds <= REUSE_SECONDS:
                yield seconds, domid


def recent_domids(path: str) -> frozenset[DomId]:
    """The domids that must not be used yet."""
    return frozenset(DomId(domid) for _, domid in _recent(path))


def mark_recent(path: str, domid: DomId) -> None:
    """Say that `domid` is being freed now; lines past their time are dropped.

    Where the folder is missing (no toolstack ever ran here) there is nobody to tell: it is made.
    """
    with libxl_lock(f"{path}.lock"):
        lines = [*_recent(path), (int(time.monotonic()), domid)]
        new = f"{path}.new"
        with open(new, "w", encoding="ascii") as file:
            file.writelines(f"{seconds} {number}\n" for seconds, number in lines)
        os.rename(new, path)
