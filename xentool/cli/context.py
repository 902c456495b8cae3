"""What a running command has at hand: the global options, the toolstack, and where to write."""

from __future__ import annotations

import os
import sys

from xentool.cli.answer import flush_answer, write_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.cli.backends import Backend
    from xentool.store.client import StoreClient
    from xentool.toolstack.port import Toolstack


class Context:
    """One run of one command.

    `open_backend` is called with the chosen backend's name, once, when it is needed.
    """

    def __init__(
        self,
        open_backend: Callable[[str], Backend],
        *,
        backend: str = "auto",
        toolstack: str = "auto",
        json: bool = False,
        dry_run: bool = False,
        verbose: int = 0,
        debug: bool = False,
    ) -> None:
        self._open_backend = open_backend
        self._opened: Backend | None = None
        self.backend_name = backend
        self.toolstack_name = toolstack
        self.json = json
        self.dry_run = dry_run
        self.verbose = verbose
        self.debug = debug

    @property
    def backend(self) -> Backend:
        if self._opened is None:
            self._opened = self._open_backend(self.backend_name)
            self._opened.choose(
                self.toolstack_name, self.note if self.verbose else None, self.verbose, self.note
            )
        return self._opened

    @property
    def toolstack(self) -> Toolstack:
        return self.backend.toolstack

    @property
    def store(self) -> StoreClient:
        """The store alone: no hypervisor is needed for it."""
        return self.backend.store

    def toolstack_for_change(self) -> Toolstack:
        """The toolstack, once what killed creates left behind has been undone."""
        undone, failed = self.backend.collect()
        for what in undone:
            self.note(f"undone: {what}")
        for what in failed:
            self.note(f"cannot undo what a killed command began: {what}")
        return self.backend.toolstack

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def write(self, text: str) -> None:
        """Print to standard output, as it is."""
        write_answer(text)

    def write_bytes(self, data: bytes) -> None:
        """Print bytes to standard output, as they are."""
        from xentool.cli.answer import write_answer_bytes

        write_answer_bytes(data)

    def write_json(self, value: object) -> None:
        from xentool.cli.jsontext import to_json

        write_answer(to_json(value) + "\n")

    def note(self, text: str) -> None:
        """Tell the user something that is no answer: a line on stderr."""
        flush_answer()
        try:
            sys.stderr.write(f"xentool: {text}\n")
        except (OSError, ValueError, AttributeError):
            pass  # standard error is closed: nobody wants to hear it

    @property
    def styled(self) -> bool:
        """Whether the answer goes to a terminal that can show more than plain text."""
        return (
            not self.json
            and sys.stdout is not None
            and sys.stdout.isatty()
            and (os.environ.get("TERM") or "dumb") != "dumb"
        )

    @property
    def shows_progress(self) -> bool:
        return (
            not self.json
            and sys.stderr is not None
            and sys.stderr.isatty()
            and (os.environ.get("TERM") or "dumb") != "dumb"
        )
