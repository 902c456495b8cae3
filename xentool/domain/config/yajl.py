"""JSON as libyajl writes it: four blanks a level, an entry a line, an empty map's end two lines on.

Source: yajl's yajl_gen.c and yajl_encode.c.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Json = str | int | dict[str, "Json"] | list["Json"]

_ESCAPES = {
    ord('"'): '\\"', ord("\\"): "\\\\", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r",
} | {code: f"\\u{code:04X}" for code in range(32) if code not in (8, 9, 10, 12, 13)}  # fmt: skip


def dump(value: Json, indent: str = "") -> str:
    """JSON as libyajl beautifies it; the outermost value ends its line."""
    text = _dump(value, indent)
    return text if indent else text + "\n"


def _dump(value: Json, indent: str) -> str:
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, int):
        return str(value) if value is not True and value is not False else str(value).lower()
    inner = indent + "    "
    if isinstance(value, dict):
        items = [f'{inner}"{name.translate(_ESCAPES)}": {_dump(item, inner)}' for name, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _dump(item, inner) for item in value) + f"\n{indent}]"
