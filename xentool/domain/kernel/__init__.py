"""Kernels and ramdisks: from a file to a value that says what the builder must do.

`load_kernel` and `open_ramdisk` are the ways in. A kernel is hostile input (it
may be the guest's own): every number that it carries is checked before use.
"""

from __future__ import annotations

from xentool.domain.kernel.image import KernelImage, Segment
from xentool.domain.kernel.load import load_kernel
from xentool.domain.kernel.ramdisk import Ramdisk, open_ramdisk

__all__ = ["KernelImage", "Ramdisk", "Segment", "load_kernel", "open_ramdisk"]
