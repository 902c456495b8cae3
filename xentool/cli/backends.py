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
    from xentool.toolstack.libxl.library import Library
    from xentool.toolstack.port import Toolstack

    Say = Callable[[str], None]

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
        open_libxl: Callable[[Host, Say | None, int, Say | None], Toolstack],
    ) -> None:
        self.paths = paths
        self.lock_directory = lock_directory
        self._open_hypervisor = open_hypervisor
        self._open_store = open_store
        self._make_dom0 = make_dom0
        self._open_libxl = open_libxl
        self._host: Host | None = None
        self._toolstack: Toolstack | None = None
        self._chosen = "auto"
        self._say: Say | None = None
        self._warn: Say | None = None
        self._verbosity = 0

    def choose(
        self, toolstack: str, say: Say | None = None, verbosity: int = 1, warn: Say | None = None
    ) -> None:
        """Use "auto", "native" or "libxl" from here on; `say` is told which does what, and why, and by
        `verbosity` more or less of what libxl says; `warn`, what everybody should know."""
        self._chosen = toolstack
        self._say = say
        self._warn = warn
        self._verbosity = verbosity

    @property
    def host(self) -> Host:
        if self._host is None:
            from xentool.domain.host import Host

            self._host = Host(self._open_hypervisor, self._open_store, self.paths, self._make_dom0)
        return self._host

    @property
    def toolstack(self) -> Toolstack:
        """The one that was chosen. Whether this host has libxl shows when it is needed."""
        if self._toolstack is None:
            self._toolstack = self._open_toolstack()
        return self._toolstack

    def _open_toolstack(self) -> Toolstack:
        if self._chosen == "auto":
            from xentool.toolstack.choice import AutoToolstack

            return AutoToolstack(self.host, self._libxl, self._say)
        if self._say is not None:
            self._say(f"toolstack {self._chosen}: --toolstack or $XENTOOL_TOOLSTACK asks for it")
        if self._chosen == "libxl":
            return self._libxl()
        from xentool.toolstack.native import NativeToolstack

        return NativeToolstack(self.host)

    def _libxl(self) -> Toolstack:
        return self._open_libxl(self.host, self._say, self._verbosity, self._warn)

    @property
    def store(self) -> StoreClient:
        """The store: works without a hypervisor."""
        return self.host.store

    def collect(self) -> tuple[list[str], list[str]]:
        """Undo what killed creates left behind: what was taken away, and what could not be."""
        return self.toolstack.finish_undone()

    def close(self) -> None:
        if self._toolstack is not None:
            self._toolstack.close()
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

    def open_libxl(host: Host, say: Say | None, verbosity: int, warn: Say | None) -> Toolstack:
        from xentool.toolstack.libxl.toolstack import LibxlToolstack

        return LibxlToolstack(host, say=say, verbosity=verbosity, warn=warn)

    return Backend(Paths.of_host(), XEN_LOCK_DIRECTORY, open_hypervisor, open_store, make_dom0, open_libxl)


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

    def no_library(_release: tuple[int, int]) -> Library:
        from xentool.errors import NoLibxlError

        raise NoLibxlError(
            "use",
            "libxl",
            "the mock host has none: no library of Xen knows that it is there",
            hint="on the mock host native is all there is; --backend xen is this machine's own Xen",
        )

    def open_libxl(host: Host, say: Say | None, verbosity: int, warn: Say | None) -> Toolstack:
        from xentool.toolstack.libxl.toolstack import LibxlToolstack

        return LibxlToolstack(host, no_library, say=say, verbosity=verbosity, warn=warn)

    return Backend(Paths.under(directory), directory, open_hypervisor, open_store, make_dom0, open_libxl)
