"""A domain's config as libxl has it, and what is kept beside it.

Source: libxl.h (libxl_retrieve_domain_configuration, libxl_userdata_*).
"""

from __future__ import annotations

from xentool.cfunctions import byref, c_int, c_void_p, string_at
from xentool.toolstack.libxl import domains
from xentool.toolstack.libxl.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.toolstack.libxl.context import Context
    from xentool.units import DomId

XL_CONFIG = "xl"
"""The userdata in which xl keeps the config's text: what it reads when the guest restarts."""


def config_of(context: Context, domid: DomId) -> dict[str, object]:
    """The domain's config as it is now (libxl_domain_config): as it was created, and what changed since.

    Raises:
        NotFoundError: there is no such domain.
    """
    domains.info(context, domid)
    function = context.library.function("libxl_retrieve_domain_configuration")
    with Struct(context, "domain_config") as found:
        context.run(
            "read the config of domain",
            domid,
            lambda how: function(context.handle, domid, found.address, how),
            hint="it was made by no toolstack",
        )
        return found.read()


def read_userdata(context: Context, domid: DomId, name: str) -> bytes:
    """What toolstacks keep of a domain by that name; b"" if they keep nothing."""
    data, size = c_void_p(), c_int()
    domains.info(context, domid)
    context.call(
        f"read the userdata '{name}' of domain",
        domid,
        "libxl_userdata_retrieve",
        domid,
        name.encode(),
        byref(data),
        byref(size),
    )
    if not data.value:
        return b""
    try:
        return string_at(data.value, size.value)
    finally:
        context.library.function("free")(data)


def write_userdata(context: Context, domid: DomId, name: str, content: bytes) -> None:
    """Keep that of the domain, in the place of what was kept by the name; `update_config` of ``xl``."""
    domains.info(context, domid)
    context.call(
        f"keep the userdata '{name}' of domain",
        domid,
        "libxl_userdata_store",
        domid,
        name.encode(),
        content,
        len(content),
    )
