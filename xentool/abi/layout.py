"""How a C structure lies in memory: its size, and for each field its offset and `struct` code.

A `Struct` is data about a structure of Xen's public interface, x86-64 and
little-endian. Fields that nobody here reads or writes may be left out; what is
there is compared with the C headers by a test.
"""

from __future__ import annotations

from _struct import Struct as _Codec  # what struct has it from; that module would cost its import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    Value = int | bytes | Iterable[int]
    Buffer = bytes | bytearray | memoryview


class Field:
    """One field: where it is, how it is coded, and its path in C.

    `code` is one item of the `struct` module's language: a scalar (``I``), bytes
    (``16s``) or an array (``8Q``). A path has dots where C has nested structures.
    """

    __slots__ = ("code", "is_array", "offset", "path")

    def __init__(self, offset: int, code: str, path: str) -> None:
        self.offset = offset
        self.code = code
        self.path = path
        self.is_array = len(code) > 1 and code[-1] != "s"


class Struct:
    """A C structure: ``Struct("struct name", size, {"field": (offset, code), …})``.

    A field whose name here differs from its path in C gives the path third:
    ``"console_mfn": (72, "Q", "console.domU.mfn")``.
    """

    __slots__ = ("_codecs", "_whole", "c_name", "fields", "size")

    def __init__(
        self, c_name: str, size: int, fields: dict[str, tuple[int, str] | tuple[int, str, str]]
    ) -> None:
        self.c_name: Final = c_name
        self.size: Final = size
        self.fields: Final = {
            name: Field(*(spec if len(spec) == 3 else (*spec, name))) for name, spec in fields.items()
        }
        self._codecs: dict[str, _Codec] = {}
        self._whole: _Codec | None = None

    def offset(self, name: str) -> int:
        """Where a field lies, in bytes from the structure's start."""
        return self.fields[name].offset

    def pack_into(self, view: bytearray | memoryview, at: int = 0, /, **values: Value) -> None:
        """Write the fields that are named; the others stay as they are."""
        for name, value in values.items():
            field = self.fields[name]
            if field.is_array:
                self._codec(name).pack_into(view, at + field.offset, *value)  # type: ignore[misc]
            else:
                self._codec(name).pack_into(view, at + field.offset, value)

    def pack(self, **values: Value) -> bytes:
        """The structure's bytes; fields that are not named are zero."""
        image = bytearray(self.size)
        self.pack_into(image, **values)
        return bytes(image)

    def get(self, view: Buffer, name: str, at: int = 0) -> Any:  # noqa: ANN401 - an int, bytes or a tuple, by the field's code
        """One field's value: an int, bytes, or a tuple of ints where it is an array."""
        field = self.fields[name]
        values = self._codec(name).unpack_from(view, at + field.offset)
        return values if field.is_array else values[0]

    def unpack_from(self, view: Buffer, at: int = 0) -> dict[str, Any]:
        """All fields by name."""
        if any(field.is_array for field in self.fields.values()):
            return {name: self.get(view, name, at) for name in self.fields}
        return dict(zip(self.fields, self.row(view, at), strict=True))

    def row(self, view: Buffer, at: int = 0) -> tuple[Any, ...]:
        """The values of all fields in their order, in one decode: no arrays, and no two on the same bytes."""
        if self._whole is None:
            code, end = "<", 0
            for field in self.fields.values():
                codec = _Codec("<" + field.code)
                code += f"{field.offset - end}x{field.code}"
                end = field.offset + codec.size
            self._whole = _Codec(code)
        return self._whole.unpack_from(view, at)

    def _codec(self, name: str) -> _Codec:
        codec = self._codecs.get(name)
        if codec is None:
            codec = self._codecs[name] = _Codec("<" + self.fields[name].code)
        return codec
