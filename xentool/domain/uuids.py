"""The uuid of a domain whose config names none."""

from __future__ import annotations

import os

from xentool.units import uuid_text


def new_uuid() -> str:
    """A random (version 4) UUID, RFC 9562."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return uuid_text(bytes(raw))
