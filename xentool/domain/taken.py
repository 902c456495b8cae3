"""A name and a uuid are one domain's alone: every create asks so first, under xl's lock, that it stays so."""

from __future__ import annotations

from xentool.errors import InUseError
from xentool.units import uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_taken(name: str, uuid: str, there: Iterable[tuple[int, str | None, bytes, bool]]) -> None:
    """Refuse a name and a uuid that another domain has.

    `there` are the domains that there are: domid, name (None: it has none yet, or none any more), Xen's
    handle on it, which is the uuid's 16 bytes, and whether it dies.

    A domain that dies and has no name any more is destroyed: of it there is what Xen keeps until the last
    mapping of its pages goes, which may be a while. Who saved it may restore it meanwhile.

    Raises:
        InUseError: one of them belongs to another.
    """
    wanted = uuid_bytes(uuid)
    for domid, its_name, handle, dying in there:
        if its_name == name:
            raise InUseError(
                "create domain",
                name,
                f"domain {domid} has that name",
                hint=f"choose another name (name=…), or `xentool destroy {domid}`",
            )
        if handle == wanted and not (dying and its_name is None):
            raise InUseError(
                "create domain",
                name,
                f"domain {domid} has its uuid, {uuid}",
                hint="leave uuid out of the config to get a new one"
                if its_name is not None
                else "it has no name: it is being made or destroyed, or that was cut off; "
                f"`xentool destroy {domid}` ends it",
            )
