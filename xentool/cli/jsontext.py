"""JSON as libxl prints it: `xl list -l` and ours are the same bytes.

libxl writes through yajl with `beautify` and four spaces; an empty list or map
takes three lines there. Other programs do not care, and so all our JSON looks
like that. Doing it here also saves the import of json, which costs as much as
half of `list`.
"""

from __future__ import annotations

_ESCAPES = {number: f"\\u{number:04X}" for number in range(0x20)}
_ESCAPES.update({ord('"'): '\\"', ord("\\"): "\\\\"})
_ESCAPES.update({ord(char): "\\" + letter for char, letter in zip("\b\f\n\r\t", "bfnrt", strict=True)})


def to_json(value: object, indent: str = "") -> str:
    """`value` (None, bool, int, float, str; lists and dicts of them) as text, with no newline at its end."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.translate(_ESCAPES) + '"'
    if isinstance(value, int | float):
        return repr(value)
    inner = indent + "    "
    if isinstance(value, dict):
        items = [f"{to_json(str(key))}: {to_json(item, inner)}" for key, item in value.items()]
        opening, closing = "{", "}"
    elif isinstance(value, list | tuple):
        items = [to_json(item, inner) for item in value]
        opening, closing = "[", "]"
    else:
        msg = f"no JSON for {type(value).__name__}"
        raise TypeError(msg)
    body = f",\n{inner}".join(items)
    return f"{opening}\n{inner if items else ''}{body}\n{indent}{closing}"
