"""What the server says no with, and how it reads numbers."""

from __future__ import annotations

from xentool.abi.xs_wire import XSD_ERRORS

_BLANKS = b" \t\n\v\f\r"


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not an error of ours
    """A request is answered with XS_ERROR and `word`, one of XSD_ERRORS. Never leaves the server."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word if word in XSD_ERRORS else "EINVAL"


def leading_number(text: bytes, base: int = 10) -> tuple[int, bytes]:
    """The number that `text` begins with, and what follows it, as strtol(3) reads it; 0 where there is none.

    xenstored reads every number of the protocol so, and clients rely on it
    ("12 " and "+12" are domids). `base` 0 knows "0x1f" and "017" too.
    """
    rest = text.lstrip(_BLANKS)
    sign = -1 if rest[:1] == b"-" else 1
    digits = rest[1:] if rest[:1] in (b"-", b"+") else rest
    if base == 0:
        base = 10
        if (
            digits[:2].lower() == b"0x"
            and digits[2:3].isalnum()
            and chr(digits[2]) in "0123456789abcdefABCDEF"
        ):
            base, digits = 16, digits[2:]
        elif digits[:1] == b"0":
            base = 8
    alphabet = b"0123456789abcdefABCDEF" if base == 16 else b"01234567" if base == 8 else b"0123456789"
    end = 0
    while end < len(digits) and digits[end] in alphabet:
        end += 1
    if not end:
        return 0, text
    # A longer number is out of every range that the protocol has.
    return sign * int(digits[: min(end, 20)], base), digits[end:]


def to_domid(text: bytes) -> int:
    """A domid as the daemon reads it: the low 32 bits of whatever number stands first."""
    return leading_number(text)[0] & 0xFFFFFFFF
