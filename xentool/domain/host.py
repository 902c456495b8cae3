"""A host, as the code that runs domains sees it: hypervisor, store, Domain-0's own system, paths."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.dom0.port import Dom0
    from xentool.domain.paths import Paths
    from xentool.hypervisor.calls import Hypercalls
    from xentool.hypervisor.port import Hypervisor
    from xentool.store.client import StoreClient


class Host:
    """What stands behind every operation on domains.

    Its parts are opened when they are first needed: what only concerns devices needs no
    hypercall, and the libraries for one take longer to load than a disk takes to plug. `close` closes
    what was opened.
    """

    __slots__ = (
        "_dom0", "_hypercalls", "_hypervisor", "_make_dom0", "_open_hypervisor", "_open_store", "_store",
        "paths",
    )  # fmt: skip

    def __init__(
        self,
        open_hypervisor: Callable[[], Hypervisor],
        open_store: Callable[[], StoreClient],
        paths: Paths,
        make_dom0: Callable[[], Dom0],
    ) -> None:
        self._open_hypervisor = open_hypervisor
        self._open_store = open_store
        self._hypervisor: Hypervisor | None = None
        self._hypercalls: Hypercalls | None = None
        self._store: StoreClient | None = None
        self._make_dom0 = make_dom0
        self._dom0: Dom0 | None = None
        self.paths = paths

    @property
    def hypervisor(self) -> Hypervisor:
        if self._hypervisor is None:
            self._hypervisor = self._open_hypervisor()
        return self._hypervisor

    @property
    def hypercalls(self) -> Hypercalls:
        if self._hypercalls is None:
            from xentool.hypervisor.calls import Hypercalls

            self._hypercalls = Hypercalls(self.hypervisor)
        return self._hypercalls

    @property
    def release(self) -> tuple[int, int]:
        """The release of Xen that runs, as (4, 17): Linux knows it, and is quicker to ask than Xen."""
        try:
            found = []
            for name in ("major", "minor"):
                with open(f"{self.paths.xen_release}/{name}", "rb", 0) as file:
                    found.append(int(file.read(16)))
        except (OSError, ValueError):
            return self.hypercalls.version()
        return found[0], found[1]

    @property
    def store(self) -> StoreClient:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    @property
    def dom0(self) -> Dom0:
        if self._dom0 is None:
            self._dom0 = self._make_dom0()
        return self._dom0

    @property
    def run_directory(self) -> str:
        return self.paths.run

    def close(self) -> None:
        opened = (self._store, self._hypervisor)
        self._store = self._hypervisor = self._hypercalls = None
        for part in opened:
            if part is not None:
                part.close()
