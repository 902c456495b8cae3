"""A name and a uuid are one domain's alone: every create asks so first, under xl's lock, that it stays so."""

from __future__ import annotations

from xentool.errors import InUseError
from xentool.units import uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_taken(name: str, uuid: str, there: Iterable[tuple[int, str | None, bytes]]) -> None:
    """Refuse a name and a uuid that another domain has.

    `there` are the domains that there are: domid, name (None: it has none yet), and Xen's handle on it, the
    uuid's 16 bytes.

    Raises:
        InUseError: one of them belongs to another.
    """
    wanted = uuid_bytes(uuid)
    for domid, its_name, handle in there:
        if its_name == name:
            raise InUseError(
                "create domain",
                name,
                f"domain {domid} has that name",
                hint=f"choose another name (name=…), or `xentool destroy {domid}`",
            )
        if handle == wanted:
            raise InUseError(
                "create domain",
                name,
                f"domain {domid} has its uuid, {uuid}",
                hint="leave uuid out of the config to get a new one",
            )
