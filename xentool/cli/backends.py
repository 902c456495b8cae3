"""The composition root: the one place that names concrete hypervisors, stores and toolstacks.

Everything is imported where it is opened: a command on real Xen never loads the
mock, and the other way round.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from xentool.dom0.port import Dom0
    from xentool.domain.host import Host
    from xentool.domain.paths import Paths
    from xentool.hypervisor.port import Hypervisor
    from xentool.store.client import StoreClient
    from xentool.toolstack.port import Toolstack

XEN_LOCK_DIRECTORY = "/var/lock"
"""Where Xen's tools keep their locks (XEN_LOCK_DIR, as Debian configures it)."""


class Backend:
    """A host to work on. It is connected to when it is first needed, and let go with `close`."""

    def __init__(
        self,
        paths: Paths,
        lock_directory: str,
        open_hypervisor: Callable[[], Hypervisor],
        open_store: Callable[[], StoreClient],
        make_dom0: Callable[[], Dom0],
    ) -> None:
        self.paths = paths
        self.lock_directory = lock_directory
        self._open_hypervisor = open_hypervisor
        self._open_store = open_store
        self._make_dom0 = make_dom0
        self._host: Host | None = None
        self._toolstack: Toolstack | None = None

    @property
    def host(self) -> Host:
        if self._host is None:
            from xentool.domain.host import Host

            self._host = Host(self._open_hypervisor, self._open_store, self.paths, self._make_dom0)
        return self._host

    @property
    def toolstack(self) -> Toolstack:
        if self._toolstack is None:
            from xentool.toolstack.native import NativeToolstack

            self._toolstack = NativeToolstack(self.host)
        return self._toolstack

    @property
    def store(self) -> StoreClient:
        """The store: works without a hypervisor."""
        return self.host.store

    def collect(self) -> tuple[list[str], list[str]]:
        """Undo what killed creates left behind: what was taken away, and what could not be."""
        return self.toolstack.finish_undone()

    def close(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = self._toolstack = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_backend(name: str) -> Backend:
    """The backend called ``"xen"``, ``"mock"`` or ``"auto"`` (which is xen)."""
    return _mock() if name == "mock" else _xen()


def _xen() -> Backend:
    from xentool.domain.paths import Paths

    def open_hypervisor() -> Hypervisor:
        from xentool.hypervisor.xen import XenHypervisor

        return XenHypervisor()

    def open_store() -> StoreClient:
        from xentool.store.client import StoreClient

        return StoreClient()

    def make_dom0() -> Dom0:
        from xentool.dom0.linux import LinuxDom0

        return LinuxDom0()

    return Backend(Paths.of_host(), XEN_LOCK_DIRECTORY, open_hypervisor, open_store, make_dom0)


def _mock() -> Backend:
    from xentool.domain.paths import Paths
    from xentool.mockhost.life import default_directory

    directory = default_directory()

    def open_hypervisor() -> Hypervisor:
        from xentool.mockhost.life import attach

        return attach(directory)

    def open_store() -> StoreClient:
        from xentool.mockhost.life import ensure_running, store_socket
        from xentool.store.client import StoreClient

        return StoreClient(store_socket(ensure_running(directory)))

    def make_dom0() -> Dom0:
        from xentool.mockhost.dom0 import MockDom0

        return MockDom0(directory)

    return Backend(Paths.under(directory), directory, open_hypervisor, open_store, make_dom0)
