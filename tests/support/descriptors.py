"""The descriptors that this process has open, for tests that see whether one is left."""

from __future__ import annotations

import gc
import os


def open_descriptors() -> set[str]:
    """Their numbers; without those of an earlier test's garbage, which may go at any time."""
    gc.collect()
    return set(os.listdir("/proc/self/fd"))
