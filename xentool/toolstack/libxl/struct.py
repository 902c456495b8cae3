"""One of libxl's structures: memory of the measured size, filled from JSON and read as JSON."""

from __future__ import annotations

from xentool.cfunctions import addressof, c_char
from xentool.errors import ConfigError
from xentool.toolstack.libxl import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from xentool.toolstack.libxl.context import Context


class Struct:
    """A libxl_`name`, as a context: initialised on entry; what it holds is freed at the end.

    `fill` may be called once: libxl's parser does not free what it writes over.
    """

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._name = name
        self._memory = (c_char * context.library.size_of(name))()

    @property
    def address(self) -> int:
        return addressof(self._memory)

    def __enter__(self) -> Self:
        self._context.library.function(f"libxl_{self._name}_init")(self.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.library.function(f"libxl_{self._name}_dispose")(self.address)

    def copy(self, other: Struct) -> None:
        """Give it what another of its kind holds. As with `fill`, once."""
        copy = self._context.library.function(f"libxl_{self._name}_copy")
        copy(self._context.handle, self.address, other.address)

    def fill(self, value: Mapping[str, object]) -> None:
        """Give it what `value` says; what that leaves out stays libxl's default.

        Raises:
            ConfigError: libxl cannot read it, or would pass over part of it.
        """
        try:
            text = jsontext.write(value)
        except ValueError as exc:
            raise ConfigError(
                "give libxl its",
                self._name,
                f"there is something in it that libxl cannot have: {exc}",
                hint="is it from a file that something else than Xen's tools wrote?",
            ) from exc
        context = self._context
        with context.said() as said:
            code = context.library.function(f"libxl_{self._name}_from_json")(
                context.handle, self.address, text
            )
        if code:
            raise ConfigError(
                "give libxl its",
                self._name,
                "it cannot read what it is given",
                hint="the config has a value that this libxl does not know",
                detail=said.text,
            )
        unknown = missing_keys(value, self.read())
        if unknown:
            raise ConfigError(
                "use",
                context.library.title,
                f"it does not know {', '.join(sorted(unknown))}",
                hint="leave out what needs a later Xen, or what only xentool's native toolstack does",
            )

    def read(self) -> dict[str, object]:
        """What it holds, as libxl says it in JSON: what is at its default is left out."""
        return self._context.read(self._name, self.address)


def missing_keys(given: object, understood: object, prefix: str = "") -> set[str]:
    """The keys of `given` that are not in what libxl made of it.

    libxl skips a key that it does not know, and so would a guest start without, say, its VLAN. What
    is at its default libxl leaves out as well: a zero, an empty value and a false are no evidence.
    """
    found: set[str] = set()
    if isinstance(given, dict):
        there = understood if isinstance(understood, dict) else {}
        for key, value in given.items():
            name = f"{prefix}{key}"
            if key not in there:
                if _says_something(value):
                    found.add(name)
            else:
                found |= missing_keys(value, there[key], f"{name}.")
    elif isinstance(given, list) and isinstance(understood, list):
        for one, other in zip(given, understood, strict=False):
            found |= missing_keys(one, other, prefix)
    return found


def _says_something(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_says_something, value.values()))
    if isinstance(value, list):
        return any(map(_says_something, value))
    return value not in (0, "", None, False, "unknown", "UNKNOWN")
