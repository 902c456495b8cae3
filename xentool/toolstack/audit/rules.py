"""The rules of an audit: the one table of what is looked for. The manual's list is made from it."""

from __future__ import annotations

from xentool.toolstack.audit import leftovers, plugged, rights
from xentool.toolstack.audit.findings import ERROR, SEVERITIES, WARNING, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

    from xentool.toolstack.audit.facts import Facts
    from xentool.toolstack.audit.findings import Finding

RULES: Final = (
    Rule(
        "guest-writable",
        ERROR,
        "a guest may write a node that is none of its own: its console's, another's, a backend's, a record's",
        rights.guest_writable,
    ),
    Rule("owner", ERROR, "a frontend or a backend does not belong to its domain", rights.wrong_owner),
    Rule(
        "stale-permission",
        WARNING,
        "a node gives rights to a domain that is gone; an error where it may write",
        rights.stale_permissions,
    ),
    Rule(
        "link",
        ERROR,
        "backend, backend-id, frontend or frontend-id differ from the record in /libxl",
        plugged.wrong_links,
    ),
    Rule("console", ERROR, "console/tty names something else than a terminal", plugged.console_ends),
    Rule(
        "half-plugged",
        WARNING,
        "a device lacks its frontend, its backend or its record",
        plugged.half_plugged,
    ),
    Rule(
        "states",
        WARNING,
        "the two ends of a device do not meet; a notice while the guest has not connected or has closed it",
        plugged.unmet_states,
    ),
    Rule("hotplug", ERROR, "a hotplug script failed", plugged.failed_hotplug),
    Rule("gone-domain", WARNING, "nodes of a domain that is gone", leftovers.gone_domains),
    Rule("no-nodes", WARNING, "a domain runs without its nodes", leftovers.lacking_nodes),
    Rule("identity", ERROR, "a domain's domid, vm or uuid is another's", leftovers.wrong_identity),
    Rule(
        "name",
        WARNING,
        "a name leads to a domain that is gone; an error where two have it",
        leftovers.doubled_names,
    ),
)


def check(facts: Facts, *, ignore: Collection[str] = ()) -> list[Finding]:
    """What the rules (but those named in `ignore`) find, the gravest first, then by path."""
    found = [finding for rule in RULES if rule.name not in ignore for finding in rule.findings(facts)]
    return sorted(found, key=lambda finding: (SEVERITIES.index(finding.severity), finding.path.split("/")))
