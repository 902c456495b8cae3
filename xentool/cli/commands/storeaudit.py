"""store audit."""

from __future__ import annotations

from xentool.cli.answer import flush_answer
from xentool.cli.commands.store import asked, failing_above_one
from xentool.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context
    from xentool.toolstack.audit.run import Report


def audit(context: Context, *, domain: str | None, ignore: str | None) -> int:
    from xentool.toolstack.audit.rules import RULES
    from xentool.toolstack.audit.run import audit as audit_host

    ignored = [word for word in (ignore or "").split(",") if word]
    names = [rule.name for rule in RULES]
    for word in ignored:
        if word not in names:
            raise UsageError(
                "audit", "", f"there is no rule '{word}'", hint=f"the rules are {', '.join(names)}"
            )
    with failing_above_one():
        toolstack = context.toolstack
        domid = None
        if domain is not None:
            # A number may be a domain's that is gone: what it left behind is to be found.
            digits = domain.isascii() and domain.isdigit() and len(domain) <= 5
            domid = int(domain) if digits else toolstack.resolve(domain)
        store = context.store
        report = asked(store, lambda: audit_host(toolstack, store, domid=domid, ignore=ignored))
        _print(context, report)
        flush_answer()
    return 0 if report.clean else 1


def _print(context: Context, report: Report) -> None:
    if context.json:
        context.write_json(
            {
                "clean": report.clean,
                "consistent": report.consistent,
                "nodes": report.nodes,
                "domains": report.domains,
                "findings": [finding.as_dict() for finding in report.findings],
            }
        )
        return
    for finding in report.findings:
        context.write(
            f"{finding.severity}: {finding.path}: {finding.what} [{finding.rule}]\n    do: {finding.remedy}\n"
        )
    if report.clean:
        context.write(f"clean: {report.nodes} nodes, {report.domains} domains\n")
    if not report.consistent:
        context.note("the store changes without end: some of this may be of different moments")
