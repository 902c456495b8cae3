"""Which toolstack does what: the one table of it, and the toolstack that follows it (``--toolstack auto``).

Native does what it does completely: it is the faster, and asks for no library of one release of Xen. What it
does not do, or not all of, libxl does. For a config `beyond.reasons` says which that is. Of a domain that
runs, whoever made it, native says so itself: it refuses (`UnsupportedError`) before anything is touched, and
what it refuses libxl is asked to do. So on native's own ground the choice costs nothing, and nothing can
change between looking and doing.
"""

from __future__ import annotations

from xentool.errors import HostError, UnsupportedError
from xentool.toolstack.native import NativeToolstack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.domain.plan import Plan
    from xentool.toolstack.port import Toolstack
    from xentool.toolstack.views import RecordPlan
    from xentool.units import DomId

    T = TypeVar("T")

TOOLSTACKS = ("auto", "native", "libxl")


class AutoToolstack(NativeToolstack):
    """Native, and libxl for what native does not do completely.

    `open_libxl` gives the other one, when it is first needed; `say` is told who does what, and why.
    """

    name = "auto"

    def __init__(
        self, host: Host, open_libxl: Callable[[], Toolstack], say: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(host)
        self._open_libxl = open_libxl
        self._opened: Toolstack | None = None
        self._say = say or (lambda _line: None)

    def plan(self, config: DomainConfig) -> Plan | RecordPlan:  # type: ignore[override] # the port's
        why = _reasons(config)
        return self._libxl("plan domain", config.name, why).plan(config) if why else super().plan(config)

    def create(
        self, config: DomainConfig, *, paused: bool = False, progress: Callable[[str], None] | None = None
    ) -> DomId:
        why = _reasons(config)
        if not why:
            return super().create(config, paused=paused, progress=progress)
        libxl = self._libxl("create domain", config.name, why)
        return libxl.create(config, paused=paused, progress=progress)

    def destroy(self, domid: DomId) -> None:
        try:
            super().destroy(domid)
        except UnsupportedError as refusal:
            self._libxl("destroy domain", domid, refusal.reason).destroy(domid)

    def save(
        self,
        domid: DomId,
        path: str,
        *,
        after: str = "destroy",
        config: bytes | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        libxl = self._libxl("save domain", domid, "saving a domain")
        libxl.save(domid, path, after=after, config=config, progress=progress)

    def restore(
        self,
        path: str,
        config: DomainConfig | None = None,
        *,
        paused: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> DomId:
        libxl = self._libxl("restore a domain from", path, "restoring a domain")
        return libxl.restore(path, config, paused=paused, progress=progress)

    def _libxl(self, action: str, subject: object, why: str) -> Toolstack:
        """The other toolstack.

        Raises:
            HostError: there is none here; says what was to be done, and why it takes libxl.
        """
        if self._opened is None:
            try:
                self._opened = self._open_libxl()
            except HostError as missing:
                raise HostError(
                    action,
                    subject,
                    f"{why} takes libxl, and {missing.reason}",
                    hint=missing.hint,
                    detail=missing.detail,
                ) from missing
        self._say(f"toolstack libxl: {why}")
        return self._opened


def _reasons(config: DomainConfig) -> str:
    from xentool.domain.config.beyond import reasons

    return ", ".join(reasons(config))
