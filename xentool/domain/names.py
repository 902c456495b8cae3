"""Which domain has which name.

A name is a store node, and nodes outlive domains when something goes wrong:
a stale ``/local/domain/1/name`` must not lead to a domain 1 that is another.
So names are looked up for the domains that the hypervisor has, and no others.
"""

from __future__ import annotations

from xentool.abi.xen import DOMID_FIRST_RESERVED
from xentool.errors import NotFoundError
from xentool.units import DomId

MANY = 48
"""Domains from which on the store is asked over several connections: to open them costs time, too."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.host import Host
    from xentool.store.client import StoreClient


def names_of(store: StoreClient, domids: Sequence[int]) -> dict[DomId, str]:
    """The names of those of `domids` that have one, read in one go."""
    paths = [f"/local/domain/{domid}/name" for domid in domids]
    if len(paths) < MANY:
        values = store.read_many(paths)
    else:
        from xentool.store.wide import read_widely

        values = read_widely(store, paths)
    return {
        DomId(domid): value.decode("utf-8", "replace")
        for domid, value in zip(domids, values, strict=True)
        if value is not None
    }


def resolve(host: Host, name_or_domid: str) -> DomId:
    """The domain of that name or number; digits are a domid, as in xl.

    Raises:
        NotFoundError: there is none.
    """
    if name_or_domid.isascii() and name_or_domid.isdigit():
        if len(name_or_domid) > 5 or int(name_or_domid) >= DOMID_FIRST_RESERVED:
            raise NotFoundError("find domain", name_or_domid, "no domain can have that number")
        domid = DomId(int(name_or_domid))
        host.hypercalls.domain_info(domid)  # raises NotFoundError
        return domid
    names = names_of(host.store, [info.domid for info in host.hypercalls.domain_infos()])
    for domid, name in names.items():
        if name == name_or_domid:
            return domid
    raise NotFoundError(
        "find domain",
        name_or_domid,
        "no running domain has that name",
        hint="`xentool list` shows those there are",
    )
