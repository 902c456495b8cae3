"""list, domid, domname, info: commands that only look."""

from __future__ import annotations

from xentool.errors import ConfigError, NotFoundError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context
    from xentool.toolstack.port import Toolstack
    from xentool.toolstack.views import DomainView


def list_domains(
    context: Context, *, domains: tuple[str, ...], long: bool, uuids: bool, labels: bool, pools: bool
) -> int:
    toolstack = context.toolstack
    if domains:
        views = [toolstack.domain(toolstack.resolve(word)) for word in domains]
    else:
        views = list(toolstack.domains())
    if long:
        context.write_json(_configs(context, toolstack, views))
        if not context.json:
            context.write("\n")  # xl ends it with an empty line
        return 0
    if context.json:
        context.write_json([as_dict(view) for view in views])
        return 0
    names = toolstack.cpupool_names() if pools else None
    if context.styled:
        from xentool.cli.tables import list_table

        context.write(list_table(views, uuids=uuids, labels=labels, pools=names))
    else:
        from xentool.cli.xltext import list_text

        context.write(list_text(views, uuids=uuids, labels=labels, pools=names))
    return 0


def _configs(context: Context, toolstack: Toolstack, views: list[DomainView]) -> list[object]:
    """Like xl, leave out a domain that ended since it was listed."""
    found: list[object] = []
    for view in views:
        try:
            found.append({"domid": view.domid, "config": toolstack.config_of(view.domid)})
        except NotFoundError:
            continue
        except ConfigError as exc:
            context.note(str(exc))
    return found


def as_dict(view: DomainView) -> dict[str, object]:
    """A domain as ``list --json`` shows it. Scripts rely on it: keys may be added, never changed."""
    return {
        "domid": view.domid,
        "name": view.name,
        "uuid": view.uuid,
        "type": "pv" if view.is_pv else "hvm",
        "state": view.state,
        "memory_kib": view.memory_kib,
        "max_memory_kib": view.max_memory_kib,
        "vcpus_online": view.vcpus_online,
        "vcpus_max": view.vcpus_max,
        "cpu_time_ns": view.cpu_time_ns,
        "shutdown_reason": view.shutdown_reason,
        "cpupool": view.cpupool,
    }


def domid(context: Context, *, domain: str) -> int:
    view = _by_name(context.toolstack, domain)
    if context.json:
        context.write_json({"domid": view.domid, "name": view.name})
    else:
        context.write(f"{view.domid}\n")
    return 0


def _by_name(toolstack: Toolstack, name: str) -> DomainView:
    """The domain of that name; unlike elsewhere digits are a name too, as with xl."""
    for view in toolstack.domains():
        if view.name == name:
            return view
    raise NotFoundError(
        "find domain", name, "no running domain has this name", hint="`xentool list` shows those that run"
    )


def domname(context: Context, *, domid: str) -> int:
    if not (domid.isascii() and domid.isdigit()):
        raise UsageError(
            "name domain", domid, "this is not a number", hint="domname takes a domid, domid takes a name"
        )
    toolstack = context.toolstack
    view = toolstack.domain(toolstack.resolve(domid))
    if view.name is None:
        raise NotFoundError("name domain", domid, "it has no name in the store")
    if context.json:
        context.write_json({"domid": view.domid, "name": view.name})
    else:
        context.write(f"{view.name}\n")
    return 0


def info(context: Context, *, key: str | None) -> int:
    from xentool.cli.xltext import info_text, info_values

    host = context.toolstack.host()
    if key is not None:
        host.facts = {name: value for name, value in host.facts.items() if name.startswith(key)}
        if not host.facts:
            raise NotFoundError(
                "show", key, "no line of `xentool info` begins with it", hint="`xentool info` shows all keys"
            )
    if context.json:
        context.write_json(host.facts)
    elif key is not None:
        context.write(info_values(host))
    elif context.styled:
        from xentool.cli.tables import info_table

        context.write(info_table(host))
    else:
        context.write(info_text(host))
    return 0
