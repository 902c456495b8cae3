"""The grammar of xl.cfg: statements of a key and a value.

    file  = { [ KEY ("=" | "+=") value ] (NEWLINE | ";") }       the last end of line may be missing
    value = STRING | NUMBER | "[" [ value { "," value } [","] ] "]"
                                                    newlines may follow "[", "," and a list's values

A key given twice has its last value. ``+=`` joins strings, and lists; xl takes numbers for strings there and
then refuses them as numbers, and so do we (`Setting.joined`).

Overrides (``key=value`` on the command line) are statements that follow the file's. xl wants quotes around
text there too, which a shell eats; so an override whose value is not xl.cfg is taken word for word.

Source: tools/libs/util/libxlu_cfg_y.y, libxlu_cfg.c; tools/xl/xl_vmcontrol.c (main_create, create_domain).
"""

from __future__ import annotations

from xentool.domain.config.lexer import (
    END,
    IDENT,
    LETTERS,
    NEWLINE,
    NUMBER,
    STRING,
    WORD,
    Text,
    Token,
    tokens,
)
from xentool.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Value = str | int | bool | list["Value"] | dict[str, "Value"]

MAX_DEPTH = 8
"""Lists nest this deep at most (xl.cfg's own go two deep: vnuma)."""


class Setting:
    """A key's value, and where it stands.

    xl.cfg has strings and lists only (a number is a string until somebody asks for a number);
    YAML adds integers, booleans and, in lists, mappings. `joined` tells that ``+=`` made it.
    `where` is "line 3" or "command line".
    """

    __slots__ = ("joined", "value", "where")

    def __init__(self, value: Value, where: str, *, joined: bool = False) -> None:
        self.value = value
        self.where = where
        self.joined = joined


def parse(text: str, name: str, settings: dict[str, Setting] | None = None) -> dict[str, Setting]:
    """The settings of an xl.cfg text, by key. `name` is the file's, for messages.

    Raises:
        ConfigError: with line, column, what was expected, and the line itself in `detail`.
    """
    source = Text(text, name)
    return _Parser(source, settings if settings is not None else {}).parse()


def parse_override(text: str, settings: dict[str, Setting]) -> None:
    """Add a ``key=value`` or ``key+=value`` of the command line to `settings`.

    Raises:
        ConfigError: it is neither.
    """
    key, equals, value = text.partition("=")
    key = key.strip(" \t")
    adds = key.endswith("+")
    key = key.removesuffix("+").rstrip(" \t")
    if not equals or key[:1] not in LETTERS or not WORD.issuperset(key):
        raise ConfigError(
            "read override",
            repr(text),
            "that is not key=value" if equals else "there is no = in it",
            hint="for example: memory=512, or extra='root=/dev/xvda1 ro'",
        )
    value = value.strip(" \t")
    try:
        _Parser(Text(text, "command line"), settings, "command line").parse()
    except ConfigError:
        if not value or value[0] in "\"'[" or "\n" in value:
            raise
        _store(Text(text, "command line"), settings, key, Setting(value, "command line"), adds=adds, offset=0)


class _Parser:
    __slots__ = ("_at", "_settings", "_source", "_tokens", "_where")

    def __init__(self, source: Text, settings: dict[str, Setting], where: str = "") -> None:
        self._source = source
        self._tokens = tokens(source)
        self._settings = settings
        self._where = where
        self._at = 0

    def parse(self) -> dict[str, Setting]:
        while True:
            token = self._next()
            if token.kind == END:
                return self._settings
            if token.kind in (NEWLINE, ";"):
                continue
            self._statement(token)
            end = self._next()
            if end.kind not in (NEWLINE, ";", END):
                raise self._unexpected(end, "the end of the line after the value", self._after_value(end))
            if end.kind == END:
                return self._settings

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _statement(self, key: Token) -> None:
        if key.kind != IDENT:
            raise self._unexpected(key, "a key")
        operator = self._next()
        if operator.kind not in ("=", "+="):
            raise self._unexpected(operator, f'"=" after {key.value}')
        value = self._value(self._next(), 0)
        where = self._where or f"line {self._source.line_at(key.offset)}"
        _store(
            self._source,
            self._settings,
            key.value,
            Setting(value, where),
            adds=operator.kind == "+=",
            offset=operator.offset,
        )

    def _value(self, token: Token, depth: int) -> Value:
        if token.kind in (STRING, NUMBER):
            return token.value
        if token.kind != "[":
            hint = ""
            if token.kind == IDENT:
                hint = f'put text in quotes: "{token.value}"'
            raise self._unexpected(token, "a value: a number, text in quotes, or a list in [ ]", hint)
        if depth == MAX_DEPTH:
            raise self._source.error(token.offset, f"lists nest at most {MAX_DEPTH} deep")
        return self._list(token, depth)

    def _list(self, opening: Token, depth: int) -> list[Value]:
        items: list[Value] = []
        while True:
            token = self._skip_newlines()
            if token.kind == "]":
                return items
            if token.kind == END:
                raise self._unclosed(opening)
            items.append(self._value(token, depth + 1))
            token = self._skip_newlines()
            if token.kind == "]":
                return items
            if token.kind == END:
                raise self._unclosed(opening)
            if token.kind != ",":
                raise self._unexpected(token, '"," or "]" after a list\'s value')

    def _skip_newlines(self) -> Token:
        while (token := self._next()).kind == NEWLINE:
            pass
        return token

    def _unclosed(self, opening: Token) -> ConfigError:
        return self._source.error(opening.offset, 'the list that begins here has no "]"')

    def _unexpected(self, token: Token, expected: str, hint: str = "") -> ConfigError:
        return self._source.error(token.offset, f"expected {expected}, found {token}", hint)

    def _after_value(self, token: Token) -> str:
        if token.kind == STRING:
            return "one value is one string; is a quote missing, or one too many?"
        if token.kind == IDENT:
            return 'put each setting on a line of its own, or ";" between them'
        return ""


def _store(
    source: Text, settings: dict[str, Setting], key: str, new: Setting, *, adds: bool, offset: int
) -> None:
    if adds:
        new.joined = True
        old = settings.get(key)
        if old is not None:
            new.value = _joined(source, key, old, new.value, offset)
    settings[key] = new


def _joined(source: Text, key: str, old: Setting, added: Value, offset: int) -> Value:
    if isinstance(old.value, list) and isinstance(added, list):
        return old.value + added
    if isinstance(old.value, str) and isinstance(added, str):
        return old.value + added
    was, gets = ("a list", "one value") if isinstance(old.value, list) else ("one value", "a list")
    raise source.error(offset, f"{key} is {was} ({old.where}): += cannot add {gets} to it")
