"""Every error that xentool raises on purpose.

    XentoolError                    exit  what it means
    ├── UsageError                     2  the command line cannot be understood
    ├── ConfigError                    1  a config file cannot be read or asks for the impossible
    ├── KernelError                    3  a kernel or ramdisk cannot be booted
    ├── HostError                      1  this machine cannot do it: no Xen, not root, a library missing
    │   └── NoLibxlError               1  there is no libxl here, or none that xentool can use
    ├── UnsupportedError               1  the toolstack that was chosen does not do this; another one may
    ├── NotFoundError                  1  no such domain, node, …
    ├── InUseError                     6  the name, uuid, … belongs to another
    ├── NoMemoryError                  5  the host has less memory than is asked for
    ├── TimedOutError                  9  something did not answer in time
    ├── XenError                       3  a hypercall failed
    ├── StoreError                     3  a XenStore request failed
    │   └── StoreGoneError             3  the XenStore daemon went away
    ├── LibxlError                     3  libxl failed at what it was asked for
    ├── MockHostError                  3  the mock host could not be started or went away
    ├── LabError                       3  the lab could not be built or run
    └── StoppedError                 130  the user said stop (^C, SIGTERM)

The exit codes are xl's where xl has one for the case (libxl's ERROR_FAIL 3,
ERROR_NOMEM 5, ERROR_INVAL 6, ERROR_TIMEDOUT 9), so that scripts carry over.

An error knows four things: what was being done, to what, why it failed, and
what to do next. The command line prints the first three in one line and the
last in another.
"""

from __future__ import annotations

import os


class XentoolError(Exception):
    """Something could not be done; says what, to what, why, and the way out.

    `action` is a verb phrase ("create domain"), `subject` the thing's name
    (may be empty), `reason` why, `hint` what to do next (may be empty),
    `detail` longer text for ``--verbose`` (a library's own words, a log).
    """

    exit_code = 1

    def __init__(
        self, action: str, subject: object, reason: str, *, hint: str = "", detail: str = ""
    ) -> None:
        super().__init__(action, subject, reason)
        self.action = action
        self.subject = str(subject)
        self.reason = reason
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        what = f"{self.action} {self.subject}".rstrip()
        return f"{what}: {self.reason}" if what else self.reason

    def as_dict(self) -> dict[str, object]:
        """The error as ``--json`` prints it."""
        return {
            "error": type(self).__name__,
            "action": self.action,
            "subject": self.subject,
            "reason": self.reason,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }


class UsageError(XentoolError):
    """The command line cannot be understood."""

    exit_code = 2


class ConfigError(XentoolError):
    """A config file cannot be read, or asks for what cannot be."""


class KernelError(XentoolError):
    """A kernel or ramdisk is not one that this domain can boot."""

    exit_code = 3


class HostError(XentoolError):
    """This machine cannot do it as it is: no Xen, not root, a library missing."""


class NoLibxlError(HostError):
    """There is no libxl here, or none that xentool can use. Nothing was touched before that showed."""


class UnsupportedError(XentoolError):
    """The toolstack that was chosen does not do this, on any host; another one may. `why` is the bare reason.

    It is raised before anything is touched, so that another toolstack can be asked.
    """

    def __init__(self, action: str, subject: object, why: str) -> None:
        super().__init__(
            action,
            subject,
            f"the native toolstack does not do that: {why}",
            hint="--toolstack libxl does it; auto, the default, turns to libxl by itself",
        )
        self.why = why


class NotFoundError(XentoolError):
    """There is no such domain, node or file."""


class InUseError(XentoolError):
    """A name, uuid or resource belongs to somebody else."""

    exit_code = 6


class NoMemoryError(XentoolError):
    """The host has less free memory than is asked for."""

    exit_code = 5


class TimedOutError(XentoolError):
    """Something did not answer within its time."""

    exit_code = 9


class StoppedError(XentoolError):
    """The user said stop."""

    exit_code = 130


class XenError(XentoolError):
    """A hypercall failed. `errno` is Xen's, by Linux's numbers (public/errno.h)."""

    exit_code = 3

    def __init__(
        self, action: str, subject: object, errno: int, reason: str = "", *, hint: str = "", detail: str = ""
    ) -> None:
        from errno import errorcode  # which what goes well need not load

        name = errorcode.get(errno, str(errno))
        super().__init__(
            action, subject, reason or f"Xen says {name} ({os.strerror(errno)})", hint=hint, detail=detail
        )
        self.errno = errno


class StoreError(XentoolError):
    """A XenStore request failed. `errno_name` is the wire's word: "ENOENT", "EACCES", …"""

    exit_code = 3

    def __init__(
        self,
        action: str,
        subject: object,
        errno_name: str,
        reason: str = "",
        *,
        hint: str = "",
        detail: str = "",
    ) -> None:
        import errno

        number = getattr(errno, errno_name, 0)
        text = os.strerror(number) if number else "unknown error"
        super().__init__(action, subject, reason or f"{errno_name} ({text})", hint=hint, detail=detail)
        self.errno_name = errno_name


class StoreGoneError(StoreError):
    """The XenStore daemon cannot be reached, or went away."""


class LibxlError(XentoolError):
    """libxl failed at what it was asked for: what it said itself is the `detail`, its number the `code`."""

    exit_code = 3
    code = 0


class MockHostError(XentoolError):
    """The mock host could not be started, or went away."""

    exit_code = 3


class LabError(XentoolError):
    """The lab could not be built or run."""

    exit_code = 3
