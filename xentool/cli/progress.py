"""What a long command is doing: on a terminal one line that changes, with -v lines that stay."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.cli.context import Context


class Progress:
    """As a context: gives what is to be told each step, or None where nobody wants to know.

    The line that changes is gone at the end.
    """

    __slots__ = ("_step",)

    def __init__(self, context: Context, *, quiet: bool = False) -> None:
        self._step: Callable[[str], None] | None = None
        if context.shows_progress and not quiet:
            self._step = on_one_line
        elif context.verbose and not quiet:
            self._step = context.note

    def __enter__(self) -> Callable[[str], None] | None:
        return self._step

    def __exit__(self, *what: object) -> None:
        if self._step is on_one_line:
            on_one_line("")


def on_one_line(step: str) -> None:
    """Each step in the place of the one before; by hand: importing rich takes longer than most steps."""
    shown = f"\x1b[2m{step} …\x1b[0m" if step else ""
    try:
        sys.stderr.write("\r\x1b[2K" + shown)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # the terminal is gone, and nobody looks: no reason to give up what was begun
