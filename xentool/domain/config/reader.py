"""Settings, read as what each key must hold: numbers, flags, words, CPU lists.

xl, when a value does not fit its key, prints a warning and goes on as if the key were not
there. Here that is an error, which names the key, the value, the reason, the way out and the line.

Source: tools/libs/util/libxlu_cfg.c (xlu_cfg_get_string, _get_bounded_long, _get_defbool).
"""

from __future__ import annotations

from xentool.domain.config.lexer import parse_number
from xentool.errors import ConfigError
from xentool.values import Frozen, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from xentool.domain.config.affinity import Affinity
    from xentool.domain.config.parser import Setting, Value
    from xentool.values import Word

    D = TypeVar("D")
    W = TypeVar("W", bound=Word)

UNITS_KIB = {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20, "TiB": 1 << 30}


class ConfigWarning(Frozen):
    """Something in a config that is likely a mistake, but does not stop a create.

    `key` is the config's key, `where` is "line 3" or "command line", `hint` may be empty.
    """

    __slots__ = ("hint", "key", "path", "reason", "where")
    key: str
    reason: str
    hint: str
    path: str
    where: str

    def __init__(self, key: str, reason: str, hint: str = "", path: str = "", where: str = "") -> None:
        set_slots(self, locals())

    def __str__(self) -> str:
        place = f"{self.path}: {self.where}: " if self.where else f"{self.path}: "
        return f"{place}{self.key} {self.reason}" + (f" ({self.hint})" if self.hint else "")


class Reader:
    """The settings of one config, by key, with typed access. `path` is the file's name, for messages.

    Each reading method gives `default` where the key is absent, and raises ConfigError where its
    value does not fit. `warnings` gathers what is odd but harmless.
    """

    __slots__ = ("path", "settings", "syntax", "warnings")

    def __init__(self, settings: dict[str, Setting], path: str, syntax: str = "xl") -> None:
        self.settings = settings
        self.path = path
        self.syntax = syntax
        self.warnings: list[ConfigWarning] = []

    def __contains__(self, key: str) -> bool:
        return key in self.settings

    def error(self, key: str, reason: str, hint: str = "") -> ConfigError:
        """An error about the value of `key`, which must be set."""
        setting = self.settings[key]
        return ConfigError(
            "read config", self.path, f"{setting.where}: {key} = {show(setting.value)}: {reason}", hint=hint
        )

    def warn(self, key: str, reason: str, hint: str = "") -> None:
        """Note something odd about `key`."""
        where = self.settings[key].where if key in self.settings else ""
        self.warnings.append(ConfigWarning(key, reason, hint, self.path, where))

    def text(self, key: str, default: str = "", *, forbidden: str = "\0\n\r") -> str:
        """A string. A number will do: xl.cfg has no other numbers than strings of digits."""
        setting = self.settings.get(key)
        if setting is None:
            return default
        value = setting.value
        if isinstance(value, (list, dict)):
            raise self.error(key, "is a list, but must be one value", f"write {key} = …, without [ ]")
        if isinstance(value, bool):
            raise self.error(key, "is a yes or no, but must be text", "put it in quotes")
        text = str(value)
        bad = next((char for char in text if char in forbidden or "\ud800" <= char <= "\udfff"), None)
        if bad is not None:
            raise self.error(
                key, f"holds the character U+{ord(bad):04X}", "write it in one line of plain text"
            )
        return text

    def number(self, key: str, lowest: int, highest: int, what: str = "a number") -> int | None:
        """A whole number between two bounds, both included; None if the key is absent."""
        setting = self.settings.get(key)
        if setting is None:
            return None
        number = self._number(key, setting, what)
        if not lowest <= number <= highest:
            raise self.error(key, f"must be {what} from {lowest:,} to {highest:,}")
        return number

    def _number(self, key: str, setting: Setting, what: str) -> int:
        value = setting.value
        if isinstance(value, (bool, list, dict)):
            raise self.error(key, f"must be {what}")
        if isinstance(value, int):
            return value
        if setting.joined:
            raise self.error(key, "+= joins text, and cannot make a number", f"write {key} = …")
        number = parse_number(value)
        if number is None:
            hint = ""
            if value.isdecimal():
                hint = "a leading 0 makes it octal; write it without the 0"
            elif value[:1].isdigit() and self.syntax == "xl" and what.endswith("MiB"):
                hint = "xl.cfg counts memory in MiB, without a unit (YAML configs take units)"
            raise self.error(key, f"must be {what}", hint)
        digits = value.strip().lstrip("+-")
        if len(digits) > 1 and digits[0] == "0" and digits.isdecimal():
            self.warn(key, f"= {value} is octal and means {number}", "a leading 0 makes it so")
        return number

    def memory_kib(self, key: str, lowest_mib: int, highest_mib: int) -> int | None:
        """Memory in KiB: a number of MiB or, in YAML, a number with KiB, MiB, GiB or TiB."""
        setting = self.settings.get(key)
        if setting is None:
            return None
        what = "a number of MiB"
        value = setting.value
        unit = value[-3:] if isinstance(value, str) else ""
        if self.syntax == "yaml" and isinstance(value, str) and unit in UNITS_KIB:
            number = parse_number(value[:-3].strip())
            if number is None:
                raise self.error(key, f"must be {what}, or a whole number with a unit", "for example: 512MiB")
            kib = number * UNITS_KIB[unit]
        else:
            kib = self._number(key, setting, what) << 10
        if not lowest_mib << 10 <= kib <= highest_mib << 10:
            raise self.error(key, f"must be {what} from {lowest_mib:,} to {highest_mib:,}")
        return kib

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Yes or no: a number, of which 0 is no; in YAML also true and false."""
        setting = self.settings.get(key)
        if setting is None:
            return default
        if isinstance(setting.value, bool):
            return setting.value
        return bool(self._number(key, setting, "0 or 1"))

    def word(self, key: str, words: type[W], default: W) -> W:
        """One word of a closed set."""
        if key not in self.settings:
            return default
        text = self.text(key)
        word = words.of(text)
        if word is None:
            raise self.error(
                key, f"must be one of: {', '.join(words.WORDS)}", _nearest_word(text, words.WORDS)
            )
        return word

    def affinity(self, key: str) -> Affinity | None:
        """A CPU list, or a list of them; None if the key is absent or an empty list."""
        setting = self.settings.get(key)
        if setting is None or setting.value == []:
            return None
        from xentool.domain.config.affinity import AffinityError, parse_affinity  # few configs have one

        try:
            if isinstance(setting.value, list):
                return parse_affinity([self._item(key, item) for item in setting.value])
            return parse_affinity(self.text(key))
        except AffinityError as exc:
            raise self.error(
                key, str(exc), 'for example: "0-3", "all,^0", "node:1", or ["0", "1"] with one entry per vcpu'
            ) from exc

    def entries(
        self, key: str, of_text: Callable[[str], D], of_mapping: Callable[[dict[str, Value]], D]
    ) -> list[D]:
        """A list of devices: each entry is text in xl's syntax or, in YAML, a mapping of the same keys.

        The ConfigError of a reading function gets the file, the line and the entry's number.
        """
        setting = self.settings.get(key)
        if setting is None or setting.value == "":
            return []
        if not isinstance(setting.value, list):
            raise self.error(key, "must be a list", f"put it in brackets: {key} = [ … ]")
        found: list[D] = []
        for number, item in enumerate(setting.value):
            text = "" if isinstance(item, dict) else self._item(key, item)
            try:
                found.append(of_mapping(item) if isinstance(item, dict) else of_text(text))
            except ConfigError as exc:
                entry = f"{setting.where}: {key}[{number}] = {show(item)}"
                raise ConfigError("read config", self.path, f"{entry}: {exc.reason}", hint=exc.hint) from exc
        return found

    def _item(self, key: str, item: Value) -> str:
        if isinstance(item, (list, dict, bool)):
            raise self.error(key, "its entries must be text or numbers")
        return str(item)


def show(value: Value) -> str:
    """A value as a config would have it, cut to a readable length."""
    if isinstance(value, list):
        text = "[" + ", ".join(map(show, value[:4])) + (", …]" if len(value) > 4 else "]")
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int):
        text = str(value)
    else:
        text = '"' + "".join(char if char.isprintable() else "?" for char in value[:80]) + '"'
    return text if len(text) <= 80 else text[:79] + "…"


def _nearest_word(text: str, words: tuple[str, ...]) -> str:
    import difflib

    near = difflib.get_close_matches(text.lower().replace("_", "-"), words, 1) or difflib.get_close_matches(
        text.lower(), words, 1
    )
    return f'did you mean "{near[0]}"?' if near else ""
