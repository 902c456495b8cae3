"""What the lab and its dom0 say to each other, over a virtio serial port.

A frame is one byte that says its kind, the payload's length (4 bytes, big endian), and the payload.

    to dom0      REQUEST  JSON: command, environment, folder, terminal, shares    once per command
                 INPUT    bytes for the command's standard input; none: it ended
                 SIZE     JSON: [rows, columns] of the terminal
    from dom0    READY    JSON: facts of the booted host                          once per boot
                 OUTPUT   bytes of standard output
                 ERRORS   bytes of standard error
                 EXIT     JSON: {"code": 0 to 255, "seconds": …}, or {"failure": why it was not run}

Both sides use this file: it imports nothing, because dom0 starts with it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = b"R"
INPUT = b"I"
SIZE = b"S"
READY = b"B"
OUTPUT = b"o"
ERRORS = b"e"
EXIT = b"X"

# The port's name, under which udev and sysfs show it in dom0.
PORT_NAME = "xentool.lab"

_HEADER = 5
_LONGEST = 1 << 20


def encode(kind: bytes, payload: bytes) -> bytes:
    """The bytes of one frame."""
    return kind + len(payload).to_bytes(4, "big") + payload


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The frames, (kind, payload), that `data` completes. ValueError if these are no frames."""
        self._rest += data
        while len(self._rest) >= _HEADER:
            length = int.from_bytes(self._rest[1:_HEADER], "big")
            if length > _LONGEST:
                raise ValueError(f"a frame of {length} bytes")
            if len(self._rest) < _HEADER + length:
                return
            kind = bytes(self._rest[:1])
            payload = bytes(self._rest[_HEADER : _HEADER + length])
            del self._rest[: _HEADER + length]
            yield kind, payload
