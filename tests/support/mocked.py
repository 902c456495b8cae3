"""A mock host in a process of its own, and domains on it, for tests of what stands above the ports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.elfwriter import pv_kernel
from xentool.domain.config.model import DomainConfig
from xentool.domain.host import Host
from xentool.domain.lifecycle import destroy
from xentool.domain.paths import Paths
from xentool.hypervisor.mock.remote import RemoteMock
from xentool.mockhost.dom0 import MockDom0
from xentool.mockhost.life import attach, stop, store_socket
from xentool.store.client import StoreClient
from xentool.units import DomId


class MockedHost:
    """A mock host in `directory`, started if need be; leaving the context stops it if it was started here."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = str(directory)
        self.paths = Paths.under(self.directory)
        self.kernel = Path(self.directory).parent / "kernel.elf"
        if not self.kernel.exists():
            self.kernel.write_bytes(pv_kernel())
        self.dom0 = MockDom0(self.directory)

    def __enter__(self) -> Self:
        self.hypervisor: RemoteMock = attach(self.directory)
        self.store = self.open_store()
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        self.hypervisor.close()
        stop(self.directory)

    def open_store(self) -> StoreClient:
        return StoreClient(store_socket(self.directory))

    def host(self, *, hypervisor: object = None, store: StoreClient | None = None) -> Host:
        hypervisor, store = hypervisor or self.hypervisor, store or self.store
        return Host(lambda: hypervisor, lambda: store, self.paths, lambda: self.dom0)  # type: ignore[arg-type,return-value]

    @contextmanager
    def another_s(self) -> Iterator[Host]:
        """The host as another process sees it, or another thread: a connection is for one at a time."""
        with attach(self.directory) as hypervisor, self.open_store() as store:
            yield self.host(hypervisor=hypervisor, store=store)

    def config(self, name: str, **keys: object) -> DomainConfig:
        base = DomainConfig(name=name, kernel=str(self.kernel), memory_kib=16 << 10)
        return base.replace(
            **({"max_memory_kib": keys["memory_kib"]} if "memory_kib" in keys else {}), **keys
        )

    def destroy(self, domid: DomId) -> None:
        destroy(self.host(), domid)

    def state(self) -> dict[str, object]:
        """Everything that a create may leave behind, but for the history of domids, which grows."""
        host = self.host()
        userdata = self.paths.userdata
        journal = f"{self.paths.run}/journal"
        store = {path: value for path, value in self.store.tree("/").items() if path not in ("/vm", "/libxl")}
        return {
            "domains": [info.domid for info in host.hypercalls.domain_infos()],
            "free": host.hypercalls.physinfo().free_pages,
            "outstanding": host.hypercalls.physinfo().outstanding_pages,
            "store": store,
            "userdata": sorted(os.listdir(userdata)) if os.path.isdir(userdata) else [],
            "journal": sorted(os.listdir(journal)) if os.path.isdir(journal) else [],
        }
