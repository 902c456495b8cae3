"""An audit of a host: its domains, its store, and what the rules say of them."""

from __future__ import annotations

from xentool.store.snapshot import settled_tree
from xentool.toolstack.audit.facts import Facts, LiveDomain
from xentool.toolstack.audit.findings import NOTICE
from xentool.toolstack.audit.rules import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from xentool.store.client import StoreClient
    from xentool.toolstack.audit.findings import Finding
    from xentool.toolstack.port import Toolstack


class Report:
    """`findings`, the gravest first; of how many `nodes` and `domains`; `consistent`: all of one moment."""

    __slots__ = ("consistent", "domains", "findings", "nodes")

    def __init__(self, findings: list[Finding], nodes: int, domains: int, *, consistent: bool) -> None:
        self.findings = findings
        self.nodes = nodes
        self.domains = domains
        self.consistent = consistent

    @property
    def clean(self) -> bool:
        """Whether there is nothing but notices."""
        return all(finding.severity == NOTICE for finding in self.findings)


def audit(
    toolstack: Toolstack, store: StoreClient, *, domid: int | None = None, ignore: Collection[str] = ()
) -> Report:
    """Look at the whole store; report what concerns domain `domid`, or everything.

    The domains are asked for before and after the store is read: those that came
    or went in between are left in peace.

    Raises:
        XentoolError: the hypervisor or the store cannot be asked.
    """
    before = {view.domid for view in toolstack.domains()}
    snapshot = settled_tree(store, "/")
    views = toolstack.domains()
    changing = before.symmetric_difference(view.domid for view in views)
    live = [LiveDomain(view.domid, view.uuid, dying=view.state[5:6] == "d") for view in views]
    found = check(Facts(snapshot.nodes, live, sorted(changing)), ignore=ignore)
    if domid is not None:
        found = [finding for finding in found if domid in finding.domids]
    return Report(found, len(snapshot.nodes), len(live), consistent=snapshot.consistent)
