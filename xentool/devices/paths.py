"""Where a domain and its devices have their nodes in XenStore, and where Xen's hotplug scripts are.

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


def is_number(text: str) -> bool:
    """Whether it is a domid or device number as XenStore has them: decimal, canonical, not absurd."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and (text == "0" or text[0] != "0")


SCRIPTS = "/etc/xen/scripts"


def script_path(script: str) -> str:
    """A hotplug script's full path: a bare name is one of Xen's folder (libxl__abs_path)."""
    return script if script.startswith("/") else f"{SCRIPTS}/{script}"
