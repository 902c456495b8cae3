"""The greatest numbers that values of a config may have, wherever they are read.

Source: libxl_types.idl (the fields' widths); SUPPORT.md (memory); libxl_create.c (vcpus).
"""

from __future__ import annotations

MAX_VCPUS = 128
"""libxl refuses more (HVM_MAX_VCPUS, for every type of guest)."""
MAX_MEBIBYTES = 16 << 20
"""16 TiB, the most that Xen supports on x86."""
INT_MAX = (1 << 31) - 1
UINT32_MAX = (1 << 32) - 1
MAX_PORT = 65535
FIRST_VNC_PORT = 5900
"""Display 0's (RFC 6143)."""
MAX_VNC_DISPLAY = MAX_PORT - FIRST_VNC_PORT
