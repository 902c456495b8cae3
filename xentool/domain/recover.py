"""Finishing what creates and attaches left undone: those that failed, and those that were killed."""

from __future__ import annotations

from xentool.domain.attach import undo_attach
from xentool.domain.journal import Journal
from xentool.domain.remove import remove_domain, without_interruption
from xentool.errors import XentoolError
from xentool.units import DomId, uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.domain.host import Host

    Remove = Callable[[Host, DomId, str], None]


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
    """The domid to clean up. One that another domain has got meanwhile is not ours any more."""
    handle = uuid_bytes(uuid)
    for info in host.hypercalls.domain_infos():
        if info.handle == handle:
            return DomId(info.domid)
        if noted is not None and info.domid == int(noted):
            return None
    # No such domain: it may have died between the hypervisor's undo and the store's.
    return None if noted is None else DomId(int(noted))


def finish_undone(host: Host, remove: Remove = remove_domain) -> tuple[list[str], list[str]]:
    """Undo every create and attach whose process died; half-made domains go by `remove`.

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
            elif undo_create(host, entry.facts, remove) is not None:
                done.append(entry.facts["uuid"])
            finished = True
        except XentoolError as exc:
            failed.append(f"{entry.path}: {exc}")
        except (KeyError, ValueError):
            failed.append(f"{entry.path}: it is no entry of ours; look at it, and remove it")
        finally:
            entry.close(finished=finished)
    return done, failed
