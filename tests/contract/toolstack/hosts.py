"""The hosts on which toolstacks are tried, and what a test needs there: configs, images, a bridge."""

from __future__ import annotations

import os
import subprocess
from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from xentool.toolstack.native import NativeToolstack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.mocked import MockedHost
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.toolstack.port import Toolstack
    from xentool.units import DomId

BRIDGE = "ctsbr0"
MEMORY_KIB = 8 << 10


class Place(Protocol):
    """A host, and the toolstack that is tried on it. `name` is the toolstack's and where it is tried."""

    name: str
    toolstack: Toolstack
    folder: Path

    def config(self, name: str, **keys: object) -> DomainConfig:
        """A small PV guest, which obeys a request to power off."""

    def state(self) -> dict[str, object]:
        """Everything that a domain or a device may leave behind."""

    def with_its_console_mapped(self, domid: DomId) -> AbstractContextManager[object]:
        """As xenconsoled has it: who is destroyed meanwhile stays, dying."""

    def close(self) -> None: ...


CONSOLE_GRANT = array("I", [0])
"""GNTTAB_RESERVED_CONSOLE of Xen's public/grant_table.h: what a domain's builder grants to Domain-0."""


def image(place: Place, name: str) -> str:
    """A raw disk image of a MiB."""
    path = place.folder / name
    path.write_bytes(bytes(1 << 20))
    return str(path)


class OnMock:
    """Native on the mock host."""

    name = "native-mock"

    def __init__(self, mocked: MockedHost, folder: Path) -> None:
        self._mocked = mocked
        self.folder = folder
        self.toolstack: Toolstack = NativeToolstack(mocked.host())
        mocked.dom0.links.add(BRIDGE, is_bridge=True)

    def config(self, name: str, **keys: object) -> DomainConfig:
        return self._mocked.config(name, memory_kib=MEMORY_KIB, **keys)

    def state(self) -> dict[str, object]:
        return self._mocked.state()

    def with_its_console_mapped(self, domid: DomId) -> AbstractContextManager[object]:
        return self._mocked.hypervisor.map_grants(domid, CONSOLE_GRANT)

    def close(self) -> None:
        self._mocked.dom0.links.delete(BRIDGE)


class OnXen:
    """A toolstack on this machine's Xen, as root."""

    def __init__(self, name: str, folder: Path) -> None:
        from xentool.cli.backends import open_backend

        self.name = name
        self.folder = folder
        self._backend = open_backend("xen")
        self._backend.choose(name.partition("-")[0])
        self.toolstack = self._backend.toolstack
        self._ip("link", "add", BRIDGE, "type", "bridge")
        self._ip("link", "set", BRIDGE, "up")

    @property
    def host(self) -> Host:
        return self._backend.host

    def config(self, name: str, **keys: object) -> DomainConfig:
        from xentool.domain.config.model import DomainConfig

        kernel = os.environ["XENTOOL_TINY_GUEST"]
        return DomainConfig(
            name=name,
            memory_kib=MEMORY_KIB,
            max_memory_kib=MEMORY_KIB,
            **{"kernel": kernel, **keys},  # type: ignore[arg-type]
        )

    def state(self) -> dict[str, object]:
        from tests.nested.dom0 import Dom0, host_state

        state = host_state(Dom0())
        nodes = state["store"]
        assert isinstance(nodes, list)
        # libxl leaves the folder of its QEMUs, as xl does.
        return {**state, "store": [node for node in nodes if node[0] != "/local/domain/0/device-model"]}

    @contextmanager
    def with_its_console_mapped(self, domid: DomId) -> Iterator[object]:
        from xentool.hypervisor.xen import XenHypervisor

        with XenHypervisor() as hypervisor, hypervisor.map_grants(domid, CONSOLE_GRANT) as mapping:
            yield mapping

    def close(self) -> None:
        self._ip("link", "delete", BRIDGE)
        self._backend.close()

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)
