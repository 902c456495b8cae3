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
    "EINVAL": "names have letters, digits and -/_@; paths 2,048 bytes at most, beside /local/domain/DOMID/",
}


def explained(client: StoreClient, error: StoreError) -> XentoolError:
    """`error`, with what the store says about the node that it names.

    No such node is a `NotFoundError` then; everything else stays what it is.
    """
    path = error.subject
    if isinstance(error, StoreGoneError) or not path:
        return error
    if error.errno_name == "ENOENT":
        if error.action == "set permissions of" and _is_there(client, path):
            found = NotFoundError(
                error.action,
                path,
                "there is no such domain as it is to belong to",
                hint="the first permission names the owner; `xentool list` shows the domains",
            )
        else:
            found = NotFoundError(error.action, path, "there is no such node", hint=_nearest(client, path))
        for note in getattr(error, "__notes__", ()):
            found.add_note(note)
        return found
    if not error.hint:
        error.hint = (
            _rights(client, path)
            if error.errno_name == "EACCES"
            else _hint(error.errno_name, error.action, path)
        )
    return error


def _hint(errno_name: str, action: str, path: str) -> str:
    if errno_name == "EINVAL" and path == "/" and action == "remove":
        return "the root itself stays; remove what is below it"
    return _HINTS.get(errno_name, "")


def _is_there(client: StoreClient, path: str) -> bool:
    try:
        return client.exists(path)
    except StoreError:
        return False


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
