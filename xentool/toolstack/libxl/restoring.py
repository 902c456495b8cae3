"""Making a domain of a file that holds a saved one, through libxl.

Source: libxl.h (libxl_domain_create_restore); tools/xl/xl_saverestore.c (main_restore).
"""

from __future__ import annotations

import os

from xentool.domain.config.userdata import config_from_userdata
from xentool.domain.uuids import new_uuid
from xentool.errors import ConfigError
from xentool.toolstack.libxl import savefile
from xentool.toolstack.libxl.creating import ANY_DOMID, make
from xentool.toolstack.libxl.struct import Struct
from xentool.toolstack.record import libxl_record
from xentool.units import uuid_bytes, uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.toolstack.libxl.context import Context
    from xentool.toolstack.libxl.savefile import SaveFile
    from xentool.units import DomId


def restore(
    host: Host,
    open_context: Callable[[], Context],
    path: str,
    config: DomainConfig | None = None,
    *,
    paused: bool = False,
    progress: Callable[[str], None] | None = None,
) -> DomId:
    """Make a domain of a file that `save` or ``xl save`` wrote, by its own config or by `config`.

    libxl is asked for when the file is known to be one of those: what is wrong with that comes first.

    Raises:
        ConfigError: the file is none that was saved, or not whole.
        XentoolError: it could not be restored; nothing of it is left, or the error's notes say what is.
    """
    descriptor = savefile.open_saved(path)
    try:
        saved = savefile.read_header(descriptor, path)
        if config is None:
            record = _record_in(saved, path)
        else:
            record = libxl_record(host, config, config.uuid or new_uuid())
        create_info = record["c_info"]
        assert isinstance(create_info, dict)
        name, uuid = str(create_info.get("name", "")), str(create_info.get("uuid", ""))
        context = open_context()
        function = context.library.function("libxl_domain_create_restore")
        with Struct(context, "domain_restore_params") as params:
            if saved.stream_version != 1:  # which is what libxl takes it for
                params.fill({"stream_version": saved.stream_version})

            def start(wanted: int, domid: object, how: object) -> int:
                return function(context.handle, wanted, domid, descriptor, -1, params.address, how, None)

            return make(
                host, context, record, name, uuid, start, action="restore domain", paused=paused,
                progress=progress,
            )  # fmt: skip
    finally:
        os.close(descriptor)


def _record_in(saved: SaveFile, path: str) -> dict[str, object]:
    """The record in a save file.

    Raises:
        ConfigError: there is none, or none that can be read.
    """
    if not saved.config or not saved.is_json:
        what = "a config in xl.cfg's words" if saved.config else "no config"
        raise ConfigError(
            "restore a domain from", path, f"there is {what} in it", hint="name a config file before it"
        )
    record = config_from_userdata(saved.config)
    create_info = record.get("c_info")
    if not isinstance(create_info, dict) or not _is_name(create_info.get("name")):
        raise ConfigError(
            "restore a domain from", path, "its config has no name", hint="name a config file before it"
        )
    create_info["uuid"] = _uuid_in(create_info, path)
    domid = create_info.get("domid", 0)
    if not isinstance(domid, int) or not 0 < domid < 0x7FF0:
        create_info["domid"] = ANY_DOMID
    return record


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _uuid_in(create_info: dict[str, object], path: str) -> str:
    """The uuid in a save file, as Xen says it; a new one if there is none.

    Raises:
        ConfigError: it is no uuid. The journal's files are called after it.
    """
    value = create_info.get("uuid") or new_uuid()
    digits = value.replace("-", "") if isinstance(value, str) else ""
    if len(digits) != 32 or not set(digits) <= set("0123456789abcdefABCDEF"):
        raise ConfigError(
            "restore a domain from",
            path,
            "its config has a uuid that is none",
            hint="take another copy of the file, or name a config file before it",
        )
    return uuid_text(uuid_bytes(digits))
