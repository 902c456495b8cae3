"""The PV console's ring, and whether anybody serves it.

Source: public/io/console.h. `connection` came with 4.21; before, the byte was unused.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

XENCONSOLE_CONNECTED = 0
XENCONSOLE_DISCONNECTED = 1

xencons_interface = Struct(
    "struct xencons_interface",
    3088,
    {
        "in_": (0, "1024s", "in"),
        "out": (1024, "2048s"),
        "in_cons": (3072, "I"),
        "in_prod": (3076, "I"),
        "out_cons": (3080, "I"),
        "out_prod": (3084, "I"),
    },
)

CONNECTION_OFFSET = 3088
"""offsetof(struct xencons_interface, connection): a byte, XENCONSOLE_*."""
