"""create: a config file in, a running domain out."""

from __future__ import annotations

from xentool.cli.progress import Progress
from xentool.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.cli.context import Context
    from xentool.domain.config.model import DomainConfig
    from xentool.units import DomId


def create(
    context: Context,
    *,
    words: tuple[str, ...],
    paused: bool,
    console: bool,
    quiet: bool,
    defconfig: str | None,
) -> int:
    from xentool.domain.config.load import load_config

    if console and context.json:
        raise UsageError(
            "create", "", "--console and --json would both write to standard output", hint="choose one"
        )
    path, overrides = split_words(words, defconfig)
    config, warnings = load_config(path, overrides)
    if not quiet:
        for warning in warnings:
            context.note(f"warning: {warning}")
    if context.dry_run:
        return _show_plan(context, config)
    if console:
        return make_attached(
            context, lambda: _build(context, config, paused=True, quiet=quiet), paused=paused
        )
    domid = _build(context, config, paused=paused, quiet=quiet)
    if context.json:
        context.write_json({"domid": domid, "name": config.name, "paused": paused})
    elif context.styled and not quiet:
        context.write(f"{config.name} is {'paused' if paused else 'running'} (domain {domid})\n")
    return 0


def split_words(words: Sequence[str], defconfig: str | None) -> tuple[str, list[str]]:
    """The config's path and the settings after it. As with xl a word with a = in it is a setting."""
    overrides = [word for word in words if "=" in word]
    files = [word for word in words if "=" not in word]
    if defconfig is not None:
        files.insert(0, defconfig)
    if len(files) != 1:
        reason = (
            f"one config file is wanted, not {len(files)}: {', '.join(files)}"
            if files
            else "no config file given"
        )
        raise UsageError("create", "", reason, hint="xentool create web.cfg [KEY=VALUE]...")
    return files[0], overrides


def _show_plan(context: Context, config: DomainConfig) -> int:
    from xentool.toolstack.views import RecordPlan

    plan = context.toolstack.plan(config)
    if isinstance(plan, RecordPlan):
        context.write_json(plan.record)
    elif context.json:
        from xentool.cli.planview import plan_dict

        context.write_json(plan_dict(plan))
    elif context.styled:
        from xentool.cli.tables import plan_tables

        context.write(plan_tables(plan))
    else:
        from xentool.cli.planview import plan_text

        context.write(plan_text(plan))
    return 0


def _build(context: Context, config: DomainConfig, *, paused: bool, quiet: bool) -> DomId:
    toolstack = context.toolstack_for_change()
    with Progress(context, quiet=quiet) as progress:
        return toolstack.create(config, paused=paused, progress=progress)


def make_attached(context: Context, make: Callable[[], DomId], *, paused: bool) -> int:
    """Attach to the domain that `make` makes, paused, before its first instruction: no output is lost."""
    from xentool.devices.console import attach

    toolstack = context.toolstack
    domid = make()
    attached = False

    def start() -> None:
        nonlocal attached
        if not paused:
            toolstack.unpause(domid)
        attached = True

    try:
        attach(
            toolstack.console_path(domid), domid, lock_directory=context.backend.lock_directory, ready=start
        )
    except BaseException as cause:
        if not attached:
            from xentool.errors import XentoolError

            try:
                toolstack.destroy(domid)
            except XentoolError as exc:
                cause.add_note(f"and domain {domid} could not be taken away again: {exc}")
        raise
    return 0
