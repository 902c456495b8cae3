"""A simulated guest's console, as a person sees it."""

from __future__ import annotations

import os
import select
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.mocked import MockedHost
    from xentool.units import DomId

_SECONDS = 90.0


class Terminal:
    """Opened on a domain's pty."""

    def __init__(self, mocked: MockedHost, domid: DomId) -> None:
        path = mocked.store.read_text(f"/local/domain/{domid}/console/tty")
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self._seen = ""

    def expect(self, text: str) -> str:
        """Read until `text` comes; all that was read."""
        end = monotonic() + _SECONDS
        while text not in self._seen:
            assert select.select([self._fd], [], [], end - monotonic())[0], self._seen
            self._seen += os.read(self._fd, 4096).decode()
        seen, self._seen = self._seen.split(text, 1)
        return seen

    def type(self, line: str) -> None:
        os.write(self._fd, line.encode() + b"\r")

    def close(self) -> None:
        os.close(self._fd)
