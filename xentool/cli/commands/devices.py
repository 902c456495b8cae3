"""network-attach, network-detach, block-attach, block-detach, cd-insert, cd-eject."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.cli.context import Context
    from xentool.toolstack.deviceviews import DevicePlan
    from xentool.units import DomId


def network_attach(context: Context, *, domain: str, words: tuple[str, ...]) -> int:
    if context.dry_run:
        return _show(context, context.toolstack.plan_vif(domain, words))
    return _done(context, context.toolstack_for_change().attach_vif(domain, words), "attached")


def network_detach(context: Context, *, domain: str, which: str, force: bool) -> int:
    return _done(context, context.toolstack_for_change().detach_vif(domain, which, force=force), "detached")


def block_attach(context: Context, *, domain: str, words: tuple[str, ...]) -> int:
    if context.dry_run:
        return _show(context, context.toolstack.plan_disk(domain, words))
    return _done(context, context.toolstack_for_change().attach_disk(domain, words), "attached")


def block_detach(context: Context, *, domain: str, which: str, force: bool) -> int:
    return _done(context, context.toolstack_for_change().detach_disk(domain, which, force=force), "detached")


def cd_insert(context: Context, *, domain: str, which: str, target: str) -> int:
    if context.dry_run:
        return _show(context, context.toolstack.plan_cd(domain, which, target))
    return _done(context, context.toolstack_for_change().insert_cd(domain, which, target), "inserted")


def cd_eject(context: Context, *, domain: str, which: str) -> int:
    if context.dry_run:
        return _show(context, context.toolstack.plan_cd(domain, which, ""))
    return _done(context, context.toolstack_for_change().insert_cd(domain, which, ""), "ejected")


def _done(context: Context, device: tuple[DomId, int], what: str) -> int:
    """Success is silent, as with xl, but to a program that asked for an answer."""
    if context.json:
        context.write_json({"domid": device[0], "devid": device[1], "done": what})
    return 0


def _show(context: Context, plan: DevicePlan) -> int:
    if context.json:
        context.write_json(
            {
                "device": plan.title,
                "devid": plan.devid,
                "libxl": plan.json,
                "store": [
                    {
                        "path": path,
                        "value": value,
                        "permissions": permissions.split(",") if permissions else None,
                    }
                    for path, value, permissions in plan.nodes
                ],
            }
        )
    else:
        context.write(plan_text(plan.title, plan.nodes))
    return 0


def plan_text(title: str, nodes: Sequence[tuple[str, str, str]]) -> str:
    """The nodes that would be written, as ``create --dry-run`` prints them."""
    lines = [title]
    lines += [
        f'{path} = "{value}"' + (f"   ({permissions})" if permissions else "")
        for path, value, permissions in nodes
    ]
    return "\n".join(lines) + "\n"
