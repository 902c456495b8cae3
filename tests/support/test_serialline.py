"""A serial line is read as it comes, and not for ever."""

from __future__ import annotations

import os
import pty
import threading
import tty
from typing import TYPE_CHECKING

import pytest

from tests.support.serialline import read_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The two ends of a line."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_what_comes_byte_by_byte_is_read_as_far_as_its_end(ends: tuple[int, int]) -> None:
    ours, theirs = ends

    def speak() -> None:
        for byte in b"Linux\nmore":
            os.write(theirs, bytes([byte]))

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        assert read_until(ours, b"\n", 60) == b"Linux\n"
        assert read_until(ours, b"e", 60) == b"more"
    finally:
        speaker.join()


def test_a_line_that_falls_silent_is_not_waited_for(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    assert read_until(ours, b"\n", 0.01) == b""
    os.write(theirs, b"Lin")
    assert read_until(ours, b"\n", 0.01) == b"Lin"
