"""The same answers for a terminal: tables, colours, words in the place of letters.

The only module that imports rich, and only the parts that it needs. Everything
is drawn into a string, so that there is one place where answers are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

    from xentool.domain.plan import Plan
    from xentool.toolstack.views import DomainView, HostView

ENDLESS_COLUMNS = 10_000

_REASONS = {0: "powered off", 1: "rebooting", 2: "suspended", 3: "crashed", 4: "watchdog", 5: "soft reset"}


def drawn(*parts: RenderableType, whole_rows: bool = False) -> str:
    """The parts as text. With `whole_rows` a table is as wide as it needs: better the terminal breaks a line
    than that uuids are broken into their cells."""
    console = Console(highlight=False)
    if whole_rows:
        endless = console.options.update_width(ENDLESS_COLUMNS)
        console.width = max(
            console.width, *(console.measure(part, options=endless).maximum for part in parts)
        )
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return "".join(f"{line.rstrip(' ')}\n" for line in capture.get().splitlines())


def new_table(title: str | None, *columns: tuple[str, str]) -> Table:
    """An open table; each column is its title and "left" or "right"."""
    # Two blanks between columns, so that the usual table fits 80 characters.
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table


def list_table(
    domains: Iterable[DomainView],
    *,
    uuids: bool = False,
    labels: bool = False,
    pools: Mapping[int, str] | None = None,
) -> str:
    columns = [("Name", "left"), ("ID", "right"), ("Mem", "right"), ("VCPUs", "right"), ("State", "left"),
               ("Time(s)", "right")]  # fmt: skip
    if uuids:
        columns.append(("UUID", "left"))
    if uuids or labels:
        columns.append(("Security label", "left"))
    if pools is not None:
        columns.append(("Cpupool", "left"))
    table = new_table(None, *columns)
    for domain in domains:
        cells: list[RenderableType] = [
            Text(domain.name or "(null)", style="bold"),
            str(domain.domid),
            f"{domain.memory_kib // 1024:,} MiB",
            str(domain.vcpus_online),
            state_text(domain),
            f"{domain.cpu_time_ns / 1e9:.1f}",
        ]
        if uuids:
            cells.append(domain.uuid)
        if uuids or labels:
            cells.append(str(domain.ssidref) if domain.ssidref else "-")
        if pools is not None:
            cells.append(pools.get(domain.cpupool, "(null)"))
        table.add_row(*cells)
    return drawn(table, whole_rows=True)


def state_text(domain: DomainView) -> Text:
    """xl's letters and what they come down to."""
    running, blocked, paused, _, _, dying = tuple(domain.state)
    if dying != "-":
        word, style = "dying", "red"
    elif domain.shutdown_reason is not None:
        word, style = _REASONS.get(domain.shutdown_reason, "stopped"), "red"
    elif paused != "-":
        word, style = "paused", "yellow"
    elif running != "-":
        word, style = "running", "green"
    else:
        word, style = ("idle" if blocked != "-" else "ready"), "green"
    return Text.assemble((domain.state, "dim"), " ", (word, style))


def info_table(host: HostView) -> str:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in host.facts.items():
        table.add_row(key, Text(value.strip()))
    return drawn(table)


def plan_tables(plan: Plan) -> str:
    from xentool.cli import planview

    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for key, value in planview.summary(plan):
        facts.add_row(key, Text(value))
    numbers = {"pfn", "frames", "bytes", "address"}
    parts: list[RenderableType] = [facts]
    titled: list[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = [
        ("Memory", planview.SEGMENT_HEADER, planview.segment_rows(plan)),
        ("Page tables", planview.TABLE_HEADER, planview.table_rows(plan)),
    ]
    for title, header, rows in titled:
        table = new_table(title, *((name, "right" if name in numbers else "left") for name in header))
        for row in rows:
            table.add_row(*map(Text, row))
        parts += ["", table]
    parts += [_store_tree(planview.node_rows(plan))]
    return drawn(*parts)


def _store_tree(rows: Iterable[tuple[str, str, str]]) -> RenderableType:
    """Store nodes as the tree that they are; sorted by path, as `xenstore-ls` has it."""
    from rich.tree import Tree

    root = Tree("Store", style="bold", guide_style="dim")
    branches = {"": root}
    for path, value, permissions in sorted(rows):
        parent = ""
        for name in path.strip("/").split("/"):
            here = f"{parent}/{name}"
            if here not in branches:
                branches[here] = branches[parent].add(Text(name, style="not bold"))
            parent = here
        shown = Text(path.rpartition("/")[2], style="not bold")
        if value:
            shown.append(f' = "{value}"', style="green")
        if permissions:
            shown.append(f"  {permissions}", style="dim")
        branches[path].label = shown
    return root
