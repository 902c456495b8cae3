"""Which domain has which name.

A name is a store node, and nodes outlive domains when something goes wrong:
a stale ``/local/domain/1/name`` must not lead to a domain 1 that is another.
So names are looked up for the domains that the hypervisor has, and no others.
"""

from __future__ import annotations

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
    domid = number_of(name_or_domid)
    if domid is not None:
        host.hypercalls.domain_info(domid)  # raises NotFoundError
        return domid
    return named(host.store, name_or_domid, [info.domid for info in host.hypercalls.domain_infos()])


def named(store: StoreClient, name: str, domids: Sequence[int]) -> DomId:
    """The one of `domids` that has that name.

    Raises:
        NotFoundError: none has.
    """
    for domid, known in names_of(store, domids).items():
        if known == name:
            return domid
    raise _nobody(name)


def resolve_introduced(host: Host, name_or_domid: str) -> tuple[DomId, str]:
    """The domain of that name or number, and its uuid, as the store alone knows them.

    No hypercall, so nothing to load for one: a domain that the store's daemon serves is alive, and
    its name and its ``vm`` are not its own to write. One that was never introduced to the store can
    have no devices either.

    Raises:
        NotFoundError: there is none.
    """
    domid, (place,) = find_introduced(host, name_or_domid, ["/local/domain/{}/vm"])
    return domid, uuid_of(place)


def uuid_of(place: bytes | None) -> str:
    """The uuid in a domain's ``vm`` node."""
    return (place or b"").decode("ascii", "replace").removeprefix("/vm/")


def find_introduced(host: Host, name_or_domid: str, nodes: Sequence[str]) -> tuple[DomId, list[bytes | None]]:
    """As `resolve_introduced`, and the values of the domain's `nodes`, where {} stands for its number.

    Raises:
        NotFoundError: there is none.
    """
    store = host.store
    domid = number_of(name_or_domid)
    found = [domid]
    if domid is None:
        listed = [int(child) for child in store.directory("/local/domain") if child.isdigit()]
        found = [each for each, name in names_of(store, listed).items() if name == name_or_domid]
    for candidate in found:
        if candidate is not None and store.is_introduced(candidate):
            return candidate, store.read_many([node.format(candidate) for node in nodes])
    if domid is not None:
        raise NotFoundError(
            "find domain",
            name_or_domid,
            "there is no such domain",
            hint="`xentool list` shows those there are",
        )
    raise _nobody(name_or_domid)


def number_of(text: str) -> DomId | None:
    """The domid that `text` writes; None if it is a name.

    Raises:
        NotFoundError: no domain can have that number.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 4:
        from xentool.abi.xen import DOMID_FIRST_RESERVED

        if len(text) > 5 or int(text) >= DOMID_FIRST_RESERVED:
            raise NotFoundError("find domain", text, "no domain can have that number")
    return DomId(int(text))


def _nobody(name: str) -> NotFoundError:
    return NotFoundError(
        "find domain",
        name,
        "no running domain has that name",
        hint="`xentool list` shows those there are",
    )
