"""mock start, stop, status, kernel, bridge, links: the mock host, by hand."""

from __future__ import annotations

import os

from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context


def _directory(chosen: str | None) -> str:
    from xentool.mockhost.life import default_directory

    return os.path.abspath(chosen) if chosen else default_directory()


def start(context: Context, *, directory: str | None) -> int:
    from xentool.mockhost.life import ensure_running

    where = ensure_running(_directory(directory))
    return _say(context, where, running=True)


def stop(context: Context, *, directory: str | None) -> int:
    from xentool.mockhost.life import stop as stop_mock

    where = _directory(directory)
    if not stop_mock(where) and not context.json:
        context.note(f"no mock host ran in {where}")
    if context.json:
        context.write_json({"directory": where, "running": False})
    return 0


def status(context: Context, *, directory: str | None) -> int:
    from xentool.mockhost.life import is_running

    where = _directory(directory)
    running = is_running(where)
    _say(context, where, running=running)
    return 0 if running else 1


def _say(context: Context, where: str, *, running: bool) -> int:
    if context.json:
        context.write_json({"directory": where, "running": running})
    else:
        context.write(f"{'running' if running else 'not running'} in {where}\n")
    return 0


def kernel(context: Context, *, file: str) -> int:
    from xentool.cli.mockkernel import mock_kernel

    try:
        with open(file, "wb") as out:
            out.write(mock_kernel())
    except OSError as exc:
        raise HostError("write the kernel", file, exc.strerror or str(exc)) from exc
    if context.json:
        context.write_json({"file": file})
    return 0


def bridge(
    context: Context,
    *,
    name: str,
    mtu: int | None,
    vlan_filtering: bool,
    delete: bool,
    directory: str | None,
) -> int:
    from xentool.mockhost.dom0 import MockDom0

    links = MockDom0(_directory(directory)).links
    if delete:
        links.delete(name)
    else:
        links.add(name, mtu=1500 if mtu is None else mtu, vlan_filtering=vlan_filtering)
    if context.json:
        context.write_json({"name": name})
    return 0


def links(context: Context, *, directory: str | None) -> int:
    from xentool.mockhost.dom0 import MockDom0

    dom0 = MockDom0(_directory(directory))
    guards = dom0.firewall.guards()
    shown = [{**link, "guard": guards.get(link["name"])} for link in dom0.links.all()]
    if context.json:
        context.write_json(shown)
        return 0
    context.write(f"{'Name':<15} {'MAC':<17} {'MTU':>5} {'State':<5} {'Bridge':<15} Guard\n")
    for link in shown:
        guard = link["guard"]
        allowed = "-" if guard is None else " ".join([guard["mac"], *guard["addresses"]])
        kind = "(a bridge)" if link["is_bridge"] else link["bridge"] or "-"
        state = "up" if link["up"] else "down"
        context.write(
            f"{link['name']:<15} {link['mac']:<17} {link['mtu']:>5} {state:<5} {kind:<15} {allowed}\n"
        )
    return 0
