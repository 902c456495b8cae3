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

    directory = host.paths.userdata
    placed = plan.config.cpus is not None or plan.config.cpus_soft is not None
    nodes = host.hypercalls.cpu_nodes() if placed else ()
    content = libxl_json(plan.config, plan.uuid, host.hypercalls.version(), nodes)
    target = userdata_path(directory, "d", domid, plan.uuid, CONFIG_NAME)
    new = userdata_path(directory, "n", domid, plan.uuid, CONFIG_NAME)
    try:
        with libxl_lock(userdata_path(directory, "l", domid, plan.uuid, LOCK_NAME)):
            with open(
                os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
            ) as file:
                file.write(content)
            os.rename(new, target)
    except OSError as exc:
        raise HostError(
            "save the config of domain", plan.config.name, f"{exc.strerror} ({target})", hint="is there room?"
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
