"""A host, as the code that runs domains sees it: hypervisor, store, Domain-0's own system, paths."""

from __future__ import annotations

from xentool.hypervisor.calls import Hypercalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.dom0.port import Dom0
    from xentool.domain.paths import Paths
    from xentool.hypervisor.port import Hypervisor
    from xentool.store.client import StoreClient


class Host:
    """What stands behind every operation on domains. The parts are opened and closed by whoever made them."""

    __slots__ = ("dom0", "hypercalls", "hypervisor", "paths", "store")

    def __init__(self, hypervisor: Hypervisor, store: StoreClient, paths: Paths, dom0: Dom0) -> None:
        self.dom0 = dom0
        self.hypervisor = hypervisor
        self.hypercalls = Hypercalls(hypervisor)
        self.store = store
        self.paths = paths

    @property
    def run_directory(self) -> str:
        return self.paths.run
