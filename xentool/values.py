"""Frozen values and closed sets of words, written by hand.

`enum` and `dataclasses` cost more to import than reading a config does, and
every command that changes a domain reads one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, NoReturn, Self


class Word(str):
    """One word of a closed set; equal to its text. Each set lists its words in `WORDS`, in libxl's order."""

    __slots__ = ()
    WORDS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, text: str) -> Self | None:
        """The word written `text`, or None if there is no such word."""
        return cls(text) if text in cls.WORDS else None


class Frozen:
    """A value: its slots are set once, by `__init__`, and two are equal if their slots are."""

    __slots__: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name}")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def replace(self, **changes: object) -> Self:
        """The same value but for `changes`, named by slot."""
        return type(self)(**{name: getattr(self, name) for name in self.__slots__} | changes)


def set_slots(value: Frozen, values: dict[str, object]) -> None:
    """Give each slot of a `Frozen` its value, by name; for `__init__` alone."""
    for name in value.__slots__:
        object.__setattr__(value, name, values[name])


class FrozenMap(dict[str, object]):
    """A dict of hashable values that stays as it was made, and so has a hash itself."""

    __slots__ = ()

    def _refuse(self, *_arguments: object, **_named: object) -> NoReturn:
        raise TypeError("this mapping is frozen")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self
