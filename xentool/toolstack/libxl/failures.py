"""What libxl's error codes and words mean, in ours.

libxl returns a number, most often ERROR_FAIL, and says in its log what went wrong: first the
cause, then what came of it. So the first line that we know makes the reason; of one that we do
not know, libxl's own words do. All its lines are the error's detail.

Source: tools/libs/light/libxl_types.idl (libxl_error).
"""

from __future__ import annotations

import re

from xentool.errors import (
    ConfigError,
    HostError,
    InUseError,
    LibxlError,
    NoMemoryError,
    NotFoundError,
    StoppedError,
    TimedOutError,
    XentoolError,
)
from xentool.toolstack.libxl.codes import (
    ABORTED,
    DOMAIN_NOTFOUND,
    GUEST_TIMEDOUT,
    INVAL,
    NOMEM,
    TIMEDOUT,
    name_of,
)
from xentool.toolstack.libxl.words import MEANINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.toolstack.libxl.log import Line

OF_CODES: dict[int, tuple[type[XentoolError], str, str]] = {
    -4: (HostError, "this libxl cannot do it", "a later Xen may"),
    -5: (NoMemoryError, "there is not enough memory", "`xentool info free_memory` says how much is free"),
    -8: (TimedOutError, "the guest did not answer", "is its kernel listening? `xentool console` shows"),
    -9: (TimedOutError, "something did not answer in time", "-v shows what libxl waited for"),
    -10: (
        LibxlError,
        "the guest has no paravirtual drivers that could be asked",
        "`xentool shutdown -F` presses its power button; `xentool destroy` stops it",
    ),
    -15: (HostError, "libxl's lock on the domain could not be taken", "is there room in /var/lib/xen?"),
    -17: (InUseError, "the domain has such a device already", "choose another number"),
    -21: (NotFoundError, "there is no such domain", "`xentool list` shows those there are"),
    -22: (StoppedError, "it was stopped", ""),
    -23: (NotFoundError, "there is none", "-v shows what libxl looked for"),
    -24: (NotFoundError, "the domain was destroyed meanwhile", "`xentool list` shows those there are"),
    -25: (ConfigError, "libxl does not do that any more", "leave it out; -v shows what it is"),
}
"""What a code says by itself: the error, its reason, its hint."""

_PLACE = re.compile(
    r"^(?:libxl|xc|xlu)[^:]*: (?:[\w.-]+\.c:\d+:\w+: )?(?:Domain \d+:)?\s*"
    r"(?:script: )?(?:panic: [\w.-]+\.c:\d+: )?"
)


def words_of(line: Line) -> str:
    """A line without the place in libxl's source that it names."""
    return _PLACE.sub("", line.text).removesuffix(": Internal error").strip()


def failure(
    action: str, subject: object, code: int, lines: Sequence[Line], *, hint: str = ""
) -> XentoolError:
    """The error for an operation that libxl ended with `code`, having said `lines` (warnings and worse).

    `hint` is what to do where nothing better is known.
    """
    error = _failure(action, subject, code, lines, hint)
    if isinstance(error, LibxlError):
        error.code = code
    return error


def _failure(action: str, subject: object, code: int, lines: Sequence[Line], hint: str) -> XentoolError:
    name = name_of(code)
    detail = "\n".join([*map(str, lines), f"libxl's code: ERROR_{name} ({code})"])
    errors = [line for line in lines if line.level > 7] or list(lines)
    known = OF_CODES.get(code)
    if known is None or code in (TIMEDOUT, GUEST_TIMEDOUT, NOMEM):
        for patterns, kind, reason, advice in MEANINGS:
            found = [line for pattern in patterns for line in errors if re.search(pattern, line.text)]
            if found:
                return kind(action, subject, f"{reason} ({words_of(found[0])})", hint=advice, detail=detail)
    if known is not None:
        kind, reason, advice = known
        said = f" ({words_of(errors[0])})" if errors and code not in (ABORTED, DOMAIN_NOTFOUND) else ""
        return kind(action, subject, reason + said, hint=hint or advice, detail=detail)
    reason = f"libxl says: {words_of(errors[0])}" if errors else f"libxl says ERROR_{name}, and no more"
    if code == INVAL:
        return LibxlError(
            action, subject, reason, hint=hint or "the config asks for what libxl refuses", detail=detail
        )
    return LibxlError(action, subject, reason, hint=hint or "-v shows all that libxl said", detail=detail)
