"""The keys that go beyond what every toolstack does, read and checked: `DomainConfig.beyond`.

A value is a bool for a key that is a flag, an int, a str, or a tuple of entries for a list.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.config.keys import Key
    from xentool.domain.config.reader import Reader

LONG_MAX = (1 << 63) - 1


def read_beyond(reader: Reader, keys: Sequence[Key]) -> dict[str, object]:
    """The values of `keys`: those that the config gives, libxl alone honours, and concern such a guest.

    Raises:
        ConfigError: a value does not fit its key.
    """
    return {key.name: _value(reader, key) for key in keys}


def _value(reader: Reader, key: Key) -> object:
    kinds = key.kind.split(" or ")
    value = reader.settings[key.name].value
    if isinstance(value, list) and "list" in kinds:
        return frozen(value)
    if "string" in kinds or ("list" in kinds and value == ""):
        text = reader.text(key.name)
        return () if text == "" and "list" in kinds else text
    if "boolean" in kinds:
        return reader.flag(key.name)
    if "integer" in kinds or "mebibytes" in kinds:
        return reader.number(key.name, -LONG_MAX, LONG_MAX)
    raise reader.error(key.name, "must be a list", f"put it in brackets: {key.name} = [ … ]")


def frozen(value: object) -> object:
    """A parsed value with tuples for its lists, and tuples of pairs for its mappings."""
    if isinstance(value, list):
        return tuple(map(frozen, value))
    if isinstance(value, dict):
        return tuple((name, frozen(item)) for name, item in value.items())
    return value
