"""What a long command shows of itself keeps it from nothing."""

from __future__ import annotations

import io
import sys

import pytest

from xentool.cli.progress import on_one_line


class Gone(io.StringIO):
    """A terminal that was hung up."""

    def write(self, _text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("stream", [Gone(), None])
def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch, stream: Gone | None) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    on_one_line("libxl builds it")
