from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from tests.cli.fakes import FakeBackend
from xentool.cli import main
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.server import Server


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
    monkeypatch.delenv("XENTOOL_TOOLSTACK", raising=False)

    def run(*argv: str) -> Outcome:
        code = main.run(argv, lambda _name: backend)  # type: ignore[arg-type,return-value]
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


class StoreBackend(FakeBackend):
    """A fake host whose store is a server in this process."""

    def __init__(self, store: StoreClient) -> None:
        super().__init__()
        self.store = store


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def store(server: Server) -> StoreClient:
    client = StoreClient(transport=LocalTransport(server.connect()))
    with client.batch() as batch:
        batch.write("/local/domain/0/domid", "0")
        batch.write("/local/domain/0/name", "Domain-0")
        batch.write("/local/domain/3", "", ["n0", "r3"])
        batch.write("/local/domain/3/name", "web")
        batch.write("/local/domain/3/data", "", ["n3"])
    return client


Run = Callable[..., Outcome]


@pytest.fixture
def xen(store: StoreClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a `store` command."""
    monkeypatch.delenv("XENTOOL_BACKEND", raising=False)
    backend = StoreBackend(store)

    def run(*argv: str, typed: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        code = main.run(["store", *argv], lambda _name: backend)  # type: ignore[arg-type,return-value]
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
