"""A plan as text for pipes, and as JSON: what ``create --dry-run`` shows.

What only a real create finds out stands as a word or a zero: DOMID in paths,
UUID and MAC if the config sets none, 0 for event channels and machine frames.
"""

from __future__ import annotations

from xentool.units import DOMAIN0, PAGE_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.device import Device
    from xentool.domain.layout import Layout
    from xentool.domain.plan import Plan

SUPERPAGE_FRAMES = 512


class _Unknown(int):
    """A domid that is not known yet: a number to the code that makes paths, a word in the paths."""

    def __format__(self, spec: str) -> str:
        return "DOMID"

    def __str__(self) -> str:
        return "DOMID"


def summary(plan: Plan) -> list[tuple[str, str]]:
    """What is planned, in words."""
    config, kernel, layout = plan.config, plan.kernel, plan.layout
    facts = [
        ("domain", config.name),
        ("uuid", config.uuid or "a new one"),
        ("memory", f"{format_size(config.memory_kib << 10)} ({layout.nr_pages} frames: {_extents(layout)})"),
        ("vcpus", str(config.vcpus)),
        ("kernel", f"{kernel.path} ({kernel.kind}, {kernel.guest_os or 'unnamed'})"),
        ("entry", f"{kernel.entry:#x}"),
        ("virt_base", f"{layout.virt_base:#x}"),
        ("virt_end", f"{layout.virt_end:#x}"),
        ("start_info", f"{plan.start_info_vaddr:#x}"),
        ("stack_top", f"{plan.stack_top:#x}"),
    ]
    if kernel.hypercall_page is not None:
        facts.append(("hypercall_page", f"{kernel.hypercall_page:#x}"))
    unknown = _made_up(plan)
    for device in plan.devices:
        where = "" if device.backend == DOMAIN0 else f", by domain {device.backend}"
        facts.append((device.title, _device_text(device, unknown) + where))
    return facts


def _device_text(device: Device, unknown: Mapping[str, str]) -> str:
    """What a device is, by its backend's nodes."""
    back = device.back
    if device.kind == "vif":
        mac = back["mac"]
        words = ["a new MAC" if mac in unknown else mac, back.get("bridge", ""), back.get("ip", "")]
        if "lock" in device.record:
            words.append(f"locked {device.record['lock']}".rstrip())
        return ", ".join(word for word in [*words, back["script"].rpartition("/")[2]] if word)
    if device.kind == "vbd":
        mode = "read-write" if back["mode"].startswith("w") else "read-only"
        return ", ".join(word for word in (back["params"] or "empty", back["type"], mode) if word)
    return back.get("name", "")


def _made_up(plan: Plan) -> dict[str, str]:
    """The MAC addresses that another create would not have: they come of a uuid that is still to be made."""
    if plan.config.uuid is not None:
        return {}
    given = {vif.mac for vif in plan.config.vifs}
    macs = [device.back["mac"] for device in plan.devices if device.kind == "vif"]
    return {mac: "MAC" for mac in macs if mac not in given}


def _extents(layout: Layout) -> str:
    large, small = divmod(layout.nr_pages, SUPERPAGE_FRAMES)
    return f"{large} x 2 MiB, {small} x 4 KiB"


def segment_rows(plan: Plan) -> list[tuple[str, str, str, str, str]]:
    """Name, first pfn, frames, bytes, virtual address of each segment."""
    return [
        (
            segment.name,
            f"{segment.pfn:#x}",
            str(segment.pages),
            str(segment.pages * PAGE_SIZE),
            "-" if segment.vstart is None else f"{segment.vstart:#x}",
        )
        for segment in plan.layout.segments
    ]


SEGMENT_HEADER = ("segment", "pfn", "frames", "bytes", "address")


def table_rows(plan: Plan) -> list[tuple[str, str, str, str]]:
    """Level, first pfn, frames, and the addresses that they map, of each run of page tables."""
    rows = []
    for mapping in plan.layout.mappings:
        for level in range(len(mapping.tables), 0, -1):
            tables = mapping.tables[level - 1]
            if tables.count:
                whole = level == len(mapping.tables)
                reach = "all" if whole else f"{_canonical(tables.first):#x}-{_canonical(tables.last):#x}"
                rows.append((f"L{level}", f"{tables.pfn:#x}", str(tables.count), reach))
    return rows


def _canonical(address: int) -> int:
    """The layout counts in 48 bits; the hardware wants bit 47 repeated above."""
    return address | 0xFFFF << 48 if address >> 47 else address


TABLE_HEADER = ("tables", "pfn", "frames", "map")


def node_rows(plan: Plan) -> list[tuple[str, str, str]]:
    """Path, value and permissions of each store node. No permissions: its parent's."""
    hidden = _made_up(plan)
    if plan.config.uuid is None:
        hidden[plan.uuid] = "UUID"

    def shown(text: str) -> str:
        for value, word in hidden.items():
            text = text.replace(value, word)
        return text

    unknown: int = _Unknown(0)
    return [
        (shown(node.path), shown(node.value), ",".join(node.permissions or ()))
        for node in plan.nodes(unknown)  # type: ignore[arg-type]
    ]


def plan_text(plan: Plan) -> str:
    """The plan, a line a fact, columns aligned."""
    lines = [f"{key:<15}: {value}" for key, value in summary(plan)]
    lines += ["", *_columns([SEGMENT_HEADER, *segment_rows(plan)])]
    lines += ["", *_columns([TABLE_HEADER, *table_rows(plan)])]
    lines += ["", "store"]
    for path, value, permissions in node_rows(plan):
        lines.append(f'{path} = "{value}"' + (f"   ({permissions})" if permissions else ""))
    return "\n".join(lines) + "\n"


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def plan_dict(plan: Plan) -> dict[str, object]:
    """The plan as ``--dry-run --json`` prints it. Keys may be added, never changed."""
    config, kernel, layout = plan.config, plan.kernel, plan.layout
    return {
        "name": config.name,
        "uuid": config.uuid,
        "memory_kib": config.memory_kib,
        "vcpus": config.vcpus,
        "kernel": {
            "path": kernel.path,
            "kind": kernel.kind,
            "guest_os": kernel.guest_os,
            "entry": kernel.entry,
            "hypercall_page": kernel.hypercall_page,
        },
        "virt_base": layout.virt_base,
        "virt_end": layout.virt_end,
        "nr_pages": layout.nr_pages,
        "start_info": plan.start_info_vaddr,
        "stack_top": plan.stack_top,
        "segments": [
            {"name": segment.name, "pfn": segment.pfn, "pages": segment.pages, "vaddr": segment.vstart}
            for segment in layout.segments
        ],
        "page_tables": [
            {"level": int(row[0][1:]), "pfn": int(row[1], 16), "pages": int(row[2])}
            for row in table_rows(plan)
        ],
        "devices": [
            {
                "kind": device.kind,
                "devid": device.devid,
                "title": device.title,
                "backend_domid": device.backend,
            }
            for device in plan.devices
        ],
        "store": [
            {"path": path, "value": value, "permissions": permissions.split(",") if permissions else None}
            for path, value, permissions in node_rows(plan)
        ],
    }
