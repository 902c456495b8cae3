"""A host, as the code that builds and stops domains sees it: hypervisor, store, paths."""

from __future__ import annotations

from xentool.hypervisor.calls import Hypercalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.paths import Paths
    from xentool.hypervisor.port import Hypervisor
    from xentool.store.client import StoreClient


class Host:
    """What stands behind every operation on domains. The parts are opened and closed by whoever made them."""

    __slots__ = ("hypercalls", "hypervisor", "paths", "store")

    def __init__(self, hypervisor: Hypervisor, store: StoreClient, paths: Paths) -> None:
        self.hypervisor = hypervisor
        self.hypercalls = Hypercalls(hypervisor)
        self.store = store
        self.paths = paths
