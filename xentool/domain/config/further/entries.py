"""A device's entry of a list: ``word=value`` parts with commas between them, each read into a field.

A value is kept as libxl's JSON has it, and a field that holds what libxl starts with (0, false) is
left out, as libxl leaves it out.
"""

from __future__ import annotations

from xentool.domain.config.limits import UINT32_MAX
from xentool.errors import ConfigError
from xentool.values import FrozenMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import NoReturn

    Read = Callable[[str], object]
    Fields = Mapping[str, tuple[str, Read]]

HEX = frozenset("0123456789abcdef")


def fail(text: str, reason: str, hint: str = "") -> NoReturn:
    """Refuse an entry; who reads the list adds its file and line."""
    raise ConfigError("read", text, reason, hint=hint)


def pairs_of_text(text: str) -> list[tuple[str, str]]:
    """The parts of an entry, in order.

    Raises:
        ConfigError: a part has no value.
    """
    pairs = []
    for part in text.split(","):
        word, equals, value = part.strip().partition("=")
        if not word and not equals:
            continue
        if not equals:
            fail(text, f'"{word}" is no WORD=VALUE', "write WORD=VALUE parts with commas between them")
        pairs.append((word.strip(), value.strip()))
    return pairs


def pairs_of_mapping(entry: Mapping[str, object]) -> list[tuple[str, str]]:
    """The same of a YAML mapping: its values are text, numbers, true or false, or lists of text.

    Raises:
        ConfigError: a value is something else.
    """
    pairs = []
    for word, value in entry.items():
        if isinstance(value, list) and all(isinstance(item, (str, int)) for item in value):
            text = ";".join(str(item) for item in value)
        elif isinstance(value, bool):
            text = str(int(value))
        elif isinstance(value, (str, int)):
            text = str(value)
        else:
            fail(str(entry), f"{word} must be text or a number")
        if "," in text:
            fail(str(entry), f"{word} must not hold a comma")
        pairs.append((word, text))
    return pairs


def read_fields(pairs: Iterable[tuple[str, str]], fields: Fields, shown: str) -> dict[str, object]:
    """The fields that the parts set. `shown` is the entry, for messages.

    Raises:
        ConfigError: an unknown word, one that is given twice, or a value that does not fit.
    """
    found: dict[str, object] = {}
    seen: set[str] = set()
    for word, value in pairs:
        if word not in fields:
            import difflib

            near = difflib.get_close_matches(word, list(fields), 1)
            fail(
                shown,
                f'there is no "{word}" here',
                f"did you mean {near[0]}?" if near else f"known are: {', '.join(fields)}",
            )
        if word in seen:
            fail(shown, f"{word} is given twice", "keep one of them")
        seen.add(word)
        name, read = fields[word]
        if not value:
            fail(shown, f"{word} has no value", f"write {word}=…, or leave {word} out")
        try:
            given = read(value)
        except ValueError as exc:
            fail(shown, f"{word}={value}: {exc}")
        if given not in (0, False) or name in KEPT:
            found[name] = given
    return found


KEPT = ("ctrl", "devid", "gfn")
"""Fields in which 0 is a choice of its own: libxl starts with another value."""


def entry(fields: Mapping[str, object]) -> FrozenMap:
    return FrozenMap(fields)


def text(value: str) -> str:
    """One line of text.

    Raises:
        ValueError: it holds what does not print.
    """
    if not value.isprintable():
        raise ValueError("it holds a character that does not print")
    return value


def flag(value: str) -> bool:
    """0 or 1."""
    if value not in ("0", "1"):
        raise ValueError("it must be 0 or 1")
    return value == "1"


def defbool(value: str) -> str:
    """0 or 1, of which libxl knows a third state, "not said"."""
    return str(flag(value))


def number(lowest: int = 0, highest: int = UINT32_MAX) -> Read:
    """A reader of whole numbers between two bounds."""

    def read(value: str) -> int:
        from xentool.domain.config.lexer import parse_number

        found = parse_number(value)
        if found is None or not lowest <= found <= highest:
            raise ValueError(f"it must be a number from {lowest:,} to {highest:,}")
        return found

    return read


def one_of(*words: str) -> Read:
    """A reader of one of `words`, in small or capital letters."""

    def read(value: str) -> str:
        if value.lower() not in words:
            raise ValueError(f"it must be one of: {', '.join(words)}")
        return value.lower()

    return read


def uuid(value: str) -> str:
    """A UUID in its canonical form."""
    digits = value.lower().replace("-", "")
    if len(digits) != 32 or not HEX.issuperset(digits):
        raise ValueError("it is not a UUID")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
