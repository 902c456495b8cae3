"""What comes out of the machine's serial console: Xen's log and dom0's kernel log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import BinaryIO

# dom0's init puts this before the reason why it gives up.
FAILED: Final = b"LAB-FAILED: "

# As much as is kept to be shown when something fails.
_KEPT_BYTES: Final = 1 << 16
_SHOWN_LINES: Final = 30


class ConsoleLog:
    """The end of the console's output, and if wanted all of it in a file."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more output."""
        if self._file:
            self._file.write(data)
            self._file.flush()
        self._kept += data
        if len(self._kept) > 2 * _KEPT_BYTES:
            del self._kept[:-_KEPT_BYTES]

    def failure(self) -> str:
        """Why dom0's init gave up; "" if it has not said so."""
        _, found, rest = self._kept.partition(FAILED)
        line, ended, _ = rest.partition(b"\n")
        return line.decode(errors="replace").strip() if found and ended else ""

    def tail(self, lines: int = _SHOWN_LINES) -> str:
        """The last lines."""
        text = self._kept.decode(errors="replace").replace("\r", "")
        return "\n".join(text.splitlines()[-lines:])
