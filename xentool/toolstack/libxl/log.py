"""What libxl says: its log, as lines, and never on the terminal.

libxentoollog writes to a file in memory, which we read. So no Python runs inside libxl: an
exception that a signal raises cannot be lost there, no lock of ours is held there, and the children
that libxl forks write to the same place.

Source: xentoollog.h (xentoollog_level, xtl_createlogger_stdiostream).
"""

from __future__ import annotations

import os

from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.toolstack.libxl.library import Library

LEVELS = ("none", "debug", "verbose", "detail", "progress", "info", "notice", "warning", "error", "critical")
"""xentoollog_level, by its number; as libxentoollog prints them."""
PROGRESS, WARNING, ERROR = LEVELS.index("progress"), LEVELS.index("warning"), LEVELS.index("error")
BY_VERBOSITY = (PROGRESS, PROGRESS, LEVELS.index("detail"), LEVELS.index("debug"))
"""The least level that is wanted, by how often ``-v`` was given."""
NO_CR_FLAG = 0o20
"""XTL_STDIOSTREAM_PROGRESS_NO_CR: each step on a line of its own."""
KEPT = 400
"""Lines kept for the details of an error: what a guest or a file can make libxl say is bounded. What is no
warning is not kept: with -vvv a create says many lines, and a failure is said before its undoing."""
MAX_LINE = 2000
ROOM = 1 << 20
"""Bytes of the file that may be read before they are given back."""
AT_ONCE = 1 << 14
"""Bytes read at once: most often there are none."""


class Line:
    """One line: its level (an index into `LEVELS`), and its text without it."""

    __slots__ = ("level", "text")

    def __init__(self, level: int, text: str) -> None:
        self.level = level
        self.text = text

    def __str__(self) -> str:
        return f"{LEVELS[self.level]}: {self.text}"


def parse_line(raw: str, otherwise: int = PROGRESS) -> Line:
    """A line as libxentoollog prints it: ``libxl: error: libxl_create.c:12:f: Domain 3:no kernel``.

    What has no level goes on with the line before, whose level is `otherwise`.
    """
    text = raw[:MAX_LINE]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    context, _, rest = text.partition(": ")
    level, colon, message = rest.partition(": ")
    if colon and level in LEVELS:
        return Line(LEVELS.index(level), f"{context}: {message}")
    return Line(otherwise, text)


class Log:
    """libxl's log: a logger to hand to libxl (`logger`), and the lines that came (`drain`).

    `listener` hears each line of at least `level` as it is drained, e.g. for ``-v``.
    """

    def __init__(
        self, library: Library, *, level: int = PROGRESS, listener: Callable[[Line], None] | None = None
    ) -> None:
        self._library = library
        self._listener = listener
        self._level = level
        self._steps: Callable[[str], None] | None = None
        self._lines: list[tuple[int, Line]] = []
        self._asking = 0
        self._last = PROGRESS
        self.count = 0
        """How many warnings and worse there ever were: a mark to ask for those `since`."""
        self._rest = b""
        self._offset = 0
        # Ours to read by, and the stream's own, which fclose closes.
        self._descriptor = os.memfd_create("libxl-log")
        second = os.dup(self._descriptor)
        self._stream = library.function("fdopen")(second, b"a")
        if not self._stream:
            os.close(second)
            os.close(self._descriptor)
            raise HostError("use", library.title, "there is no room for its log")
        self.logger = library.function("xtl_createlogger_stdiostream")(
            self._stream, min(level, PROGRESS), NO_CR_FLAG
        )

    def drain(self) -> None:
        """Take in what libxl has said meanwhile."""
        more = True
        while more:
            chunk = os.pread(self._descriptor, AT_ONCE, self._offset)
            more = len(chunk) == AT_ONCE
            self._offset += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for raw in lines:
                line = parse_line(raw.decode("utf-8", "replace"), self._last)
                self._last = line.level
                self._take(line)
            self._rest = self._rest[-MAX_LINE:]
        if self._offset >= ROOM:
            self._shorten()

    def _shorten(self) -> None:
        """Give back the memory of what was read, once nobody is writing: between two operations."""
        if os.fstat(self._descriptor).st_size == self._offset:
            os.ftruncate(self._descriptor, 0)  # the stream appends, so it goes on at the start
            self._offset = 0

    def _take(self, line: Line) -> None:
        if line.level >= WARNING:
            self._lines.append((self.count, line))
            self.count += 1
            if len(self._lines) > KEPT:
                del self._lines[KEPT // 4 : -KEPT // 4]  # the first say why, the last what came of it
        if self._listener is not None and line.level >= self._level:
            self._listener(line)
        if self._steps is not None and line.level == PROGRESS:
            self._steps(line.text.partition(": ")[2] or line.text)

    def since(self, mark: int) -> list[Line]:
        """The warnings and worse since `count` was `mark`, as far as they are kept."""
        self.drain()
        return [line for number, line in self._lines if number >= mark]

    def begin(self) -> None:
        """Somebody will ask for what is said from now on, until `end`; what nobody asks for is forgotten."""
        self.drain()
        if not self._asking:
            self._lines.clear()
        self._asking += 1

    def end(self) -> None:
        self.drain()
        self._asking -= 1

    def steps_to(self, told: Callable[[str], None] | None) -> Callable[[str], None] | None:
        """From now on `told` hears of libxl's steps ("Frames: 2048/8192 25%"); who heard before."""
        before, self._steps = self._steps, told
        return before

    def close(self) -> None:
        self.drain()
        if self._stream:
            self._library.function("xtl_logger_destroy")(self.logger)
            self._library.function("fclose")(self._stream)
            os.close(self._descriptor)
            self._stream = 0
