"""Devices through libxl: all kinds by one set of functions, each device as libxl's JSON has it.

libxl keeps its record of the domain (``libxl-json``) up to date by itself as devices come and go.

Source: libxl.h (Devices).
"""

from __future__ import annotations

from xentool.errors import HostError, NotFoundError
from xentool.toolstack.libxl import domains
from xentool.toolstack.libxl.codes import FAIL
from xentool.toolstack.libxl.kinds import kind_of
from xentool.toolstack.libxl.log import ERROR
from xentool.toolstack.libxl.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.toolstack.libxl.context import Context
    from xentool.toolstack.libxl.kinds import Kind
    from xentool.units import DomId

    Device = Mapping[str, object]


def listed(context: Context, domid: DomId, name: str) -> list[dict[str, object]]:
    """The domain's devices of that kind, each as libxl_device_KIND's JSON has it.

    Where there are none libxl returns no array, and so it does where it cannot read them: then it says why.

    Raises:
        NotFoundError: there is no such domain.
        HostError: this libxl lists none of that kind.
        XentoolError: libxl could not read them.
    """
    kind = kind_of(name)
    domains.info(context, domid)
    _need(context, kind, "list")
    with context.said() as said:
        found = context.array(kind.struct, kind.function("list"), domid)
        if found is None and any(line.level >= ERROR for line in said.lines):
            raise said.failure(f"list {kind.name} devices of domain", domid, FAIL)
    return found or []


def find(context: Context, domid: DomId, name: str, wanted: Device) -> dict[str, object]:
    """The domain's device that `wanted` names by one of its kind's keys.

    Raises:
        NotFoundError: there is none; says which there are.
    """
    kind = kind_of(name)
    there = listed(context, domid, name)
    for device in there:
        if kind.is_it(device, wanted):
            return device
    titles = ", ".join(_title(kind, device) for device in there)
    raise NotFoundError(
        f"find {kind.name}",
        _title(kind, wanted),
        f"domain {domid} has none like it" + (f": it has {titles}" if titles else ", nor any other"),
    )


def details(context: Context, domid: DomId, name: str, device: Device) -> dict[str, object]:
    """The live figures of a device (libxl_KINDinfo): backend, state, event channel, rings.

    Raises:
        HostError: libxl has none for that kind.
        NotFoundError: there is no such device.
    """
    kind = kind_of(name)
    if not kind.info:
        raise HostError("look at", f"a {kind.name}", "libxl tells no more of such devices than its list does")
    with Struct(context, kind.struct) as which, Struct(context, kind.info) as told:
        which.fill(find(context, domid, name, device))
        context.call(
            f"look at {kind.name} of domain",
            domid,
            kind.function("getinfo"),
            domid,
            which.address,
            told.address,
        )
        return told.read()


def add(context: Context, domid: DomId, name: str, device: Device) -> dict[str, object]:
    """Give the domain a device; what libxl made of it: its number, its backend, … filled in.

    Raises:
        ConfigError: libxl does not know part of what it is given.
        XentoolError: it could not be added.
    """
    kind = kind_of(name)
    domains.info(context, domid)
    _need(context, kind, "add")
    function = context.library.function(kind.function("add"))
    with Struct(context, kind.struct) as wanted:
        wanted.fill(device)
        context.run(
            f"attach {kind.name} to domain",
            domid,
            lambda how: function(context.handle, domid, wanted.address, how),
        )
        return wanted.read()


def remove(context: Context, domid: DomId, name: str, device: Device, *, force: bool = False) -> None:
    """Take a device away. The guest is asked first, unless by `force`.

    A guest that does not let go of a disk within 10 s keeps it, where libxl can leave it so
    (libxl_device_disk_safe_remove); any other device libxl then takes without asking.

    Raises:
        TimedOutError: the guest keeps the disk.
    """
    kind = kind_of(name)
    if force:
        verb = "destroy"
    elif kind.name == "disk" and kind.can(context.library, "safe_remove"):
        verb = "safe_remove"
    else:
        verb = "remove"
    _need(context, kind, verb)
    function = context.library.function(kind.function(verb))
    with Struct(context, kind.struct) as wanted:
        wanted.fill(find(context, domid, name, device) if kind.can(context.library, "list") else device)
        context.run(
            f"detach {kind.name} {_title(kind, device)} of domain",
            domid,
            lambda how: function(context.handle, domid, wanted.address, how),
            hint="by force (-f / --force) it goes without the guest's leave",
        )


def insert_cd(context: Context, domid: DomId, disk: Device) -> None:
    """Put the medium of `disk` into the HVM guest's drive of the same ``vdev``."""
    function = context.library.function("libxl_cdrom_insert")
    with Struct(context, "device_disk") as wanted:
        wanted.fill(disk)
        context.run(
            "change the CD-ROM of domain",
            domid,
            lambda how: function(context.handle, domid, wanted.address, how),
        )


def _title(kind: Kind, device: Device) -> str:
    for keys in kind.keys:
        if any(key in device for key in keys):
            return ":".join(str(device.get(key, 0)) for key in keys)
    return "0"


def _need(context: Context, kind: Kind, verb: str) -> None:
    if not kind.can(context.library, verb):
        raise HostError(
            f"{verb.replace('_', ' ')}",
            f"a {kind.name}",
            f"{context.library.title} cannot: it has no {kind.function(verb)}",
            hint="such devices are set up as their domain is created",
        )
