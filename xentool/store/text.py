"""Values as people read and type them: any bytes, and nothing that a terminal would obey.

A value is whatever a guest has written. Everything but printable ASCII is shown
as an escape, and the same escapes can be typed: ``\\n \\r \\t \\\\``, three octal
digits (``\\000``), two hexadecimal ones (``\\x1b``).

Source: tools/xenstore/xs_lib.c (sanitise_value, unsanitise_value), whose text
scripts know from xenstore-read and xenstore-ls.
"""

from __future__ import annotations

from xentool.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ESCAPES: Final = {
    code: f"\\{code:03o}" if code < 8 else f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100))
}
_ESCAPES.update({ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r", ord("\\"): "\\\\"})

_LETTERS: Final = {ord("t"): 9, ord("n"): 10, ord("r"): 13}
_HEX: Final = b"0123456789abcdefABCDEF"
_OCTAL: Final = b"01234567"


def escaped(value: bytes) -> str:
    """`value` as printable ASCII, reversible by `unescaped`."""
    return value.decode("latin-1").translate(_ESCAPES)


def shown(text: str) -> str:
    """A path, or whatever else came from the store as text, fit for a terminal."""
    return text if text.isascii() and text.isprintable() else escaped(text.encode("utf-8", "surrogateescape"))


def unescaped(text: bytes) -> bytes:
    """The bytes that were meant by what somebody typed.

    Raises:
        UsageError: it ends within an escape.
    """
    if b"\\" not in text:
        return text
    at, end = text.index(b"\\"), len(text)
    out = bytearray(text[:at])
    while at < end:
        code, at = take_escape(text, at)
        out.append(code)
        following = text.find(b"\\", at)
        following = end if following < 0 else following
        out += text[at:following]
        at = following
    return bytes(out)


def take_escape(text: bytes, at: int) -> tuple[int, int]:
    """The byte that the escape at `at` (its backslash) stands for, and where it ends.

    Raises:
        UsageError: the text ends there.
    """
    at += 1
    if at >= len(text):
        raise UsageError(
            "read", "the value", "it ends in a lone backslash", hint="type two for one: \\\\; or use --raw"
        )
    code = text[at]
    if code == ord("x"):
        end = at + 1
        while end < min(at + 3, len(text)) and text[end] in _HEX:
            end += 1
        return (int(text[at + 1 : end], 16), end) if end > at + 1 else (code, end)
    if code in _OCTAL:
        end = at
        while end < min(at + 3, len(text)) and text[end] in _OCTAL:
            end += 1
        return int(text[at:end], 8) & 0xFF, end
    return _LETTERS.get(code, code), at + 1


def plain(value: bytes) -> str | None:
    """`value` as text where it is UTF-8 of characters that print, tabs and line ends; else None."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    if text.isprintable() or all(char in "\t\n\r" or char.isprintable() for char in text):
        return text
    return None


def value_fields(value: bytes) -> dict[str, object]:
    """A value in JSON: ``{"value": text}`` where it is text, ``{"base64": text}`` where it is not."""
    text = plain(value)
    if text is not None:
        return {"value": text}
    from binascii import b2a_base64

    return {"base64": b2a_base64(value, newline=False).decode("ascii")}
