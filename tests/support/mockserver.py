"""The mock hypervisor behind its socket, in a thread of this process: no store, no guests."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

from xentool.hypervisor.mock.remote import SOCKET_NAME, RemoteMock, connect
from xentool.hypervisor.mock.xen import MockXen
from xentool.mockhost.bounded import Log
from xentool.mockhost.loop import Loop
from xentool.mockhost.sessions import SessionServer


class MockServer:
    """Serves `xen` in `directory` while the context lasts."""

    def __init__(self, xen: MockXen, directory: Path) -> None:
        self.xen = xen
        self._directory = str(directory)

    def __enter__(self) -> Self:
        self._log = Log(os.path.join(self._directory, "log"), 1 << 16)
        self._loop = Loop()
        self._server = SessionServer(
            self._loop,
            self.xen,
            self._log,
            os.path.join(self._directory, SOCKET_NAME),
            changed=lambda: None,
            stop=self._loop.stop,
        )
        self._thread = threading.Thread(target=self._loop.run)
        self._thread.start()
        return self

    def open(self) -> RemoteMock:
        return connect(self._directory)

    def __exit__(self, *_: object) -> None:
        with self.open() as client:
            client.stop_host()
        self._thread.join()
        self._server.close()
        self._loop.close()
        self._log.close()
