"""Why the daemon refused, for a person: looked up only once it has refused."""

from __future__ import annotations

from xentool.errors import NotFoundError, StoreError, StoreGoneError, XentoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.client import StoreClient

_HINTS = {
    "EPERM": "only Domain-0 may do that",
    "EQUOTA": "the domain's quota is used up",
    "ENOSPC": "a quota is used up: nodes of the domain, entries of a node, or the size of a value",
    "E2BIG": "a message takes 4,096 bytes, path and value together",
    "EBUSY": "too many transactions are open; try again",
    "EINVAL": "names have letters, digits and -/_@; permissions are n, r, w or b and a domid",
}


def explained(client: StoreClient, error: StoreError) -> XentoolError:
    """`error`, with what the store says about the node that it names.

    No such node is a `NotFoundError` then; everything else stays what it is.
    """
    path = error.subject
    if isinstance(error, StoreGoneError) or not path:
        return error
    if error.errno_name == "ENOENT":
        found = NotFoundError(error.action, path, "there is no such node", hint=_nearest(client, path))
        for note in getattr(error, "__notes__", ()):
            found.add_note(note)
        return found
    if not error.hint:
        error.hint = (
            _rights(client, path) if error.errno_name == "EACCES" else _HINTS.get(error.errno_name, "")
        )
    return error


def _nearest(client: StoreClient, path: str) -> str:
    """A sentence on how much of the path there is, and what comes near to the rest."""
    above, missing = path, ""
    while above not in ("", "/"):
        above, _, missing = above.rpartition("/")
        above = above or ("/" if path.startswith("/") else "")
        if not above:
            return "relative paths begin at this domain's own; `xentool store ls .` shows what is there"
        try:
            names = client.directory(above)
        except StoreError:
            continue
        from difflib import get_close_matches

        near = get_close_matches(missing, names, n=1)
        likely = f"; did you mean {above.rstrip('/')}/{near[0]}?" if near else ""
        return f"the path ends at {above}, which has no {missing}{likely}"
    return ""


def _rights(client: StoreClient, path: str) -> str:
    try:
        permissions = client.get_perms(path)
    except StoreError:
        return "this domain may not even see who may; Domain-0 can"
    words = " ".join(map(str, permissions))
    return f"domain {permissions[0].domid} owns it, its permissions are {words}"
