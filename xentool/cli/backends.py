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
        connect: Callable[[], tuple[Hypervisor, StoreClient]],
        connect_store: Callable[[], StoreClient] | None = None,
        *,
        make_dom0: Callable[[], Dom0],
    ) -> None:
        self.paths = paths
        self.lock_directory = lock_directory
        self._connect = connect
        self._connect_store = connect_store
        self._make_dom0 = make_dom0
        self._store: StoreClient | None = None
        self._open: tuple[Hypervisor, StoreClient] | None = None
        self._toolstack: Toolstack | None = None

    @property
    def toolstack(self) -> Toolstack:
        if self._toolstack is None:
            from xentool.domain.host import Host
            from xentool.toolstack.native import NativeToolstack

            self._open = self._connect()
            self._toolstack = NativeToolstack(Host(*self._open, self.paths, self._make_dom0()))
        return self._toolstack

    @property
    def store(self) -> StoreClient:
        """The store alone, on a connection of its own: works without a hypervisor."""
        if self._store is None:
            if self._connect_store is not None:
                self._store = self._connect_store()
            else:
                from xentool.store.client import StoreClient

                self._store = StoreClient()
        return self._store

    @property
    def planner(self) -> Toolstack:
        """A toolstack that can plan and nothing else: connected to nothing, it works without any Xen."""
        from xentool.domain.host import Host
        from xentool.toolstack.native import NativeToolstack

        return NativeToolstack(Host(None, None, self.paths, self._make_dom0()))  # type: ignore[arg-type]

    def collect(self) -> tuple[list[str], list[str]]:
        """Undo what killed creates left behind: what was taken away, and what could not be."""
        return self.toolstack.finish_undone()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._open is not None:
            hypervisor, store = self._open
            self._open = self._toolstack = None
            store.close()
            hypervisor.close()

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

    def connect() -> tuple[Hypervisor, StoreClient]:
        from xentool.hypervisor.xen import XenHypervisor
        from xentool.store.client import StoreClient

        hypervisor = XenHypervisor()
        try:
            return hypervisor, StoreClient()
        except BaseException:
            hypervisor.close()
            raise

    def make_dom0() -> Dom0:
        from xentool.dom0.linux import LinuxDom0

        return LinuxDom0()  # type: ignore[return-value]

    return Backend(Paths.of_host(), XEN_LOCK_DIRECTORY, connect, make_dom0=make_dom0)


def _mock() -> Backend:
    from xentool.domain.paths import Paths
    from xentool.mockhost.life import default_directory

    directory = default_directory()

    def connect() -> tuple[Hypervisor, StoreClient]:
        from xentool.mockhost.life import attach, store_socket
        from xentool.store.client import StoreClient

        hypervisor = attach(directory)
        try:
            return hypervisor, StoreClient(store_socket(directory))
        except BaseException:
            hypervisor.close()
            raise

    def connect_store() -> StoreClient:
        from xentool.mockhost.life import ensure_running, store_socket
        from xentool.store.client import StoreClient

        return StoreClient(store_socket(ensure_running(directory)))

    def make_dom0() -> Dom0:
        from xentool.mockhost.dom0 import MockDom0

        return MockDom0(directory)  # type: ignore[return-value]

    return Backend(Paths.under(directory), directory, connect, connect_store, make_dom0=make_dom0)
