"""Who may write what: permissions against what each domain's own nodes are.

A guest may write its frontends, a few nodes under ``control``, and its scratch
places; a driver domain the backends that it was given. Everything else that a
guest can change, it can lie with: to a tool that follows ``backend`` or
``console/tty`` (XSA-57, XSA-175, XSA-178), or to a backend (XSA-155).
"""

from __future__ import annotations

from xentool.abi.xen import DOMID_ANY
from xentool.toolstack.audit.facts import DOMAINS, RECORDS, VMS, above, can_be_a_domain, domid_of
from xentool.toolstack.audit.findings import ERROR, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from xentool.toolstack.audit.facts import Facts

SCRATCH: Final = ("data", "drivers", "feature", "attr", "error")
"""Below a domain's node: its own with all that is in them."""
CONTROL: Final = (
    "shutdown", "sysrq", "feature-poweroff", "feature-reboot", "feature-suspend", "feature-s3", "feature-s4",
    "laptop-slate-mode", "feature-laptop-slate-mode",
)  # fmt: skip
"""Below ``control``: what a guest answers there."""
DRIVER_DOMAIN: Final = ("libxl", "device-model")
"""Below the node of a domain that runs backends or device models of its own."""

_EVERYBODY: Final = DOMID_ANY

_WHY: Final = (
    # Where in the store, what a guest could do with it, and how to mend it: the first row that fits.
    (f"^{RECORDS}/", "toolstacks believe what is recorded there (XSA-175)", "-r {path} n0"),
    (f"^{VMS}/", "toolstacks believe what is recorded there", "-r {path} n0"),
    (
        "/backend/",
        "it could lead a backend, or a tool that reads it, astray (XSA-178)",
        "-r {path} n{host} r{of}",
    ),
    ("/console/", "it could name any file of the host as its console (XSA-57)", "{path} n0 r{of}"),
    ("/device/", "it could plug devices that nobody gave it", "{path} n0 r{of}"),
    ("", "no toolstack gives it that node", "{path} n0"),
)


def guest_writable(facts: Facts) -> Iterator[Finding]:
    """Nodes that a guest may write and that are none of its own; the topmost of each such tree."""
    reported: dict[str, set[int]] = {}
    for path, node in facts.nodes.items():
        writers = _writers(node.permissions)
        if not writers:
            continue
        known = reported.get(above(path), set()) if path != "/" else set()
        bad = set()
        for writer in writers:
            if writer in facts.privileged or (writer != _EVERYBODY and facts.is_gone(writer)):
                continue  # a dead domain's rights are another rule's
            if writer == _EVERYBODY or not _may_write(facts, writer, path):
                bad.add(writer)
        if bad:
            reported[path] = bad | known
        for writer in sorted(bad - known):
            yield _writable(path, node.permissions or (), writer)


def _writers(permissions: tuple[str, ...] | None) -> list[int]:
    """Who may write: the owner, who is named for it, and perhaps everybody. Domain-0 alone is nobody."""
    if not permissions or permissions == ("n0",):
        return []
    owner = permissions[0]
    writers = [domid_of(owner)]
    if owner[0] in "wb":
        writers.append(_EVERYBODY)
    # The first entry for a domain counts; further ones are never looked at.
    seen = set(writers)
    for entry in permissions[1:]:
        domid = domid_of(entry)
        # A guest may name what no domain ever is.
        if domid not in seen and entry[0] in "wb" and (domid == _EVERYBODY or can_be_a_domain(domid)):
            writers.append(domid)
        seen.add(domid)
    return writers


def _may_write(facts: Facts, writer: int, path: str) -> bool:
    if _is_own(facts, writer, path):
        return True
    target = facts.target_of(writer)
    return target is not None and _is_own(facts, target, path)


def _is_own(facts: Facts, domid: int, path: str) -> bool:
    """Whether `path` is where that domain should be able to write."""
    home = f"{DOMAINS}/{domid}/"
    if not path.startswith(home):
        return _serves(facts, domid, path)
    parts = path[len(home) :].split("/")
    top = parts[0]
    if top in SCRATCH or (top in DRIVER_DOMAIN and _is_driver_domain(facts, domid)):
        return True
    if top == "control":
        return len(parts) == 2 and parts[1] in CONTROL
    if top == "device":
        # device/KIND/DEVID and below; the folders above are the toolstack's.
        return len(parts) >= 3 and (parts[1] != "suspend" or parts[2] == "event-channel")
    if top == "console":
        return parts[1:] in (["backend-id"], ["state"])
    return top == "backend" and _serves(facts, domid, path)


def _serves(facts: Facts, domid: int, path: str) -> bool:
    """Whether `path` belongs to a device whose backend that domain was made by the toolstack."""
    at = path
    while at.count("/") > 3:
        device = facts.by_backend.get(at) or facts.by_frontend.get(at)
        if device is not None:
            return device.backend_domid == domid
        at = above(at)
    return False


def _is_driver_domain(facts: Facts, domid: int) -> bool:
    top = f"{DOMAINS}/{domid}/libxl"
    return facts.has(top) or any(device.backend_domid == domid for device in facts.devices)


def _writable(path: str, permissions: tuple[str, ...], writer: int) -> Finding:
    who = "every domain" if writer == _EVERYBODY else f"domain {writer}"
    of, host = _parties(path)
    why, wanted = next(
        (why, wanted)
        for mark, why, wanted in _WHY
        if (f"^{path}/" if mark.startswith("^") else f"{path}/").find(mark) >= 0
    )
    if of is None:
        wanted = wanted.replace(" r{of}", "")
    return Finding(
        path,
        f"{who} may write it ({','.join(permissions)}): {why}",
        "xentool store chmod " + wanted.format(path=path, of=of, host=host),
        {domid for domid in (writer, of) if domid is not None and domid != _EVERYBODY},
    )


def _parties(path: str) -> tuple[int | None, int]:
    """Whom a path is about, and whose backend it is in."""
    parts = path.split("/")
    if path.startswith(f"{DOMAINS}/") and parts[3].isdigit():
        host = int(parts[3])
        if len(parts) > 6 and parts[4] == "backend" and parts[6].isdigit():
            return int(parts[6]), host
        return host, host
    if path.startswith(f"{RECORDS}/") and parts[2].isdigit():
        return int(parts[2]), 0
    return None, 0


def wrong_owner(facts: Facts) -> Iterator[Finding]:
    """Frontends that do not belong to their guest, backends that do not belong to their domain."""
    for device in facts.devices:
        if device.backend_domid is None or not facts.is_settled(device.domid):
            continue
        # The primary console, and what else is no ordinary frontend, is beyond the guest's reach.
        guest, host = device.domid, device.backend_domid
        ordinary = device.frontend.startswith(f"{DOMAINS}/{guest}/device/")
        front = (device.frontend, guest, host) if ordinary else (device.frontend, host, guest)
        for path, wanted, reader in (front, (device.backend, host, guest)):
            owner = facts.owner(path)
            if owner is not None and owner != wanted:
                yield Finding(
                    path,
                    f"domain {owner} owns it, domain {wanted} should ({device.title})",
                    f"xentool store chmod -r {path} n{wanted} r{reader}",
                    {device.domid, owner},
                )


def stale_permissions(facts: Facts) -> Iterator[Finding]:
    """Rights of domains that are gone: the next domain of that number would have them (XSA-322)."""
    reported: dict[str, set[int]] = {}
    for path, node in facts.nodes.items():
        if not node.permissions or path == "/":
            continue
        known = reported.get(above(path), set())
        named = {domid_of(entry) for entry in node.permissions}
        gone = {domid for domid in named if can_be_a_domain(domid) and facts.is_gone(domid)}
        if not gone:
            continue
        reported[path] = gone | known
        if facts.is_left_over(path):
            continue  # with the whole tree: another rule says so
        for domid in sorted(gone - known):
            kept = [entry for entry in node.permissions if domid_of(entry) != domid]
            rights = kept if domid_of(node.permissions[0]) != domid else ["n0", *kept]
            yield Finding(
                path,
                f"it gives rights to domain {domid}, which is gone ({','.join(node.permissions)}): the next"
                " domain of that number may get them",
                f"xentool store chmod {path} {' '.join(rights)}",
                {domid},
                ERROR
                if any(domid_of(entry) == domid and entry[0] in "wb" for entry in node.permissions)
                else "",
            )
