"""The libxl toolstack: what libxl does, on whichever libxl the host has.

What is a rule that toolstacks share (which name is whose, what the store records of devices, where a
console's log lies) is inherited from native, and asks libxl for nothing.
"""

from __future__ import annotations

from xentool.domain import names
from xentool.errors import NotFoundError
from xentool.toolstack.libxl.library import open_library
from xentool.toolstack.native import NativeToolstack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.toolstack.deviceviews import DevicePlan
    from xentool.toolstack.libxl.context import Context
    from xentool.toolstack.libxl.library import Library
    from xentool.toolstack.libxl.log import Line
    from xentool.toolstack.views import DomainView, HostView, RecordPlan
    from xentool.units import DomId


class LibxlToolstack(NativeToolstack):
    """Implements `xentool.toolstack.port.Toolstack` by libxl, and what libxl offers beyond.

    `say` hears what libxl says as it says it; without it what matters is in the errors. With a `verbosity`
    of 1 that is what a sysadmin may want to know, with 2 each detail, with 3 what libxl's developers want.
    `warn` hears what is to be said of this libxl itself: that nobody tried it.
    """

    name = "libxl"

    def __init__(
        self,
        host: Host,
        open_library: Callable[[tuple[int, int]], Library] = open_library,
        *,
        say: Callable[[str], None] | None = None,
        verbosity: int = 1,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(host)
        self._say = say
        self._verbosity = verbosity
        self._warn = warn
        self._open_library = open_library
        self._library: Library | None = None
        self._context: Context | None = None

    @property
    def library(self) -> Library:
        """libxl itself, looked for when it is first needed: what reads a file or a config comes before.

        Raises:
            NoLibxlError: there is no libxl for the Xen that runs, or it is not as we rely on it to be.
        """
        if self._library is None:
            self._library = self._open_library(self._host.release)
            if self._library.warning and self._warn is not None:
                self._warn(self._library.warning)
        return self._library

    @property
    def context(self) -> Context:
        """The connection, opened when it is first needed.

        Raises:
            StoreGoneError: XenStore's daemon is not there: libxl would wait for it without end.
            HostError: libxl cannot be used.
        """
        if self._context is None:
            library = self.library
            from xentool.store.knock import ensure_answering
            from xentool.toolstack.libxl.context import Context
            from xentool.toolstack.libxl.log import BY_VERBOSITY, PROGRESS

            ensure_answering()
            level = PROGRESS if self._say is None else BY_VERBOSITY[min(self._verbosity, 3)]
            self._context = Context(library, level=level, listener=self._hear if self._say else None)
        return self._context

    def _hear(self, line: Line) -> None:
        from xentool.toolstack.libxl.log import PROGRESS

        if self._say is not None and (self._verbosity > 1 or line.level > PROGRESS):
            self._say(str(line))

    def close(self) -> None:
        """Let go of libxl; what is asked for next opens it again."""
        if self._context is not None:
            self._context.close()
            self._context = None

    # What libxl does of the port.

    def resolve(self, name_or_domid: str) -> DomId:
        from xentool.toolstack.libxl import domains

        domid = names.number_of(name_or_domid)
        if domid is not None:
            domains.info(self.context, domid)  # raises NotFoundError
            return domid
        there = [domains.view_of(facts, None).domid for facts in domains.infos(self.context)]
        return names.named(self._host.store, name_or_domid, there)

    def domains(self) -> Sequence[DomainView]:
        from xentool.toolstack.libxl import domains

        views = [domains.view_of(facts, None) for facts in domains.infos(self.context)]
        for view in views:
            view.name = domains.name_of(self.context, view.domid)
        return views

    def domain(self, domid: DomId) -> DomainView:
        from xentool.toolstack.libxl import domains

        facts = domains.info(self.context, domid)
        return domains.view_of(facts, domains.name_of(self.context, domid))

    def plan(self, config: DomainConfig) -> RecordPlan:  # type: ignore[override] # the port's
        from xentool.toolstack.record import planned_record

        return planned_record(self._host, config, "")

    def create(
        self, config: DomainConfig, *, paused: bool = False, progress: Callable[[str], None] | None = None
    ) -> DomId:
        from xentool.toolstack.libxl.creating import create

        return create(self._host, self.context, config, paused=paused, progress=progress)

    def destroy(self, domid: DomId) -> None:
        from xentool.devices.vif.locks import locked_names, unlock
        from xentool.domain.interruption import without_interruption
        from xentool.toolstack.libxl import domains

        context = self.context
        locked = locked_names(self._host, domid)
        with without_interruption():  # aborted, libxl would leave half a domain, which nothing undoes
            domains.destroy(context, domid)
            unlock(self._host, locked)  # libxl knows of none

    def pause(self, domid: DomId) -> None:
        from xentool.toolstack.libxl import domains

        domains.pause(self.context, domid)

    def unpause(self, domid: DomId) -> None:
        from xentool.toolstack.libxl import domains

        domains.unpause(self.context, domid)

    def shutdown(self, domid: DomId, *, acpi: bool = False) -> None:
        from xentool.toolstack.libxl import domains

        domains.shutdown(self.context, domid, acpi=acpi)

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
        from xentool.devices.vif.locks import locked_names, unlock
        from xentool.toolstack.libxl.saving import save

        context = self.context
        locked = locked_names(self._host, domid) if after == "destroy" else ()
        save(self._host, context, domid, path, after=after, config=config, sync=sync, progress=progress)
        unlock(self._host, locked)

    def restore(
        self,
        path: str,
        config: DomainConfig | None = None,
        *,
        paused: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> DomId:
        from xentool.toolstack.libxl.restoring import restore

        return restore(self._host, lambda: self.context, path, config, paused=paused, progress=progress)

    def resume(self, domid: DomId) -> None:
        from xentool.toolstack.libxl.saving import resume

        resume(self.context, domid)

    def config_of(self, domid: DomId) -> dict[str, object]:
        from xentool.toolstack.libxl.configs import config_of

        return config_of(self.context, domid) if domid else super().config_of(domid)

    def plan_vif(self, domain: str, words: Sequence[str]) -> DevicePlan:
        from xentool.toolstack.libxl.plugging import plan_vif

        return plan_vif(self._host, domain, words)

    def attach_vif(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        from xentool.toolstack.libxl.plugging import attach_vif

        return attach_vif(self._host, self.context, domain, words)

    def detach_vif(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        from xentool.toolstack.libxl.plugging import detach_vif

        return detach_vif(self._host, self.context, domain, which, force=force)

    def plan_disk(self, domain: str, words: Sequence[str]) -> DevicePlan:
        from xentool.toolstack.libxl.plugging import plan_disk

        return plan_disk(self._host, domain, words)

    def attach_disk(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        from xentool.toolstack.libxl.plugging import attach_disk

        return attach_disk(self._host, self.context, domain, words)

    def detach_disk(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        from xentool.toolstack.libxl.plugging import detach_disk

        return detach_disk(self._host, self.context, domain, which, force=force)

    def plan_cd(self, domain: str, which: str, target: str) -> DevicePlan:
        from xentool.toolstack.libxl.plugging import plan_cd

        return plan_cd(self._host, domain, which, target)

    def insert_cd(self, domain: str, which: str, target: str) -> tuple[DomId, int]:
        from xentool.toolstack.libxl.plugging import insert_cd

        return insert_cd(self._host, self.context, domain, which, target)

    def host(self) -> HostView:
        from xentool.toolstack.libxl.hostinfo import host_view

        return host_view(self._host, self.context)

    def finish_undone(self) -> tuple[list[str], list[str]]:
        from xentool.domain.journal import Journal

        if Journal(self._host.paths.run).is_empty():
            return [], []
        from xentool.domain.recover import finish_undone

        return finish_undone(self._host, self._take_away, self.resume)

    def _take_away(self, host: Host, domid: DomId, uuid: str) -> None:
        """Destroy a half-made domain; of one that died meanwhile, what it left in the store and in files."""
        from xentool.domain.remove import remove_domain

        try:
            self.destroy(domid)
        except NotFoundError:
            remove_domain(host, domid, uuid)

    # What libxl does beyond the port.

    def understood(self, config: DomainConfig) -> dict[str, object]:
        """What libxl reads of a config, as JSON (libxl_domain_config). Nothing is made.

        Raises:
            ConfigError: this libxl does not know part of it.
        """
        from xentool.toolstack.libxl.creating import understood

        return understood(self._host, self.context, config)

    def reboot(self, domid: DomId) -> None:
        """Ask the guest to restart; returns when it was asked. Who waits for it makes it again."""
        from xentool.toolstack.libxl import domains

        domains.reboot(self.context, domid)

    def rename(self, domid: DomId, name: str) -> None:
        from xentool.toolstack.libxl import domains

        domains.rename(self.context, domid, name)

    def vcpus(self, domid: DomId) -> list[dict[str, object]]:
        """The domain's vcpus (libxl_vcpuinfo)."""
        from xentool.toolstack.libxl import resources

        return resources.vcpus(self.context, domid)

    def set_vcpus(self, domid: DomId, online: int) -> None:
        """Put the first `online` vcpus to work, the others to rest."""
        from xentool.toolstack.libxl import resources

        resources.set_vcpus(self.context, domid, online)

    def pin_vcpu(self, domid: DomId, vcpu: int, hard: set[int] | None, soft: set[int] | None = None) -> None:
        """The CPUs on which a vcpu may run, and those on which it would best; None leaves it as it is."""
        from xentool.toolstack.libxl import resources

        resources.pin_vcpu(self.context, domid, vcpu, hard, soft)

    def memory_target(self, domid: DomId) -> int:
        """What the guest was last asked to have, in KiB."""
        from xentool.toolstack.libxl import resources

        return resources.memory_target(self.context, domid)

    def set_memory(self, domid: DomId, target_kib: int) -> None:
        """Have the guest grow or shrink to that; returns when it was asked."""
        from xentool.toolstack.libxl import resources

        resources.set_memory(self.context, domid, target_kib)

    def set_max_memory(self, domid: DomId, max_kib: int) -> None:
        """The most that the domain may have from now on."""
        from xentool.toolstack.libxl import resources

        resources.set_max_memory(self.context, domid, max_kib)

    def devices(self, domid: DomId, kind: str) -> list[dict[str, object]]:
        """The domain's devices of a kind (`kinds.KINDS`), each as libxl's JSON has it."""
        from xentool.toolstack.libxl import devices

        return devices.listed(self.context, domid, kind)

    def device_details(self, domid: DomId, kind: str, device: Mapping[str, object]) -> dict[str, object]:
        """The live figures of a device, which `device` names by one of its kind's keys."""
        from xentool.toolstack.libxl import devices

        return devices.details(self.context, domid, kind, device)

    def add_device(self, domid: DomId, kind: str, device: Mapping[str, object]) -> dict[str, object]:
        """Give the domain a device, in libxl's JSON; what libxl made of it."""
        from xentool.toolstack.libxl import devices

        return devices.add(self.context, domid, kind, device)

    def remove_device(
        self, domid: DomId, kind: str, device: Mapping[str, object], *, force: bool = False
    ) -> None:
        """Take a device away, which `device` names by one of its kind's keys."""
        from xentool.toolstack.libxl import devices

        devices.remove(self.context, domid, kind, device, force=force)

    def update_config(self, domid: DomId, text: bytes) -> None:
        """Keep another config (xl.cfg's text) for the domain: what xl makes it of when it restarts."""
        from xentool.toolstack.libxl.configs import XL_CONFIG, write_userdata

        write_userdata(self.context, domid, XL_CONFIG, text)

    def updated_config(self, domid: DomId) -> bytes:
        """The config that `update_config`, or ``xl config-update``, last kept; b"" if none was."""
        from xentool.toolstack.libxl.configs import XL_CONFIG, read_userdata

        return read_userdata(self.context, domid, XL_CONFIG)

    def dmesg(self, *, clear: bool = False) -> Iterator[str]:
        """Xen's own messages, in pieces; with `clear` Xen forgets them."""
        from xentool.toolstack.libxl.hostinfo import dmesg

        return dmesg(self.context, clear=clear)
