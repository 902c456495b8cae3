from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.fakes import FakeBackend
from xentool.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


Xentool = "Callable[..., Outcome]"


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def xentool(
    backend: FakeBackend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run a command line against the fake backend, in this process."""
    monkeypatch.delenv("XENTOOL_BACKEND", raising=False)

    def run(*argv: str) -> Outcome:
        code = main.run(argv, lambda _name: backend)  # type: ignore[arg-type,return-value]
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
