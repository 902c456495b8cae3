"""libxl's JSON, read and written without the ``json`` module, whose import costs more than a `list` takes.

What reads is the same scanner in C that ``json`` uses; what writes is `yajl`, as for our own records.
"""

from __future__ import annotations

from _collections_abc import Mapping  # what collections.abc has it from; that would cost all of collections

from xentool.domain.config.yajl import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from xentool.domain.config.yajl import Json


MOST_LEVELS = 64
"""Far more than a config of libxl's has: what is read from a file must not find the end of our stack."""


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


_scan = _scanner()


def parse(text: str) -> object:
    """The value that `text` says.

    Raises:
        ValueError: it is no JSON, or more than one value.
    """
    text = text.strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except (StopIteration, RecursionError) as exc:
        raise ValueError("no JSON") from exc
    if end != len(text):
        raise ValueError(f"more than one value of JSON, from character {end} on")
    return value


def write(value: Mapping[str, object]) -> bytes:
    """The value as JSON; bytes that are no UTF-8 (`surrogateescape`) come out as they went in.

    Raises:
        ValueError: it is not made of maps, lists, strings and whole numbers, or too deep.
    """
    return dump(_plain(value, MOST_LEVELS)).encode("utf-8", "surrogateescape")


def _plain(value: object, levels: int) -> Json:
    """The value, once it is known to be made of what libxl's structures are."""
    if isinstance(value, (str, int)):
        return value
    if not levels:
        raise ValueError("that goes too deep")
    if isinstance(value, (list, tuple)):
        return [_plain(item, levels - 1) for item in value]
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is nothing of libxl's")
    return {str(name): _plain(item, levels - 1) for name, item in value.items() if item is not None}
