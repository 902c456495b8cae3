"""What any XenStore does for its client, ours and the real one alike: the stores that are asked.

`socket` and `local` are our server, behind a socket and in this process; `real`
(nested) is whatever daemon serves this host: C xenstored in the lab's dom0.
Needs pytest alone, so that it runs there.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.contract import oxenstored
from tests.contract.store.asking import SOON, Dom0Only
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.serve import SocketServer
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.store.asking import Connect

SOCKET = "/run/xenstored/socket"


@pytest.fixture
def no_limits_for_domain_0(request: pytest.FixtureRequest) -> bool:
    """Whether this is a real daemon that holds quotas' path lengths against guests alone (since 4.18)."""
    minor = "/sys/hypervisor/version/minor"
    if "real" not in request.node.callspec.id or not os.path.exists(minor) or oxenstored.runs_here():
        return False
    with open(minor, encoding="ascii") as file:
        return int(file.read()) > 17


@pytest.fixture(autouse=True)
def otherwise(request: pytest.FixtureRequest) -> None:
    """On oxenstored the tests that it cannot pass fail, for the reasons in tests/contract/oxenstored.py."""
    if "[real" in request.node.name and oxenstored.runs_here():
        reason = oxenstored.why_otherwise(request.node.name)
        if reason:
            strict = request.node.originalname not in oxenstored.SOMETIMES
            request.applymarker(pytest.mark.xfail(strict=strict, reason=reason))


@pytest.fixture(params=["local", "socket", pytest.param("real", marks=pytest.mark.nested)])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Opens clients of one store."""
    clients: list[StoreClient] = []

    def remember(client: StoreClient) -> StoreClient:
        clients.append(client)
        return client

    if request.param == "real":
        path = os.environ.get("XENSTORED_PATH", SOCKET)
        if not os.path.exists(path):
            pytest.skip("no XenStore daemon runs here")
        yield lambda: remember(StoreClient(path))
    elif request.param == "local":
        server = Server(Dom0Only())
        yield lambda: remember(StoreClient(transport=LocalTransport(server.connect())))
    else:
        path = str(tmp_path / "socket")
        with SocketServer(path, Server(Dom0Only())) as sockets:
            thread = threading.Thread(target=sockets.run)
            thread.start()
            try:
                yield lambda: remember(StoreClient(path, timeout_seconds=SOON))
            finally:
                for client in clients:
                    client.close()
                sockets.stop()
                thread.join(SOON)
            assert not thread.is_alive()
    for client in clients:
        client.close()


@pytest.fixture
def store(connect: Connect) -> StoreClient:
    return connect()


@pytest.fixture
def top(store: StoreClient) -> Iterator[str]:
    """A node for the test's own use; gone afterwards."""
    path = f"/tool/xentool-test-{os.getpid()}"
    store.mkdir(path)
    yield path
    if store.exists(path):
        store.rm(path)
    assert store.try_read(path) is None
