"""Standard output: the one door through which answers go.

A full disk behind it is an error that the user must hear of; a reader that has
gone (BrokenPipeError) is none, and passes.
"""

from __future__ import annotations

import sys

from xentool.errors import HostError


def write_answer(text: str) -> None:
    """Print `text` as it is.

    Raises:
        HostError: standard output is closed or cannot take it.
        BrokenPipeError: nobody reads it any more.
    """
    if sys.stdout is None:
        raise HostError("write", "the answer", "standard output is closed")
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise HostError("write", "the answer", exc.strerror or str(exc)) from exc


def write_answer_bytes(data: bytes) -> None:
    """Print `data` as it is, after what was printed before; raises as `write_answer`."""
    flush_answer()
    if sys.stdout is None:
        raise HostError("write", "the answer", "standard output is closed")
    try:
        sys.stdout.buffer.write(data)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise HostError("write", "the answer", exc.strerror or str(exc)) from exc


def flush_answer() -> None:
    """Hand on what was written; raises as `write_answer`."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise HostError("write", "the answer", exc.strerror or str(exc)) from exc
