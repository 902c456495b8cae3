"""Where a domain's nodes are, asked of the store alone: no hypervisor is needed to look at a store."""

from __future__ import annotations

from xentool.abi.xen import DOMID_FIRST_RESERVED
from xentool.errors import NotFoundError, StoreError
from xentool.units import DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.client import StoreClient

_DOMAINS = "/local/domain"


def domain_home(store: StoreClient, name_or_domid: str) -> str:
    """Where relative paths of a domain begin. Digits are a domid, whether it lives or not.

    A name counts only for domains that the daemon serves: what a dead domain left
    behind must not lead to another.

    Raises:
        NotFoundError: no served domain has that name, or several have.
    """
    if name_or_domid.isascii() and name_or_domid.isdigit():
        if len(name_or_domid) > 5 or int(name_or_domid) >= DOMID_FIRST_RESERVED:
            raise NotFoundError("find domain", name_or_domid, "no domain can have that number")
        return f"{_DOMAINS}/{int(name_or_domid)}"
    wanted = name_or_domid.encode("utf-8", "surrogateescape")
    domids = [name for name in _children_of_domains(store) if name.isdigit()]
    names = store.read_many([f"{_DOMAINS}/{domid}/name" for domid in domids])
    found = [
        domid
        for domid, name in zip(domids, names, strict=True)
        if wanted and name == wanted and _is_served(store, int(domid))
    ]
    if len(found) == 1:
        return f"{_DOMAINS}/{found[0]}"
    if found:
        raise NotFoundError(
            "find domain",
            name_or_domid,
            f"domains {' and '.join(found)} have that name",
            hint="name it by its domid",
        )
    raise NotFoundError(
        "find domain",
        name_or_domid,
        "no running domain has that name",
        hint="`xentool list` shows those there are",
    )


def _children_of_domains(store: StoreClient) -> list[str]:
    try:
        return store.directory(_DOMAINS)
    except StoreError as error:
        if error.errno_name == "ENOENT":  # a store in which no domain ever was
            return []
        raise


def own_home(store: StoreClient) -> str:
    """Where the relative paths of this very connection begin.

    Raises:
        StoreError: EINVAL, the domain's own `domid` is no number.
    """
    value = store.try_read("domid")
    if value is None:
        return f"{_DOMAINS}/0"
    if not (value.isdigit() and len(value) <= 5):
        raise StoreError("find this domain's node", "", "EINVAL", "its node `domid` has no number")
    return f"{_DOMAINS}/{int(value)}"


def _is_served(store: StoreClient, domid: int) -> bool:
    try:
        return domid == 0 or store.is_introduced(DomId(domid))
    except StoreError as error:
        if error.errno_name == "EACCES":  # a guest may not ask; it sees few names anyway
            return True
        raise
