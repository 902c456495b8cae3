"""Finishing what creates, attaches and saves left undone: those that failed, and those that were killed."""

from __future__ import annotations

import os
import time

from xentool.domain.attach import undo_attach
from xentool.domain.interruption import without_interruption
from xentool.domain.journal import Journal, unquoted
from xentool.domain.remove import remove_domain
from xentool.domain.suspension import SUSPENDS_WITHIN, is_suspended
from xentool.errors import UnsupportedError, XentoolError
from xentool.units import DomId, uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.domain.host import Host

    Remove = Callable[[Host, DomId, str], None]
    Resume = Callable[[DomId], None]


def undo_create(host: Host, facts: dict[str, str], remove: Remove = remove_domain) -> DomId | None:
    """Take away, by `remove`, the domain that a journal's entry tells of; its domid, or None if there was
    none yet.

    A create notes ``creating`` once it knows that nobody has the uuid, and ``domid`` once Xen
    said it. Between the two the domain is known by its uuid (Xen's "handle") alone.
    """
    if "creating" not in facts:
        return None
    uuid = facts["uuid"]
    domid = _find(host, uuid, facts.get("domid"))
    if domid is None:
        return None
    with without_interruption():
        remove(host, domid, uuid)
    return domid


def _find(host: Host, uuid: str, noted: str | None) -> DomId | None:
    """The domid to clean up. One that another domain has got meanwhile is not ours any more; one that dies
    may be another, whose uuid this was to get."""
    handle = uuid_bytes(uuid)
    for info in host.hypercalls.domain_infos():
        if noted is not None and info.domid == int(noted):
            return DomId(info.domid) if info.handle == handle else None
        if noted is None and info.handle == handle and not info.dying:
            return DomId(info.domid)
    # No such domain: it may have died between the hypervisor's undo and the store's.
    return None if noted is None else DomId(int(noted))


def undo_save(host: Host, facts: dict[str, str], remove: Remove, resume: Resume) -> bool:
    """End the save that a journal's entry tells of; whether there was anything to do.

    Its guest runs on, and no part of a file is left. If the file had its name already, what was to become
    of the guest becomes of it: one that ran on beside its file would change the disks that this counts on.
    """
    number, after = facts["save"].split()
    domid, part = DomId(int(number)), unquoted(facts.get("part", ""))
    there = bool(part) and os.path.exists(part)
    # Who was killed right after asking the guest to suspend did not see it do so.
    wait_seconds = 0 if "named" in facts else SUSPENDS_WITHIN - (_age_seconds(part) if there else 0)
    suspended = is_suspended(host, domid, facts["uuid"], wait_seconds)
    if suspended:
        with without_interruption():
            if "named" in facts and not there and after == "destroy":
                remove(host, domid, facts["uuid"])
            else:
                resume(domid)
    if there:
        os.unlink(part)
    return there or suspended


def _age_seconds(path: str) -> float:
    """How long ago the file was last written to. A save does so all the time."""
    return max(0.0, time.time() - os.stat(path).st_mtime)


def _resume_no(domid: DomId) -> None:
    raise UnsupportedError("resume domain", domid, "its save was libxl's")


def finish_undone(
    host: Host, remove: Remove = remove_domain, resume: Resume = _resume_no
) -> tuple[list[str], list[str]]:
    """Undo every create, attach and save whose process died; half-made domains go by `remove`, saved ones go
    on by `resume`.

    Returns the uuids of what was taken away, and what could not be: sentences. One entry
    that cannot be undone keeps neither the others nor the user's own command back.
    """
    done: list[str] = []
    failed: list[str] = []
    for entry in Journal(host.paths.run).abandoned():
        finished = False
        try:
            if "attach" in entry.facts:
                if undo_attach(host, entry.facts):
                    done.append(f"{entry.facts['uuid']} ({entry.facts['attach']})")
            elif "save" in entry.facts:
                if undo_save(host, entry.facts, remove, resume):
                    done.append(f"{entry.facts['uuid']} (its save)")
            elif undo_create(host, entry.facts, remove) is not None:
                done.append(entry.facts["uuid"])
            finished = True
        except (XentoolError, OSError) as exc:
            failed.append(f"{entry.path}: {exc}")
        except (KeyError, ValueError):
            failed.append(f"{entry.path}: it is no entry of ours; look at it, and remove it")
        finally:
            entry.close(finished=finished)
    return done, failed
