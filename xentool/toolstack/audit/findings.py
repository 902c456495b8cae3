"""What an audit says."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, TypeAlias

    from xentool.toolstack.audit.facts import Facts

ERROR: Final = "error"
"""A guest may do what it should not, or a device or domain is broken."""
WARNING: Final = "warning"
"""Something is left over, or half there: it will confuse people or tools."""
NOTICE: Final = "notice"
"""May well be as it should; counts as clean."""

SEVERITIES: Final = (ERROR, WARNING, NOTICE)


class Finding:
    """`path` is not as it should be: `what` is wrong, and `remedy`, what to do.

    `domids` are the domains that it concerns. `rule` is the name of the rule that found it.
    """

    __slots__ = ("domids", "path", "remedy", "rule", "severity", "what")

    def __init__(
        self, path: str, what: str, remedy: str, domids: Iterable[int] = (), severity: str = ""
    ) -> None:
        self.path = path
        self.what = what
        self.remedy = remedy
        self.domids = frozenset(domids)
        self.severity = severity
        self.rule = ""

    def as_dict(self) -> dict[str, object]:
        """The finding in JSON."""
        return {
            "severity": self.severity,
            "rule": self.rule,
            "path": self.path,
            "what": self.what,
            "remedy": self.remedy,
            "domids": sorted(self.domids),
        }

    def __repr__(self) -> str:
        return f"Finding({self.severity} {self.rule}: {self.path}: {self.what})"


if TYPE_CHECKING:
    Check: TypeAlias = Callable[[Facts], Iterable[Finding]]


class Rule:
    """A row of the table: a name, how grave the findings are (one may say otherwise), and the check."""

    __slots__ = ("about", "check", "name", "severity")

    def __init__(self, name: str, severity: str, about: str, check: Check) -> None:
        self.name = name
        self.severity = severity
        self.about = about
        self.check = check

    def findings(self, facts: Facts) -> list[Finding]:
        found = list(self.check(facts))
        for finding in found:
            finding.rule = self.name
            finding.severity = finding.severity or self.severity
        return found
