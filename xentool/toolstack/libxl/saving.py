"""Saving a domain into a file, through libxl.

Source: libxl.h (libxl_domain_suspend, _resume); tools/xl/xl_saverestore.c (save_domain).
"""

from __future__ import annotations

from xentool.domain.interruption import without_interruption
from xentool.domain.journal import Journal, quoted
from xentool.domain.suspension import SUSPENDS_WITHIN, Requests, is_suspended
from xentool.errors import UsageError, XentoolError
from xentool.toolstack.libxl import domains, jsontext, savefile
from xentool.toolstack.libxl.configs import config_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.domain.host import Host
    from xentool.domain.journal import Entry
    from xentool.toolstack.libxl.context import Context
    from xentool.units import DomId

AFTER = ("destroy", "run", "pause")
SYNC_FILE_RANGE_WRITE = 2
"""sync_file_range(2): begin to write, and wait for nothing."""
COOPERATIVE = 1
"""A guest that suspended of its own accord resumes where it was (libxl_domain_resume's suspend_cancel)."""


def save(
    host: Host,
    context: Context,
    domid: DomId,
    path: str,
    *,
    after: str = "destroy",
    config: bytes | None = None,
    sync: bool = True,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Save the domain into a file. The file is whole or not there; where saving fails, the guest runs on.

    `config` is kept in the place of the domain's own: libxl's JSON. The guest ends when the disk has the
    file; unless `sync`, when the kernel has it.

    Raises:
        UsageError: `after` is none of `AFTER`.
        HostError: the file cannot be written.
        TimedOutError: the guest does not suspend.
    """
    if after not in AFTER:
        raise UsageError("save domain", domid, f"'{after}' is none of {', '.join(AFTER)}")
    domains.refuse_domain0("save", domid)
    step = progress or (lambda _name: None)
    uuid = str(domains.info(context, domid).get("uuid", ""))
    kept = _config_to_keep(context, domid) if config is None else _json(config)
    suspend = context.library.function("libxl_domain_suspend")
    to_disk = context.library.function("sync_file_range")
    # A journal: who is killed here leaves a part of a file, and a guest that is suspended.
    with (
        Journal(host.paths.run).begin(uuid) as entry,
        savefile.NewFile(path, sync=sync) as file,
        Requests(host.store, domid) as requests,
    ):
        entry.note("part", quoted(file.part))
        entry.note("save", f"{domid} {after}")

        def told(what: str) -> None:
            if sync:
                # What is written goes to the disk at once, so that the end has not to wait for all of it.
                to_disk(file.descriptor, 0, 0, SYNC_FILE_RANGE_WRITE)
            step(what)

        file.write(savefile.header_of(kept))
        step("saving its memory")
        whole = ended = False
        try:
            context.run(
                "save domain",
                domid,
                lambda how: suspend(context.handle, domid, file.descriptor, 0, how),
                progress=told,
                sheltered=True,  # so that libxl ends its helper, which then undoes what it did
            )
            file.settle()
            # Either there is no file and the guest runs on, or there is one and the guest is as it was to be
            # left: one that runs on beside its file would change the disks that the file counts on.
            with without_interruption():
                entry.note("named", quoted(path))
                file.keep()
                whole = True
                _leave(context, domid, after)
                ended = True
        except BaseException as cause:
            if whole:
                cause.add_note(f"the domain is saved, whole, in {path}")
                if not ended:
                    _leave_to_the_next(entry, cause)
            else:
                _go_on(host, context, domid, entry, requests, cause)
            raise


def _leave(context: Context, domid: DomId, after: str) -> None:
    """Do with the suspended guest what is to be done once it is saved."""
    if after == "destroy":
        domains.destroy(context, domid)
        return
    try:
        if after == "pause":
            domains.pause(context, domid)
    finally:
        resume(context, domid)


def _go_on(
    host: Host, context: Context, domid: DomId, entry: Entry, requests: Requests, cause: BaseException
) -> None:
    """Have a guest that could not be saved run on: also one that was just asked to suspend, and will."""
    try:
        with without_interruption():
            wait_seconds = SUSPENDS_WITHIN if requests.came() else 0
            if is_suspended(host, domid, entry.facts["uuid"], wait_seconds):
                resume(context, domid)
    except XentoolError as error:
        cause.add_note(f"and it could not be resumed: {error}")
        _leave_to_the_next(entry, cause)


def _leave_to_the_next(entry: Entry, cause: BaseException) -> None:
    cause.add_note("the next xentool command, or `xentool gc`, tries once more")
    entry.close(finished=False)


def resume(context: Context, domid: DomId) -> None:
    """Have a suspended guest go on where it was."""
    function = context.library.function("libxl_domain_resume")
    context.run("resume domain", domid, lambda how: function(context.handle, domid, COOPERATIVE, how))


def _config_to_keep(context: Context, domid: DomId) -> bytes:
    """The domain's config as it is now, for any number that it may get again."""
    record = config_of(context, domid)
    create_info = record.get("c_info")
    if isinstance(create_info, dict):
        create_info["domid"] = 0
    return jsontext.write(record)


def _json(config: bytes) -> bytes:
    """A config that is kept for another, once it is known to be libxl's JSON."""
    from xentool.domain.config.userdata import config_from_userdata

    config_from_userdata(config)
    return config
