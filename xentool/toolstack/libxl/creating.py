"""Creating domains through libxl: one transaction, from libxl's record of a config to a running guest.

libxl undoes what it began when it fails, but not when it is aborted, and a process that is killed
undoes nothing. So the domain is known by its uuid from the start: whatever goes wrong, what has it is
destroyed, and a journal that was left tells the next command.

Source: libxl.h (libxl_domain_create_new), tools/xl/xl_vmcontrol.c (create_domain: the lock).
"""

from __future__ import annotations

from xentool.cfunctions import byref, c_uint32, c_uint64
from xentool.domain.journal import Journal
from xentool.domain.locks import xl_lock
from xentool.domain.taken import refuse_taken
from xentool.domain.uuids import new_uuid
from xentool.errors import NoMemoryError, XentoolError
from xentool.toolstack.libxl import domains
from xentool.toolstack.libxl.struct import Struct
from xentool.toolstack.record import libxl_record
from xentool.units import KIB, DomId, format_size, uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.domain.journal import Entry
    from xentool.toolstack.libxl.context import Context

    Start = Callable[[int, object, object], int]
    """Begins the making: is given the libxl_domain_config, where the domid goes, and the how."""

ANY_DOMID = 0xFFFFFFFF
"""INVALID_DOMID: before, any will do; afterwards, there is none."""


def understood(host: Host, context: Context, config: DomainConfig) -> dict[str, object]:
    """What libxl reads of a config: what `create` would give it. Nothing is made.

    Raises:
        ConfigError: this libxl does not know part of it.
    """
    with Struct(context, "domain_config") as wanted:
        wanted.fill(libxl_record(host, config, config.uuid or new_uuid()))
        return wanted.read()


def create(
    host: Host,
    context: Context,
    config: DomainConfig,
    *,
    paused: bool = False,
    progress: Callable[[str], None] | None = None,
) -> DomId:
    """Have libxl build the domain that `config` describes, and start it unless `paused`.

    Raises:
        XentoolError: it could not be built; nothing of it is left, or the error's notes say what is.
    """
    uuid = config.uuid or new_uuid()
    function = context.library.function("libxl_domain_create_new")

    def start(wanted: int, domid: object, how: object) -> int:
        return function(context.handle, wanted, domid, how, None)

    record = libxl_record(host, config, uuid)
    return make(host, context, record, config.name, uuid, start, paused=paused, progress=progress)


def make(
    host: Host,
    context: Context,
    record: Mapping[str, object],
    name: str,
    uuid: str,
    start: Start,
    *,
    action: str = "create domain",
    paused: bool,
    progress: Callable[[str], None] | None,
) -> DomId:
    """Have libxl make the domain of that record by `start`, as a transaction."""
    step = progress or (lambda _name: None)
    made = c_uint32(ANY_DOMID)
    with Journal(host.paths.run).begin(uuid) as entry:
        try:
            step("claiming name and memory")
            with Struct(context, "domain_config") as wanted, xl_lock(host.paths.lock):
                wanted.fill(record)
                refuse_taken(name, uuid, _there(context))
                _check_memory(context, wanted, name)
                entry.note("creating", name)
                step("libxl builds it")
                try:
                    context.run(
                        action,
                        name,
                        lambda how: start(wanted.address, byref(made), how),
                        progress=progress,
                    )
                    entry.note("domid", DomId(made.value))
                except BaseException as cause:
                    # Under the lock: the next who gets its uuid is another.
                    _undo(context, uuid, entry, cause)
                    raise
            domid = DomId(made.value)
            if not paused:
                step("starting it")
                domains.unpause(context, domid)
        except BaseException as cause:
            if "domid" in entry.facts:
                _undo(context, uuid, entry, cause)
            raise
    return domid


def _there(context: Context) -> list[tuple[int, str | None, bytes, bool]]:
    # All of libxl: a client of the store's own would cost more than its answers.
    found: list[tuple[int, str | None, bytes, bool]] = []
    for facts in domains.infos(context):
        view = domains.view_of(facts, None)
        name = domains.name_of(context, view.domid)
        found.append((view.domid, name, uuid_bytes(view.uuid), bool(facts.get("dying"))))
    return found


def _check_memory(context: Context, wanted: Struct, name: str) -> None:
    """Say early and in plain words what Xen would say late.

    libxl fills in the defaults of what it looks at, so it gets a copy.
    """
    need, free = c_uint64(), c_uint64()
    with Struct(context, "domain_config") as asked:
        asked.copy(wanted)
        context.call(
            "create domain",
            name,
            "libxl_domain_need_memory",
            asked.address,
            ANY_DOMID,
            byref(need),
        )
    context.call("ask for", "the host's free memory", "libxl_get_free_memory", byref(free))
    if free.value < need.value:
        raise NoMemoryError(
            "create domain",
            name,
            f"the host has {format_size(free.value * KIB)} free, and the domain needs "
            f"{format_size(need.value * KIB)}",
            hint="stop other domains, give Domain-0 less (`xl mem-set 0 …`), or lower memory = …",
        )


def _undo(context: Context, uuid: str, entry: Entry, cause: BaseException) -> None:
    """Destroy what there is of the domain; where that fails, the journal stays for the next command."""
    from xentool.domain.interruption import without_interruption

    noted = entry.facts.get("domid")
    try:
        with without_interruption():
            for facts in domains.infos(context):
                domid = facts.get("domid", 0)
                if facts.get("uuid") != uuid or not isinstance(domid, int) or facts.get("dying"):
                    continue
                if noted is None or domid == int(noted):  # else somebody destroyed ours, and made that one
                    domains.destroy(context, DomId(domid))
    except XentoolError as error:
        cause.add_note(f"and it could not be taken away again: {error}")
        cause.add_note("the next xentool command, or `xentool gc`, tries once more")
        entry.close(finished=False)
