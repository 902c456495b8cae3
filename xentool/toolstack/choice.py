"""Which toolstack does what: the one table of it, and the toolstack that follows it (``--toolstack auto``).

Native does what it does completely: it is the faster, and needs no library of one release of Xen. What it
does not do, or not all of, libxl does. For a config `beyond.reasons` says which that is. Of a domain that
runs, whoever made it, native says so itself: it refuses (`UnsupportedError`) before anything is touched, by
what it reads in any case, and what it refuses libxl is asked to do. So on native's own ground the choice
costs nothing, and nothing can change between looking and doing.
"""

from __future__ import annotations

from xentool.errors import HostError, UnsupportedError
from xentool.toolstack.native import NativeToolstack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.domain.plan import Plan
    from xentool.toolstack.deviceviews import DevicePlan
    from xentool.toolstack.port import Toolstack
    from xentool.toolstack.views import RecordPlan
    from xentool.units import DomId

    T = TypeVar("T")

TABLE = (
    # what is done; by whom, and why
    (
        ("plan", "create"),
        "config",
        "PV guests, with network interfaces, disks and channels",
        "PVH and HVM guests, and configs with any key that is libxl's alone (xentool.cfg(5) lists them)",
    ),
    (
        ("save", "restore"),
        "libxl",
        "",
        "all guests: the format of saved domains is libxl's own",
    ),
    (
        ("destroy",),
        "domain",
        "PV and PVH guests, whoever made them",
        "HVM guests, guests with devices of other kinds than those above, or with a QEMU without privileges",
    ),
    (
        ("unpause", "shutdown"),
        "domain",
        "PV and PVH guests",
        "HVM guests, whose QEMU has to be told",
    ),
    (
        ("plan_vif", "attach_vif", "detach_vif", "plan_disk", "attach_disk", "detach_disk"),
        "domain",
        "devices of PV and PVH guests",
        "those of HVM guests",
    ),
    (
        ("plan_cd", "insert_cd"),
        "domain",
        "drives of PV and PVH guests",
        "those of HVM guests, which QEMU emulates",
    ),
    (
        (
            "resolve", "domains", "domain", "config_of", "vifs", "disks", "channels", "console_path",
            "console_log", "cpupool_names", "host", "pause", "wait_for_shutdown", "finish_undone", "relock",
        ),
        "native",
        "all domains: what only looks, waits or stops vcpus needs to know nothing of who made a domain",
        "",
    ),
)  # fmt: skip
"""Operations of the port, what decides on them ("config", "domain"; "native" and "libxl": nothing), and what
goes to native and what to libxl."""


def native_does(operation: str) -> str:
    """What of an operation native does, in words."""
    return next(native for operations, _decides, native, _libxl in TABLE if operation in operations)


class AutoToolstack(NativeToolstack):
    """Native, and libxl for what native does not do completely, as `TABLE` says.

    `open_libxl` gives the other one, when it is first needed; `say` is told who does what, and why.
    """

    name = "auto"

    def __init__(
        self, host: Host, open_libxl: Callable[[], Toolstack], say: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(host)
        self._open_libxl = open_libxl
        self._libxl: Toolstack | None = None
        self._say = say

    def plan(self, config: DomainConfig) -> Plan | RecordPlan:  # type: ignore[override] # the port's
        why = self._by_config(config)
        if not why:
            return super().plan(config)
        from xentool.toolstack.record import planned_record

        return planned_record(self._host, config, why)  # which takes no libxl, and so can be seen anywhere

    def create(
        self, config: DomainConfig, *, paused: bool = False, progress: Callable[[str], None] | None = None
    ) -> DomId:
        why = self._by_config(config)
        if not why:
            return super().create(config, paused=paused, progress=progress)
        libxl = self._other("create domain", config.name, why)
        return libxl.create(config, paused=paused, progress=progress)

    def _by_config(self, config: DomainConfig) -> str:
        """Why libxl is to make this domain; empty where native does."""
        from xentool.domain.config.beyond import reasons

        why = ", ".join(reasons(config))
        self._tell("libxl" if why else "native", why or native_does("create"))
        return why

    def save(
        self,
        domid: DomId,
        path: str,
        *,
        after: str = "destroy",
        config: bytes | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._native_or(
            "save",
            lambda: NativeToolstack.save(self, domid, path),
            lambda libxl: libxl.save(domid, path, after=after, config=config, progress=progress),
        )

    def restore(
        self,
        path: str,
        config: DomainConfig | None = None,
        *,
        paused: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> DomId:
        return self._native_or(
            "restore",
            lambda: NativeToolstack.restore(self, path),
            lambda libxl: libxl.restore(path, config, paused=paused, progress=progress),
        )

    def destroy(self, domid: DomId) -> None:
        self._native_or(
            "destroy", lambda: NativeToolstack.destroy(self, domid), lambda libxl: libxl.destroy(domid)
        )

    def unpause(self, domid: DomId) -> None:
        self._native_or(
            "unpause", lambda: NativeToolstack.unpause(self, domid), lambda libxl: libxl.unpause(domid)
        )

    def shutdown(self, domid: DomId, *, acpi: bool = False) -> None:
        self._native_or(
            "shutdown",
            lambda: NativeToolstack.shutdown(self, domid),
            lambda libxl: libxl.shutdown(domid, acpi=acpi),
        )

    def plan_vif(self, domain: str, words: Sequence[str]) -> DevicePlan:
        return self._native_or(
            "plan_vif",
            lambda: NativeToolstack.plan_vif(self, domain, words),
            lambda libxl: libxl.plan_vif(domain, words),
        )

    def attach_vif(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        return self._native_or(
            "attach_vif",
            lambda: NativeToolstack.attach_vif(self, domain, words),
            lambda libxl: libxl.attach_vif(domain, words),
        )

    def detach_vif(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        return self._native_or(
            "detach_vif",
            lambda: NativeToolstack.detach_vif(self, domain, which, force=force),
            lambda libxl: libxl.detach_vif(domain, which, force=force),
        )

    def plan_disk(self, domain: str, words: Sequence[str]) -> DevicePlan:
        return self._native_or(
            "plan_disk",
            lambda: NativeToolstack.plan_disk(self, domain, words),
            lambda libxl: libxl.plan_disk(domain, words),
        )

    def attach_disk(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        return self._native_or(
            "attach_disk",
            lambda: NativeToolstack.attach_disk(self, domain, words),
            lambda libxl: libxl.attach_disk(domain, words),
        )

    def detach_disk(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        return self._native_or(
            "detach_disk",
            lambda: NativeToolstack.detach_disk(self, domain, which, force=force),
            lambda libxl: libxl.detach_disk(domain, which, force=force),
        )

    def plan_cd(self, domain: str, which: str, target: str) -> DevicePlan:
        return self._native_or(
            "plan_cd",
            lambda: NativeToolstack.plan_cd(self, domain, which, target),
            lambda libxl: libxl.plan_cd(domain, which, target),
        )

    def insert_cd(self, domain: str, which: str, target: str) -> tuple[DomId, int]:
        return self._native_or(
            "insert_cd",
            lambda: NativeToolstack.insert_cd(self, domain, which, target),
            lambda libxl: libxl.insert_cd(domain, which, target),
        )

    def _native_or(self, operation: str, native: Callable[[], T], libxl: Callable[[Toolstack], T]) -> T:
        """What native does; or libxl, where native refuses."""
        try:
            done = native()
        except UnsupportedError as refusal:
            self._tell("libxl", refusal.why)
            return libxl(self._other(refusal.action, refusal.subject, refusal.why))
        except BaseException:
            self._tell("native", native_does(operation))
            raise
        self._tell("native", native_does(operation))
        return done

    def _other(self, action: str, subject: str, why: str) -> Toolstack:
        """libxl.

        Raises:
            HostError: there is none here; says what was to be done, and why it takes libxl.
        """
        if self._libxl is None:
            try:
                self._libxl = self._open_libxl()
            except HostError as missing:
                raise HostError(
                    action,
                    subject,
                    f"that takes libxl ({why}), and {missing.reason}",
                    hint=missing.hint,
                    detail=missing.detail,
                ) from missing
        return self._libxl

    def _tell(self, toolstack: str, why: str) -> None:
        if self._say is not None:
            self._say(f"toolstack {toolstack}: {why}")
