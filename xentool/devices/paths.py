"""Where a domain and its devices have their nodes in XenStore.

Source: docs/misc/xenstore-paths.pandoc.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.units import DomId


def domain_path(domid: DomId) -> str:
    return f"/local/domain/{domid}"


def libxl_path(domid: DomId) -> str:
    return f"/libxl/{domid}"


def backend_path(backend: DomId, kind: str, domid: DomId, devid: int) -> str:
    return f"{domain_path(backend)}/backend/{kind}/{domid}/{devid}"
