"""save, restore: a domain into a file, and out of it again."""

from __future__ import annotations

from xentool.cli.progress import Progress
from xentool.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context
    from xentool.domain.config.model import DomainConfig
    from xentool.toolstack.port import Toolstack
    from xentool.units import DomId

THEN = {"destroy": "destroyed", "run": "running", "pause": "paused"}
"""What has become of the domain that was saved."""


def save(
    context: Context,
    *,
    domain: str,
    file: str,
    config: str | None,
    checkpoint: bool,
    paused: bool,
    keep_domid: bool,
    no_sync: bool,
    quiet: bool,
) -> int:
    toolstack = context.toolstack_for_change()
    domid = toolstack.resolve(domain)
    _warn_of_locks(context, toolstack, domid)
    after = "pause" if paused else "run" if checkpoint else "destroy"
    record = _record(context, toolstack, domid, config, keep_domid=keep_domid, quiet=quiet)
    with Progress(context, quiet=quiet) as progress:
        toolstack.save(domid, file, after=after, config=record, sync=not no_sync, progress=progress)
    if context.json:
        context.write_json({"domid": domid, "file": file, "done": "saved", "domain": THEN[after]})
    elif context.styled and not quiet:
        context.write(f"domain {domid} is saved to {file}, and {THEN[after]}\n")
    return 0


def _warn_of_locks(context: Context, toolstack: Toolstack, domid: DomId) -> None:
    """A file of xl's format has no place for what libxl does not know."""
    if locked := toolstack.locked_vifs(domid):
        context.note(
            f"warning: vif {', '.join(map(str, locked))} of domain {domid} is held to its addresses (lock); "
            "restored from a file it will not be"
        )


def _record(
    context: Context, toolstack: Toolstack, domid: DomId, config: str | None, *, keep_domid: bool, quiet: bool
) -> bytes | None:
    """What the file is to have in the place of the domain's own config; None for that itself."""
    if config is not None:
        from xentool.toolstack.record import planned_record

        changed = planned_record(context.backend.host, _load(context, config, quiet=quiet), "").record
    elif keep_domid:
        changed = toolstack.config_of(domid)
    else:
        return None
    created = changed.get("c_info")
    if keep_domid and isinstance(created, dict):  # which xl forgets where a config is given
        changed = {**changed, "c_info": {**created, "domid": domid}}
    from xentool.cli.jsontext import to_json

    return to_json(changed).encode("utf-8", "surrogateescape")


def restore(
    context: Context,
    *,
    words: tuple[str, ...],
    paused: bool,
    console: bool,
    quiet: bool,
    unwatched: bool,
    chatty: bool,
) -> int:
    del unwatched, chatty  # xl's spellings
    if len(words) > 2:
        raise UsageError(
            "restore",
            "",
            f"one file is wanted, and before it at most a config, not {len(words)} words",
            hint="xentool restore [CONFIG] FILE",
        )
    if console and context.json:
        raise UsageError(
            "restore", "", "--console and --json would both write to standard output", hint="choose one"
        )
    file = words[-1]
    config = _load(context, words[0], quiet=quiet) if len(words) == 2 else None

    def make() -> DomId:
        toolstack = context.toolstack_for_change()
        with Progress(context, quiet=quiet) as progress:
            return toolstack.restore(file, config, paused=paused or console, progress=progress)

    if console:
        from xentool.cli.commands.create import make_attached

        return make_attached(context, make, paused=paused)
    domid = make()
    if context.json:
        name = context.toolstack.domain(domid).name
        context.write_json({"domid": domid, "name": name, "paused": paused})
    elif context.styled and not quiet:
        context.write(f"domain {domid} is {'paused' if paused else 'running'} again\n")
    return 0


def _load(context: Context, path: str, *, quiet: bool) -> DomainConfig:
    from xentool.domain.config.load import load_config

    config, warnings = load_config(path, ())
    if not quiet:
        for warning in warnings:
            context.note(f"warning: {warning}")
    return config
