"""Operations on the store as lines of text, and carrying them out as one.

    # a comment
    expect /local/domain/3/name web
    write /local/domain/3/data/x "two words" /local/domain/3/data/y \\x00\\x01
    chmod /local/domain/3/data/x n3 r0
    read /local/domain/3/data/x
    rm /tool/old
    mkdir /tool/new

Everything is read and checked before anything is asked of the daemon.
"""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.errors import StoreError, StoreGoneError, UsageError
from xentool.store.operations import failure, is_gone_anyway, permissions_payload, write_payload
from xentool.store.paths import check_path
from xentool.store.text import escaped, take_escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from xentool.store.operations import Transaction

WORDS: Final = ("expect", "read", "write", "rm", "mkdir", "chmod")
_BLANKS: Final = b" \t\r"


class Step:
    """One request: `payload` of type `kind` about `path`; a read with `expected` must find that value."""

    __slots__ = ("expected", "kind", "line", "path", "payload")

    def __init__(
        self, kind: int, path: str, payload: bytes, line: int, expected: bytes | None = None
    ) -> None:
        self.kind = kind
        self.path = path
        self.payload = payload
        self.line = line
        self.expected = expected


class ExpectationError(StoreError):
    """A node does not have the value that was expected; nothing was carried out."""

    exit_code = 1


def parse_script(text: bytes, name: str, locate: Callable[[str], str] = str) -> list[Step]:
    """The operations in `text`; `name` is for messages, `locate` makes paths of what stands for them.

    Raises:
        UsageError: a line cannot be understood; it names the line.
    """
    steps: list[Step] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        where = f"{name}, line {number}"
        words = _words(line, where)
        if words:
            try:
                steps += _steps(words, number, where, locate)
            except StoreGoneError:
                raise  # `locate` asks the store; that this is not there is no fault of the line
            except StoreError as error:
                raise UsageError("read", where, f"{error.subject}: {error.reason}") from error
    return steps


def carry_out(transaction: Transaction, steps: list[Step]) -> list[tuple[str, bytes]]:
    """Ask for `steps` in one go; the path and value of each ``read``, in order.

    Raises:
        StoreError: the first that was refused; the transaction must not be committed then.
        ExpectationError: a node has another value than expected.
    """
    requests = [(step.kind, step.payload) for step in steps]
    if not requests:
        return []
    values: list[tuple[str, bytes]] = []
    for step, reply in zip(steps, transaction.client.exchange(transaction.tx_id, requests), strict=True):
        if reply[0] != step.kind and not is_gone_anyway(step.kind, reply[3]):
            error = failure(step.kind, step.payload, reply[3])
            error.add_note(f"line {step.line}; nothing was changed")
            raise error
        if step.kind != xs_wire.XS_READ:
            continue
        if step.expected is None:
            values.append((step.path, reply[3]))
        elif reply[3] != step.expected:
            raise ExpectationError(
                f"carry out line {step.line}:",
                f"expect {step.path}",
                "ECANCELED",
                f'its value is "{escaped(reply[3])}", not "{escaped(step.expected)}"',
                hint="nothing was changed",
            )
    return values


def _steps(words: list[bytes], line: int, where: str, locate: Callable[[str], str]) -> list[Step]:
    operation = words[0].decode("ascii", "backslashreplace")
    arguments = words[1:]
    if operation not in WORDS:
        raise UsageError(
            "read", where, f"there is no operation '{operation}'", hint=f"there are {', '.join(WORDS)}"
        )
    paired = operation in ("write", "expect")
    least = 2 if paired or operation == "chmod" else 1
    if len(arguments) < least or (paired and len(arguments) % 2):
        wanted = "pairs of a path and a value" if paired else "a path and permissions"
        raise UsageError(
            "read", where, f"'{operation}' takes {wanted if least > 1 else 'at least one path'}",
            hint='"" is an empty value',
        )  # fmt: skip
    steps = []
    if operation == "chmod":
        path = locate(_text(arguments[0]))
        payload = permissions_payload(path, [_text(word) for word in arguments[1:]])
        return [Step(xs_wire.XS_SET_PERMS, path, payload, line)]
    for at in range(0, len(arguments), 2 if paired else 1):
        path = locate(_text(arguments[at]))
        if operation == "write":
            steps.append(Step(xs_wire.XS_WRITE, path, write_payload(path, arguments[at + 1]), line))
            continue
        payload = check_path(operation, path) + b"\0"
        if operation == "rm":
            steps.append(Step(xs_wire.XS_RM, path, payload, line))
        elif operation == "mkdir":
            steps.append(Step(xs_wire.XS_MKDIR, path, payload, line))
        else:
            expected = arguments[at + 1] if operation == "expect" else None
            steps.append(Step(xs_wire.XS_READ, path, payload, line, expected))
    return steps


def _text(word: bytes) -> str:
    return word.decode("utf-8", "backslashreplace")


def _words(line: bytes, where: str) -> list[bytes]:
    """A line's words: quotes keep blanks, escapes count everywhere but in single quotes."""
    words: list[bytes] = []
    at, end = 0, len(line)
    while at < end:
        if line[at] in _BLANKS:
            at += 1
            continue
        if not words and line[at] == ord("#"):
            break
        word = bytearray()
        while at < end and line[at] not in _BLANKS:
            take = _quoted if line[at] in b"\"'" else _taken
            at = take(line, at, word, where)
        words.append(bytes(word))
    return words


def _quoted(line: bytes, at: int, word: bytearray, where: str) -> int:
    """Take a quoted part into `word`; where it ends."""
    quote = line[at]
    at += 1
    while at < len(line) and line[at] != quote:
        if quote == ord("'"):
            word.append(line[at])
            at += 1
        else:
            at = _taken(line, at, word, where)
    if at >= len(line):
        raise UsageError("read", where, f"a {chr(quote)} is never closed")
    return at + 1


def _taken(line: bytes, at: int, word: bytearray, where: str) -> int:
    """Take one character, or one escape, into `word`; where it ends."""
    if line[at] != ord("\\"):
        word.append(line[at])
        return at + 1
    if at + 1 >= len(line):
        raise UsageError("read", where, "it ends in a lone backslash", hint="type two for one: \\\\")
    code, after = take_escape(line, at)
    word.append(code)
    return after
