"""Adding a device to libxl's record of a domain, and taking one out.

libyajl writes the record with one entry a line and four blanks a level, so an
entry can be added to its text without reading all of it: ``json`` takes longer
to import than everything else that plugging a disk does. A text that does not
look so, somebody's own work, is read and written anew.

Source: tools/libs/light/libxl_types.idl (domain_config: the order of fields), libxl_internal.h
(device_add_domain_config); yajl_gen.c.
"""

from __future__ import annotations

from xentool.domain.config.yajl import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xentool.domain.config.yajl import Json

    Entry = Mapping[str, object]

_LAST_BEFORE = {
    "disks": ("b_info",),
    "nics": ("b_info", "disks"),
    "channels": (
        "b_info", "disks", "nics", "pcidevs", "rdms", "dtdevs", "vfbs", "vkbs", "virtios", "vtpms", "p9s",
        "pvcallsifs", "vdispls", "vsnds",
    ),
}  # fmt: skip
"""For each list of devices, the fields of libxl_domain_config that may stand before it."""

_INDENT = "    "


def add_device(record: bytes, key: str, entry: dict[str, Json]) -> bytes:
    """The record with one more entry in its list `key` ("disks", "nics"…)."""
    text = record.rstrip(b"\0").decode("utf-8", "surrogateescape")
    added = _add_to_text(text, key, _INDENT * 2 + dump(entry, _INDENT * 2))
    if added is None:
        return _rewrite(text, key, lambda entries: [*entries, entry])
    return added.encode("utf-8", "surrogateescape") + b"\0"


def remove_devices(record: bytes, key: str, matches: Callable[[Entry], bool]) -> bytes:
    """The record without the entries of the list `key` that match; the list goes with its last entry.

    Raises:
        ConfigError: the record is not libxl's JSON.
    """
    text = record.rstrip(b"\0").decode("utf-8", "surrogateescape")
    return _rewrite(text, key, lambda entries: [entry for entry in entries if not matches(entry)])


def _add_to_text(text: str, key: str, entry: str) -> str | None:
    """`text` with the entry; None if it is not laid out as libyajl lays it out."""
    lines = text.split("\n")
    fields = {
        line[5 : line.find('"', 5)]: number
        for number, line in enumerate(lines)
        if line.startswith(_INDENT + '"') and line.find('": ') > 0
    }
    if lines[0] != "{" or "b_info" not in fields or "}" not in lines[-2:] or not _is_laid_out(lines):
        return None
    if key in fields:
        opening = fields[key]
        closing = next((n for n in range(opening, len(lines)) if lines[n].rstrip(",") == _INDENT + "]"), 0)
        if lines[opening] != f'{_INDENT}"{key}": [' or closing < opening + 2 or not lines[closing - 1]:
            return None
        lines[closing - 1] += ","
        lines.insert(closing, entry)
        return "\n".join(lines)
    after = max(fields[name] for name in _LAST_BEFORE[key] if name in fields)
    later = [number for number in fields.values() if number > after]
    at = min(later) if later else next(n for n in range(len(lines) - 1, 0, -1) if lines[n] == "}")
    new = [f'{_INDENT}"{key}": [', entry, _INDENT + ("]," if later else "]")]
    if not later:
        lines[at - 1] += ","
    return "\n".join([*lines[:at], *new, *lines[at:]])


def _is_laid_out(lines: Sequence[str]) -> bool:
    """Whether what stands at the first level are fields, and the ends of those that span lines."""
    inside = False
    for line in lines:
        mark = line[4:5] if line.startswith(_INDENT) else " "
        if mark in ("}", "]"):
            inside = False
        elif mark == '"':
            if inside:
                return False
            inside = line.endswith(("{", "["))
    return True


def _rewrite(text: str, key: str, change: Callable[[list[Entry]], Sequence[object]]) -> bytes:
    from xentool.domain.config.userdata import config_from_userdata

    record = config_from_userdata(text.encode("utf-8", "surrogateescape"))
    listed = record.get(key)
    listed = listed if isinstance(listed, list) else []
    entries = change([entry for entry in listed if isinstance(entry, dict)])
    changed: dict[str, object] = {}
    for name, value in record.items():
        if entries and key not in changed and name not in ("c_info", *_LAST_BEFORE[key]):
            changed[key] = entries
        if name != key:
            changed[name] = value
    if entries:
        changed.setdefault(key, entries)
    return dump(changed).encode("utf-8", "surrogateescape") + b"\0"  # type: ignore[arg-type]
