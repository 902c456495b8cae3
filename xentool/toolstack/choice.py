"""Which toolstack does what: the one table of it, and the toolstack that follows it (``--toolstack auto``).

Native does what it does completely: it is the faster, and needs no library of one release of Xen. What it
does not do, or not all of, libxl does. For a config `beyond.reasons` says which that is. Of a domain that
runs, whoever made it, native says so itself: it refuses (`UnsupportedError`) before anything is touched, by
what it reads in any case, and what it refuses libxl is asked to do. So on native's own ground the choice
costs nothing, and nothing can change between looking and doing.
"""

from __future__ import annotations

from xentool.errors import NoLibxlError, UnsupportedError
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


class Rule:
    """A row of the table: `operations` of the port, which are the commands `commands`.

    `decides` is what decides on them: "config" or "domain", or "native" or "libxl", which have them all.
    `native` and `libxl` say what goes to which.
    """

    __slots__ = ("commands", "decides", "libxl", "native", "operations")

    def __init__(
        self, commands: str, operations: tuple[str, ...], decides: str, *, native: str = "", libxl: str = ""
    ) -> None:
        self.commands = commands
        self.operations = operations
        self.decides = decides
        self.native = native
        self.libxl = libxl


TABLE = (
    Rule(
        "create",
        ("plan", "create"),
        "config",
        native="PV guests, with network interfaces, disks and channels",
        libxl="PVH and HVM guests, and configs that ask for more than the default of a key that is libxl's "
        "(xentool.cfg(5) says which are)",
    ),
    Rule(
        "save, restore",
        ("save", "restore", "resume"),
        "libxl",
        libxl="all guests: saved domains are in libxl's own format",
    ),
    Rule(
        "destroy",
        ("destroy", "finish_undone"),
        "domain",
        native="PV and PVH guests, whoever made them",
        libxl="HVM guests, guests with devices of other kinds than network interfaces, disks, consoles and "
        "framebuffers, and guests whose QEMU runs without privileges",
    ),
    Rule(
        "unpause, shutdown",
        ("unpause", "shutdown"),
        "domain",
        native="PV and PVH guests",
        libxl="HVM guests, whose QEMU has to be told, and which may have no drivers to be asked",
    ),
    Rule(
        "network-attach, network-detach, block-attach, block-detach",
        ("plan_vif", "attach_vif", "detach_vif", "plan_disk", "attach_disk", "detach_disk"),
        "domain",
        native="devices of PV and PVH guests",
        libxl="those of HVM guests",
    ),
    Rule(
        "cd-insert, cd-eject",
        ("plan_cd", "insert_cd"),
        "domain",
        native="drives of PV and PVH guests",
        libxl="those of HVM guests, which QEMU emulates",
    ),
    Rule(
        "list, info, console, and all others",
        (
            "resolve", "domains", "domain", "config_of", "vifs", "locked_vifs", "disks", "channels",
            "console_path", "console_log", "cpupool_names", "host", "pause", "wait_for_shutdown", "relock",
        ),
        "native",
        native="all domains: to look, to wait and to stop vcpus nobody needs to know who made them",
    ),
)  # fmt: skip
"""Who does what. Each operation of the port is in one row."""


def native_does(operation: str) -> str:
    """What of an operation native does, in words."""
    return next(rule.native for rule in TABLE if operation in rule.operations)


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
        return self._by_libxl(
            "create domain",
            config.name,
            why,
            lambda libxl: libxl.create(config, paused=paused, progress=progress),
        )

    def _by_config(self, config: DomainConfig) -> str:
        """Why libxl is to make this domain; empty where native does."""
        from xentool.domain.config.beyond import reasons

        why = ", ".join(reasons(config))
        self._tell("libxl" if why else "native", why or f"complete for {native_does('create')}")
        return why

    def save(
        self,
        domid: DomId,
        path: str,
        *,
        after: str = "destroy",
        config: bytes | None = None,
        sync: bool = True,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._native_or(
            "save",
            lambda: NativeToolstack.save(self, domid, path),
            lambda libxl: libxl.save(domid, path, after=after, config=config, sync=sync, progress=progress),
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

    def resume(self, domid: DomId) -> None:
        self._native_or(
            "resume", lambda: NativeToolstack.resume(self, domid), lambda libxl: libxl.resume(domid)
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

    def _take_away(self, host: Host, domid: DomId, uuid: str) -> None:
        native = super()._take_away
        self._native_or(
            "finish_undone", lambda: native(host, domid, uuid), lambda libxl: libxl.destroy(domid)
        )

    def close(self) -> None:
        if self._libxl is not None:
            self._libxl.close()
            self._libxl = None

    def _native_or(self, operation: str, native: Callable[[], T], libxl: Callable[[Toolstack], T]) -> T:
        """What native does; or libxl, where native refuses."""
        try:
            done = native()
        except UnsupportedError as refusal:
            self._tell("libxl", refusal.why)
            return self._by_libxl(refusal.action, refusal.subject, refusal.why, libxl)
        except BaseException:
            self._tell("native", f"complete for {native_does(operation)}")
            raise
        self._tell("native", f"complete for {native_does(operation)}")
        return done

    def _by_libxl(self, action: str, subject: str, why: str, do: Callable[[Toolstack], T]) -> T:
        """What libxl does.

        Raises:
            NoLibxlError: there is none here; says what was to be done, and why it takes libxl.
        """
        if self._libxl is None:
            self._libxl = self._open_libxl()
        try:
            return do(self._libxl)
        except NoLibxlError as missing:
            raise NoLibxlError(
                action,
                subject,
                f"that takes libxl ({why}), and {missing.reason}",
                hint=missing.hint,
                detail=missing.detail,
            ) from missing

    def _tell(self, toolstack: str, why: str) -> None:
        if self._say is not None:
            self._say(f"toolstack {toolstack}: {why}")
