"""Domains: what those that are gone left behind, and what those that are there lack."""

from __future__ import annotations

from xentool.store.text import escaped
from xentool.toolstack.audit.facts import DOM0, DOMAINS, RECORDS, VMS
from xentool.toolstack.audit.findings import ERROR, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.toolstack.audit.facts import Facts

_ZERO_UUID = "00000000-0000-0000-0000-000000000000"


def gone_domains(facts: Facts) -> Iterator[Finding]:
    """Trees of domains that the hypervisor no longer has."""
    for top in (DOMAINS, RECORDS):
        for domid in facts.numbered(top):
            if facts.is_gone(domid):
                path = f"{top}/{domid}"
                yield Finding(path, f"domain {domid} is gone", f"xentool store rm {path}", {domid})
    for host, kind, domid, devid, path in facts.backends():
        if facts.is_gone(domid) and not facts.is_gone(host):
            yield Finding(
                path,
                f"it is the backend of {kind} {devid} of domain {domid}, which is gone",
                f"xentool store rm -t {path}",
                {domid},
            )
    for host in facts.numbered(DOMAINS):
        for folder in ("device-model", "libxl"):
            for domid in facts.numbered(f"{DOMAINS}/{host}/{folder}"):
                path = f"{DOMAINS}/{host}/{folder}/{domid}"
                if facts.is_gone(domid) and not facts.is_gone(host):
                    yield Finding(path, f"domain {domid} is gone", f"xentool store rm -t {path}", {domid})
    for uuid in sorted(facts.ownerless_vms):
        path = f"{VMS}/{uuid}"
        yield Finding(path, "no domain has that uuid", f"xentool store rm {path}")


def lacking_nodes(facts: Facts) -> Iterator[Finding]:
    """Domains without the nodes by which tools know them."""
    for domain in facts.settled():
        if domain.domid in facts.privileged:
            continue
        domid = domain.domid
        home = f"{DOMAINS}/{domid}"
        remedy = f"it was not made, or not ended, to the end: xentool destroy {domid}"
        if not facts.has(home):
            yield Finding(home, f"domain {domid} runs, and has no nodes", remedy, {domid})
            continue
        for path, what in (
            (f"{home}/name", "it has no name"),
            (f"{RECORDS}/{domid}", "no toolstack has a record of it"),
            (f"{VMS}/{domain.uuid}", "its uuid is not known"),
        ):
            if not facts.has(path):
                yield Finding(path, f"domain {domid} runs, but {what}", remedy, {domid})


def wrong_identity(facts: Facts) -> Iterator[Finding]:
    """Nodes that say that a domain is another."""
    for domain in facts.settled():
        domid = domain.domid
        home = f"{DOMAINS}/{domid}"
        wanted = [(f"{home}/domid", str(domid))]
        if domid != DOM0 and domain.uuid != _ZERO_UUID:
            wanted += [(f"{home}/vm", f"{VMS}/{domain.uuid}"), (f"{VMS}/{domain.uuid}/uuid", domain.uuid)]
        for path, value in wanted:
            found = facts.text(path)
            if facts.has(path) and found != value:
                yield Finding(
                    path,
                    f"it says '{escaped(found.encode()[:120])}'; of domain {domid} it should be '{value}'",
                    f"xentool store write {path} {value}",
                    {domid},
                )


def doubled_names(facts: Facts) -> Iterator[Finding]:
    """Names that lead to more than one domain."""
    holders: dict[str, list[int]] = {}
    for domid in facts.numbered(DOMAINS):
        name = facts.text(f"{DOMAINS}/{domid}/name")
        if name:
            holders.setdefault(name, []).append(domid)
    for name, domids in sorted(holders.items()):
        if len(domids) < 2:
            continue
        shown = escaped(name.encode()[:120])
        for domid in domids:
            others = ", ".join(str(other) for other in domids if other != domid)
            path = f"{DOMAINS}/{domid}/name"
            if facts.is_gone(domid):
                yield Finding(
                    path,
                    f"domain {domid} is gone, and its name '{shown}' is that of {others}",
                    f"xentool store rm {DOMAINS}/{domid}",
                    domids,
                )
            elif all(not facts.is_gone(other) for other in domids):
                yield Finding(
                    path,
                    f"'{shown}' is the name of {others} too",
                    f"xl rename {domid} NEWNAME",
                    domids,
                    ERROR,
                )
