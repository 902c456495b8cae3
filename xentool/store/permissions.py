"""Who may read and write a node.

A node has a list of permissions. The first names its owner, who may do
everything, and what everybody may do who is not named after it; each other one
says what one domain may do. As text: a letter (n none, r read, w write, b both)
and a domid, "n0" or "r5".

Source: docs/misc/xenstore.txt (SET_PERMS), xenstore_lib.h (XS_PERM_*).
"""

from __future__ import annotations

from xentool.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

READ: Final = 1
WRITE: Final = 2
OWNER: Final = 8
REVOKED: Final = 16
"""Kept by the server: the domain that this was granted to is gone; its domid's next owner gets nothing."""

_LETTERS: Final = "nrwb"


class Permission:
    """One entry of a node's list; `str` of it is its text, "r5". Shared, so never changed once made.

    `bits`: `READ`, `WRITE`, both or neither (the server also keeps `REVOKED` here).
    """

    __slots__ = ("bits", "domid")

    def __init__(self, domid: int, bits: int = 0) -> None:
        self.domid = domid
        self.bits = bits

    @classmethod
    def parse(cls, text: str) -> Permission:
        """The permission that `text` ("n0", "b12") means.

        A guest may name any 32 bits as a domid, and the daemon prints them with a
        sign ("r-1"); what was read so can be written so.

        Raises:
            StoreError: EINVAL, `text` is none.
        """
        bits = _LETTERS.find(text[:1]) if text else -1
        digits = text[2:] if text[1:2] == "-" else text[1:]
        if bits < 0 or not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            raise StoreError(
                "read permission", repr(text), "EINVAL", "it is not one of n, r, w, b followed by a domid"
            )
        return cls(int(text[1:]), bits)

    @property
    def read(self) -> bool:
        return bool(self.bits & READ)

    @property
    def write(self) -> bool:
        return bool(self.bits & WRITE)

    def __str__(self) -> str:
        return f"{_LETTERS[self.bits & 3]}{self.domid}"

    def __repr__(self) -> str:
        return f"Permission({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Permission) and self.domid == other.domid and self.bits == other.bits

    def __hash__(self) -> int:
        return hash((self.domid, self.bits))
