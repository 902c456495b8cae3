"""A connection through libxl: calls, long ones (`operations`), and what they answer.

A context is used by one thread at a time (libxl allows no two to poll), which a lock sees to.

Source: libxl.h, libxl_event.h (subprocess handling: what it wants of SIGCHLD).
"""

from __future__ import annotations

from xentool.cfunctions import byref, c_int, c_uint64, c_void_p, string_at
from xentool.errors import HostError, LibxlError
from xentool.toolstack.libxl import jsontext
from xentool.toolstack.libxl.log import PROGRESS, Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from xentool.errors import XentoolError
    from xentool.toolstack.libxl.library import Library
    from xentool.toolstack.libxl.log import Line
    from xentool.toolstack.libxl.operations import Operations, Start

else:
    import _signal as signal  # what signal has it from; that module would cost its enums' making


class Said:
    """What libxl said from a moment on."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._mark = log.count

    def __enter__(self) -> Self:
        self._log.begin()
        self._mark = self._log.count
        return self

    def __exit__(self, *_: object) -> None:
        self._log.end()

    @property
    def lines(self) -> list[Line]:
        return self._log.since(self._mark)

    @property
    def text(self) -> str:
        return "\n".join(map(str, self.lines))

    def failure(self, action: str, subject: object, code: int, *, hint: str = "") -> XentoolError:
        """The error that `code` and what was said mean."""
        from xentool.toolstack.libxl.failures import failure  # which what goes well need not load

        return failure(action, subject, code, self.lines, hint=hint)


class Context:
    """A libxl_ctx. `listener` hears what libxl says, from `level` on, as it says it.

    Raises:
        HostError: libxl cannot be used: no Xen, no store, or somebody else's handler of SIGCHLD.
    """

    def __init__(
        self, library: Library, *, level: int = PROGRESS, listener: Callable[[Line], None] | None = None
    ) -> None:
        from _thread import RLock

        self.library = library
        self._lock = RLock()
        self._free = library.function("free")
        self._operations: Operations | None = None
        _check_sigchld()
        self.log = Log(library, level=level, listener=listener)
        handle = c_void_p()
        try:
            with self.said() as said:
                code = library.function("libxl_ctx_alloc")(byref(handle), 0, 0, self.log.logger)
            if code or not handle.value:
                raise said.failure("use", library.title, code, hint="are you root, on a Xen host?")
        except BaseException:
            self.log.close()
            raise
        self.handle: int = handle.value

    def close(self) -> None:
        """Let go of libxl. What it could not be brought to rest from stays as it is until the process ends:
        libxl_ctx_free would end the process on the spot (assert), and with it what is to be said and undone.
        """
        if self.handle:
            handle, self.handle = self.handle, 0
            if self._operations is None or self._operations.at_rest:
                self.library.function("libxl_ctx_free")(handle)
                self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def said(self) -> Said:
        """As a context: what libxl says in it."""
        return Said(self.log)

    def call(self, action: str, subject: object, name: str, *arguments: object, hint: str = "") -> int:
        """Call a function that is quick and returns a code; what it returns, if that is no error.

        Raises:
            XentoolError: what its code and libxl's words mean.
        """
        with self._lock, self.said() as said:
            code = self.library.function(name)(self.handle, *arguments)
            if code < 0:
                raise said.failure(action, subject, code, hint=hint)
        return code

    def run(
        self,
        action: str,
        subject: object,
        start: Start,
        *,
        hint: str = "",
        progress: Callable[[str], None] | None = None,
        sheltered: bool = False,
    ) -> None:
        """Begin a long operation and wait for its end. `progress` hears libxl's own steps; `sheltered` is as
        with `Operations.run`.

        Raises:
            XentoolError: what its code and libxl's words mean.
        """
        with self._lock, self.said() as said:
            heard_before = self.log.steps_to(progress)
            try:
                code = self.operations.run(start, sheltered=sheltered)
            finally:
                self.log.steps_to(heard_before)
            if code:
                raise said.failure(action, subject, code, hint=hint)

    @property
    def operations(self) -> Operations:
        """The long ones; what is quick loads nothing of them."""
        if self._operations is None:
            from xentool.domain.interruption import without_interruption
            from xentool.toolstack.libxl.operations import Operations

            with without_interruption():  # a stop within would drop what libxl has been given
                self._operations = Operations(self)
        return self._operations

    def read(self, struct: str, address: int) -> dict[str, object]:
        """A structure of libxl's, as its JSON says it.

        Raises:
            LibxlError: libxl makes no sense of it.
        """
        text = self.text_of(self.library.function(f"libxl_{struct}_to_json")(self.handle, address))
        try:
            value = jsontext.parse(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise LibxlError("read", f"libxl_{struct}", f"libxl says {text[:80]!r}, which is no map in JSON")
        return value

    def text_of(self, address: int | None, errors: str = "surrogateescape") -> str:
        """A string that libxl allocated, which is freed; `errors` as for `bytes.decode`."""
        if not address:
            return ""
        try:
            return string_at(address).decode("utf-8", errors)
        finally:
            self._free(address)

    def number(self, action: str, subject: object, name: str, *arguments: object) -> int:
        """What a function writes to the 64-bit number that is its last argument."""
        result = c_uint64()
        self.call(action, subject, name, *arguments, byref(result))
        return result.value

    def array(self, struct: str, name: str, *arguments: object) -> list[dict[str, object]] | None:
        """The structures of the array that a function returns; it takes the count's address last.

        None if it returns no array: it failed, or there are none.
        """
        count = c_int()
        with self._lock:
            address = self.library.function(name)(self.handle, *arguments, byref(count))
            if not address:
                return None
            size = self.library.size_of(struct)
            try:
                return [self.read(struct, address + size * index) for index in range(count.value)]
            finally:
                self._free_array(struct, address, count.value)

    def _free_array(self, struct: str, address: int, count: int) -> None:
        free = f"libxl_{struct}_list_free"
        if self.library.has(free):
            self.library.function(free)(address, count)
            return
        size, dispose = self.library.size_of(struct), self.library.function(f"libxl_{struct}_dispose")
        for index in range(count):
            dispose(address + size * index)
        self._free(address)


def _check_sigchld() -> None:
    """libxl ends the process if somebody else handles SIGCHLD.

    Raises:
        HostError: somebody does.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    if handler not in (signal.SIG_DFL, signal.SIG_IGN):
        raise HostError(
            "use libxl in",
            "this process",
            "its SIGCHLD is handled by another part of the program",
            hint="one program cannot run libxl and, say, asyncio's child watcher",
        )
