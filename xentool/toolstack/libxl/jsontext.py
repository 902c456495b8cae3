"""libxl's JSON, read and written: as our own records, without the ``json`` module."""

from __future__ import annotations

from _collections_abc import Mapping  # what collections.abc has it from; that would cost all of collections

from xentool.domain.config.yajl import dump, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.config.yajl import Json

__all__ = ["parse", "write"]

MOST_LEVELS = 64
"""Far more than a config of libxl's has: what is read from a file must not find the end of our stack."""


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
