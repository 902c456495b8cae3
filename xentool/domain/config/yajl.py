"""JSON as libyajl writes it: four blanks a level, an entry a line, an empty map's end two lines on.

And read, by the same scanner in C that ``json`` uses, whose import costs more than a `list` takes.

Source: yajl's yajl_gen.c and yajl_encode.c.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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


class _Dialect:
    """What `json.decoder.JSONDecoder` tells its scanner. Control characters in strings are let be."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _scanner() -> Callable[[str, int], tuple[object, int]]:
    try:
        from _json import make_scanner
    except ImportError:  # a Python without its C
        from json.decoder import JSONDecoder

        return JSONDecoder(strict=False).raw_decode
    dialect: Any = _Dialect
    made: Callable[[str, int], tuple[object, int]] = make_scanner(dialect)
    return made


def parse(text: str) -> object:
    """The value that `text` says.

    Raises:
        ValueError: it is no JSON, or more than one value.
    """
    text = text.strip(" \t\r\n")
    try:
        value, end = _scanner()(text, 0)
    except StopIteration as exc:
        raise ValueError(f"nothing of JSON is at character {exc.value}") from exc
    except RecursionError as exc:
        raise ValueError("JSON that goes too deep") from exc
    if end != len(text):
        raise ValueError(f"more than one value of JSON, from character {end} on")
    return value
