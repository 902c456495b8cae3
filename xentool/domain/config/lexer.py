"""The words of xl.cfg: text in, tokens out.

xl's lexer refuses much that has only one meaning, and lets pass some that loses its meaning. Here:

==============================  =============================  =======================================
text                            xl (4.17 to 4.21)              here
==============================  =============================  =======================================
CRLF line ends, a BOM           lexical error                  read as LF, as nothing
``# comment`` at the very end,  lexical error                  a comment
without a newline
``-1``                          lexical error                  a number
``'\\x41'``                      always an error                the character, \\x01 to \\x7f
``'\\101'``                      silently vanishes              error
``12abc``, ``08``, where a      a warning, and then as if      error
number is needed                the key were not there
a stray character at the very   silently vanishes              error
end
bytes that are not UTF-8        pass                           error
==============================  =============================  =======================================

Source: tools/libs/util/libxlu_cfg_l.l, libxlu_cfg.c (xlu__cfgl_dequote).
"""

from __future__ import annotations

from xentool.errors import ConfigError

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
DIGITS = frozenset("0123456789")
WORD = LETTERS | DIGITS | {".", "_"}
NUMBER_WORD = DIGITS | frozenset("abcdefx")
PUNCTUATION = frozenset(",[]=;")
ANYWORD = WORD | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ-")

ESCAPES = {
    '"': '"', "'": "'", "\\": "\\",
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip

# What a token is. Punctuation is its own kind.
IDENT, NUMBER, STRING, NEWLINE, END = (
    "a key",
    "a number",
    "a string",
    "the end of the line",
    "the end of the file",
)


class Text:
    """A config's text and what to call it; knows lines and columns, and makes errors that show them."""

    __slots__ = ("name", "text")

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name

    def line_at(self, offset: int) -> int:
        """The number of the line, from 1, that holds the character at `offset`."""
        return self.text.count("\n", 0, offset) + 1

    def error(self, offset: int, reason: str, hint: str = "") -> ConfigError:
        """An error about the character at `offset`; its detail is the line, with a caret below."""
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        line = self.text[start:] if end < 0 else self.text[start:end]
        column = offset - start
        blank = "".join("\t" if char == "\t" else " " for char in line[:column])
        return ConfigError(
            "read config",
            self.name,
            f"line {self.line_at(offset)}, column {column + 1}: {reason}",
            hint=hint,
            detail=f"{line}\n{blank}^",
        )


class Token:
    """A word of the text: its kind, its value (a string's is without quotes), where it begins."""

    __slots__ = ("kind", "offset", "value")

    def __init__(self, kind: str, value: str, offset: int) -> None:
        self.kind = kind
        self.value = value
        self.offset = offset

    def __str__(self) -> str:
        if self.kind in (NEWLINE, END):
            return self.kind
        if self.kind == STRING:
            return f'the string "{self.value}"' if len(self.value) <= 40 else "a string"
        return f'"{self.value}"'


def decode(raw: bytes, name: str) -> str:
    """A config file's bytes as text with LF line ends, without a BOM.

    Raises:
        ConfigError: NUL bytes, or not UTF-8.
    """
    nul = raw.find(b"\0")
    if nul >= 0:
        line = raw.count(b"\n", 0, nul) + 1
        raise ConfigError(
            "read config",
            name,
            f"line {line} has a NUL byte",
            hint="a config is text; is this the right file?",
        )
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # "utf-8-sig" is a codec that Python would have to import
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise ConfigError(
            "read config",
            name,
            f"line {line} is not UTF-8 (byte 0x{raw[exc.start]:02x})",
            hint="save the file as UTF-8",
        ) from exc
    return text.replace("\r\n", "\n") if "\r" in text else text


def tokens(source: Text) -> list[Token]:
    """All tokens of the text; the last is END.

    Raises:
        ConfigError: something that is no token.
    """
    text = source.text
    size = len(text)
    found: list[Token] = []
    at = 0
    while at < size:
        char = text[at]
        if char in " \t":
            at += 1
        elif char == "\n":
            found.append(Token(NEWLINE, char, at))
            at += 1
        elif char == "#":
            end = text.find("\n", at)
            at = size if end < 0 else end
        elif char in "'\"":
            value, end = _string(source, at)
            found.append(Token(STRING, value, at))
            at = end
        elif char in LETTERS:
            end = _span(text, at, WORD)
            found.append(Token(IDENT, text[at:end], at))
            at = end
        elif char in DIGITS or (char == "-" and text[at + 1 : at + 2] in DIGITS):
            end = _span(text, at + 1, ANYWORD)
            found.append(Token(NUMBER, _number(source, text[at:end], at), at))
            at = end
        elif char in PUNCTUATION:
            found.append(Token(char, char, at))
            at += 1
        elif text.startswith("+=", at):
            found.append(Token("+=", "+=", at))
            at += 2
        else:
            raise _stray(source, at)
    found.append(Token(END, "", size))
    return found


def _span(text: str, start: int, allowed: frozenset[str]) -> int:
    size = len(text)
    while start < size and text[start] in allowed:
        start += 1
    return start


def parse_number(text: str) -> int | None:
    """The number that strtol(text, …, 0) reads, or None where it leaves something over.

    0x is hexadecimal, a leading 0 octal; blanks may precede it.
    """
    digits = text.lstrip(" \t\n\v\f\r")
    sign = -1 if digits.startswith("-") else 1
    digits = digits[1:] if digits[:1] in ("-", "+") else digits
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[:1] == "0" else 10
    body = digits[2:] if base == 16 else digits
    if not body or len(body) > 32 or not body.isascii() or not body.isalnum():
        return None
    try:
        return sign * int(body, base)
    except ValueError:
        return None


def _number(source: Text, text: str, at: int) -> str:
    if NUMBER_WORD.issuperset(text) or parse_number(text) is not None:
        return text  # xl takes "12abc" as text; whether it had to be a number, the key knows
    raise source.error(at, f"{text} is not a number", f'if it is text, put it in quotes: "{text}"')


def _string(source: Text, start: int) -> tuple[str, int]:
    text = source.text
    quote = text[start]
    if text.startswith(quote * 3, start):
        raise source.error(start, "strings have no triple quotes", f"write {quote}…{quote}, all in one line")
    newline = text.find("\n", start)
    limit = len(text) if newline < 0 else newline
    end = text.find(quote, start + 1, limit)
    escape = text.find("\\", start + 1, limit)
    if end >= 0 and not 0 <= escape < end:
        return text[start + 1 : end], end + 1
    parts: list[str] = []
    at = start + 1
    while at < limit:
        char = text[at]
        if char == quote:
            return "".join(parts), at + 1
        if char == "\\":
            char, at = _escape(source, at, limit)
            parts.append(char)
        else:
            parts.append(char)
            at += 1
    raise source.error(start, f"a string begins here but does not end in this line ({quote} is missing)")


def _escape(source: Text, at: int, limit: int) -> tuple[str, int]:
    text = source.text
    char = text[at + 1] if at + 1 < limit else ""
    if char in ESCAPES:
        return ESCAPES[char], at + 2
    if char == "x":
        code = text[at + 2 : at + 4]
        if len(code) == 2 and code.isalnum() and code.isascii():
            try:
                value = int(code, 16)
            except ValueError:
                value = 0
            if 0 < value < 0x80:
                return chr(value), at + 4
        raise source.error(at, "\\x must be followed by two hexadecimal digits, 01 to 7f")
    if char and char in "01234567":
        raise source.error(
            at, f"\\{char}… is an octal escape, which xl drops without a word", "write the character itself"
        )
    what = f"\\{char}" if char else "a \\ at the end of the line"
    raise source.error(at, f"{what} means nothing in a string", "write \\\\ for one \\")


def _stray(source: Text, at: int) -> ConfigError:
    text = source.text
    char = text[at]
    end = _span(text, at, ANYWORD)
    word = text[at:end]
    if word in ("True", "False"):
        return source.error(at, f"{word} is Python", f"write {int(word == 'True')}")
    if word and word[0].isupper():
        after = text[end:].lstrip(" \t")
        if after.startswith(("=", "+=")):
            return source.error(at, f"keys are written in lower case, not {word}", f"write {word.lower()}")
        return source.error(at, f"{word} is not a value", f'put text in quotes: "{word}"')
    if char == "\\" and text[at + 1 : at + 2] in ("\n", ""):
        return source.error(at, "lines are not continued by \\", "a list may span lines: put it in [ ]")
    if char in "+-.():{}":
        return source.error(
            at, f'"{char}" is not xl.cfg', "a config is not Python: only key = value, no expressions"
        )
    shown = char if char.isprintable() else f"the character U+{ord(char):04X}"
    return source.error(
        at, f"{shown} cannot stand here", "outside of quotes there are keys, numbers, = , ; [ ] and #"
    )
