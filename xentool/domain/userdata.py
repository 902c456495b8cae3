"""libxl's files about a domain: what every toolstack on the host reads and writes.

``/var/lib/xen/userdata-d.DOMID.UUID.libxl-json`` is the domain's config as
libxl knows it. It is written whole or not at all, under the domain's lock.
"""

from __future__ import annotations

import os

from xentool.domain.locks import libxl_lock
from xentool.errors import HostError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.domain.host import Host
    from xentool.domain.plan import Plan
    from xentool.units import DomId

CONFIG_NAME = "libxl-json"
LOCK_NAME = "domain-userdata-lock"


def userdata_path(directory: str, kind: str, domid: DomId, uuid: str, name: str) -> str:
    """libxl's name for a file about a domain; `kind` is ``d`` for data, ``n`` for new, ``l`` for a lock."""
    return f"{directory}/userdata-{kind}.{domid}.{uuid}.{name}"


def save(host: Host, plan: Plan, domid: DomId) -> None:
    """Keep the domain's config where libxl looks for it.

    Raises:
        HostError: it cannot be written.
    """
    from xentool.domain.config.userdata import libxl_json

    placed = plan.config.cpus is not None or plan.config.cpus_soft is not None
    nodes = host.hypercalls.cpu_nodes() if placed else ()
    content = libxl_json(plan.config, plan.uuid, host.hypercalls.version(), nodes)
    with locked(host, domid, plan.uuid):
        _write(host, domid, plan.uuid, content)


class locked:  # noqa: N801 - a function to its users
    """Hold, as a context, libxl's lock on a domain's files, which it also holds while devices come and go.

    Raises:
        HostError: it cannot be taken.
    """

    __slots__ = ("_domid", "_lock", "_path")

    def __init__(self, host: Host, domid: DomId, uuid: str) -> None:
        self._path = userdata_path(host.paths.userdata, "l", domid, uuid, LOCK_NAME)
        self._domid = domid
        self._lock = libxl_lock(self._path)

    def __enter__(self) -> None:
        try:
            self._lock.__enter__()
        except OSError as exc:
            raise HostError(
                "lock the files of domain",
                self._domid,
                f"{exc.strerror} ({self._path})",
                hint="are you root?",
            ) from exc

    def __exit__(self, *what: object) -> None:
        self._lock.__exit__(*what)


def amend(host: Host, domid: DomId, uuid: str, change: Callable[[bytes], bytes]) -> None:
    """Write the config anew as `change` makes it; under `locked`. A domain of which none is kept stays so.

    Raises:
        HostError: it cannot be read or written.
    """
    try:
        record = load(host, domid, uuid)
    except NotFoundError:
        return
    _write(host, domid, uuid, change(record))


def _write(host: Host, domid: DomId, uuid: str, content: bytes) -> None:
    directory = host.paths.userdata
    target = userdata_path(directory, "d", domid, uuid, CONFIG_NAME)
    new = userdata_path(directory, "n", domid, uuid, CONFIG_NAME)
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
        os.rename(new, target)
    except OSError as exc:
        raise HostError(
            "save the config of domain", domid, f"{exc.strerror} ({target})", hint="is there room?"
        ) from exc


def load(host: Host, domid: DomId, uuid: str) -> bytes:
    """The domain's config as libxl's JSON.

    Raises:
        NotFoundError: no toolstack has kept one.
    """
    path = userdata_path(host.paths.userdata, "d", domid, uuid, CONFIG_NAME)
    try:
        with open(path, "rb") as file:
            return file.read().rstrip(b"\0")
    except FileNotFoundError as exc:
        raise NotFoundError(
            "read the config of domain", domid, f"there is none at {path}", hint="it was made by no toolstack"
        ) from exc
    except OSError as exc:
        raise HostError("read the config of domain", domid, f"{exc.strerror} ({path})") from exc
