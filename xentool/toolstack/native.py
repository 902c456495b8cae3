"""The native toolstack: domains built by our own code, on any hypervisor behind the port."""

from __future__ import annotations

from xentool.domain import names
from xentool.errors import ConfigError, NotFoundError, UnsupportedError
from xentool.toolstack.views import DomainView, state_letters
from xentool.units import uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.domain.plan import Plan
    from xentool.hypervisor.calls.info import DomainInfo
    from xentool.toolstack.deviceviews import ChannelView, DevicePlan, DiskView, VifView
    from xentool.toolstack.views import HostView
    from xentool.units import DomId

POOLS = "/local/pool"
SAVING = "saved domains are in libxl's own format"
ACTIONS = {0: "on_poweroff", 1: "on_reboot", 3: "on_crash", 4: "on_watchdog", 5: "on_soft_reset"}


class NativeToolstack:
    """Implements `xentool.toolstack.port.Toolstack` on a `Host`."""

    name = "native"

    def __init__(self, host: Host) -> None:
        self._host = host

    def resolve(self, name_or_domid: str) -> DomId:
        return names.resolve(self._host, name_or_domid)

    def domains(self) -> Sequence[DomainView]:
        infos = self._host.hypercalls.domain_infos()
        known = names.names_of(self._host.store, [info.domid for info in infos])
        return [_view(info, known.get(info.domid)) for info in infos]

    def domain(self, domid: DomId) -> DomainView:
        info = self._host.hypercalls.domain_info(domid)
        return _view(info, names.names_of(self._host.store, [domid]).get(domid))

    def plan(self, config: DomainConfig) -> Plan:
        from xentool.domain.create import planned

        with planned(self._host, config) as (plan, _ramdisk):
            return plan

    def create(
        self, config: DomainConfig, *, paused: bool = False, progress: Callable[[str], None] | None = None
    ) -> DomId:
        from xentool.domain.create import create_domain

        return create_domain(self._host, config, paused=paused, progress=progress)

    def destroy(self, domid: DomId) -> None:
        from xentool.domain.lifecycle import destroy

        destroy(self._host, domid)

    def pause(self, domid: DomId) -> None:
        self._host.hypercalls.pause_domain(domid)

    def unpause(self, domid: DomId) -> None:
        from xentool.domain.reach import check_no_hvm

        check_no_hvm(self._host, "unpause domain", domid)  # its QEMU goes on with it (libxl__domain_unpause)
        self._host.hypercalls.unpause_domain(domid)

    def shutdown(self, domid: DomId, *, acpi: bool = False) -> None:
        del acpi  # what runs natively has no such button, but the drivers to hear a request
        from xentool.domain.lifecycle import request_shutdown

        request_shutdown(self._host, domid)

    def wait_for_shutdown(self, domid: DomId, timeout_seconds: float | None = None) -> None:
        from xentool.domain.lifecycle import wait_until_stopped

        action = self._action_of(domid)
        reason = wait_until_stopped(self._host, domid, timeout_seconds)
        if reason is not None and action(reason) == "destroy":
            try:
                self.destroy(domid)
            except NotFoundError:
                pass  # whoever made it, xl's monitor for one, was quicker

    def _action_of(self, domid: DomId) -> Callable[[int], object]:
        """What the domain's config wants done for each shutdown reason; asked before it may be gone."""
        try:
            config = self.config_of(domid)
        except (NotFoundError, ConfigError):
            return lambda _reason: None
        return lambda reason: config.get(ACTIONS.get(reason, ""), "destroy")

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
        del path, after, config, sync, progress
        raise UnsupportedError("save domain", domid, SAVING)

    def restore(
        self,
        path: str,
        config: DomainConfig | None = None,
        *,
        paused: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> DomId:
        del config, paused, progress
        raise UnsupportedError("restore a domain from", path, SAVING)

    def resume(self, domid: DomId) -> None:
        raise UnsupportedError("resume domain", domid, SAVING)

    def console_path(
        self, domid: DomId, timeout_seconds: float = 10, *, number: int = 0, kind: str = ""
    ) -> str:
        from xentool.domain.console import read_channel_tty, read_serial_tty, read_tty, wait_for_tty

        self._host.hypercalls.domain_info(domid)
        if kind != "pv" and (serial := read_serial_tty(self._host, domid, number, asked=bool(kind))):
            return serial
        if number:
            return read_channel_tty(self._host, domid, number)
        return read_tty(self._host, domid) or wait_for_tty(self._host, domid, timeout_seconds)

    def console_log(self, domain: str) -> str:
        from xentool.devices.consolelog import log_path

        folder = self._host.paths.console_logs
        try:
            domid, _ = names.resolve_introduced(self._host, domain)
        except NotFoundError as missing:
            try:
                return log_path(folder, domain)  # what it printed is there still
            except NotFoundError:
                raise NotFoundError(
                    "show the console log of domain",
                    domain,
                    f"there is no such domain, and no log of one in {folder}",
                    hint=missing.hint,
                ) from None
        return log_path(folder, names.names_of(self._host.store, [domid]).get(domid, domain))

    def config_of(self, domid: DomId) -> dict[str, object]:
        from xentool.toolstack.record import current_config

        return current_config(self._host, domid)

    def locked_vifs(self, domid: DomId) -> Sequence[int]:
        from xentool.devices.vif.locks import locked_devids

        return locked_devids(self._host.store, domid)

    def vifs(self, domains: Sequence[str]) -> Sequence[VifView]:
        from xentool.toolstack.devicelists import vif_views

        return vif_views(self._host, domains)

    def disks(self, domains: Sequence[str]) -> Sequence[DiskView]:
        from xentool.toolstack.devicelists import disk_views

        return disk_views(self._host, domains)

    def channels(self, domains: Sequence[str]) -> Sequence[ChannelView]:
        from xentool.toolstack.devicelists import channel_views

        return channel_views(self._host, domains)

    def plan_vif(self, domain: str, words: Sequence[str]) -> DevicePlan:
        from xentool.toolstack.devices import plan_vif

        return plan_vif(self._host, domain, words)

    def attach_vif(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        from xentool.toolstack.devices import attach_vif

        return attach_vif(self._host, domain, words)

    def detach_vif(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        from xentool.toolstack.devices import detach_vif

        return detach_vif(self._host, domain, which, force=force)

    def plan_disk(self, domain: str, words: Sequence[str]) -> DevicePlan:
        from xentool.toolstack.devices import plan_disk

        return plan_disk(self._host, domain, words)

    def attach_disk(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        from xentool.toolstack.devices import attach_disk

        return attach_disk(self._host, domain, words)

    def detach_disk(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        from xentool.toolstack.devices import detach_disk

        return detach_disk(self._host, domain, which, force=force)

    def plan_cd(self, domain: str, which: str, target: str) -> DevicePlan:
        from xentool.toolstack.cdrom import plan_cd

        return plan_cd(self._host, domain, which, target)

    def insert_cd(self, domain: str, which: str, target: str) -> tuple[DomId, int]:
        from xentool.toolstack.cdrom import insert_cd

        return insert_cd(self._host, domain, which, target)

    def cpupool_names(self) -> dict[int, str]:
        store = self._host.store
        listed = store.directory(POOLS) if store.exists(POOLS) else []
        pools = [pool for pool in listed if pool.isascii() and pool.isdigit()]
        values = store.read_many([f"{POOLS}/{pool}/name" for pool in pools])
        found = {int(pool): value.decode() for pool, value in zip(pools, values, strict=True) if value}
        return {0: "Pool-0"} | found

    def host(self) -> HostView:
        from xentool.toolstack.hostinfo import host_view

        return host_view(self._host)

    def finish_undone(self) -> tuple[list[str], list[str]]:
        from xentool.domain.journal import Journal

        if Journal(self._host.paths.run).is_empty():
            return [], []
        from xentool.domain.recover import finish_undone

        return finish_undone(self._host, self._take_away, self.resume)

    def _take_away(self, host: Host, domid: DomId, uuid: str) -> None:
        """Take away what a killed create left of a domain, of which Xen may know nothing any more."""
        from xentool.domain.remove import remove_domain

        remove_domain(host, domid, uuid)

    def relock(self) -> tuple[list[str], list[str]]:
        from xentool.devices.vif.locks import relock

        return relock(self._host)

    def close(self) -> None:
        pass


def _view(info: DomainInfo, name: str | None) -> DomainView:
    reason = info.shutdown_reason
    state = state_letters(
        running=info.running,
        blocked=info.blocked,
        paused=info.paused,
        stopped=reason is not None,
        dying=info.dying,
        reason=reason,
    )
    return DomainView(
        domid=info.domid,
        name=name,
        uuid=uuid_text(info.handle),
        memory_kib=(info.tot_pages + info.outstanding_pages) << 2,
        max_memory_kib=info.max_pages << 2,
        vcpus_online=info.nr_online_vcpus,
        vcpus_max=info.max_vcpu_id + 1,
        state=state,
        shutdown_reason=reason,
        cpu_time_ns=info.cpu_time,
        cpupool=info.cpupool,
        ssidref=info.ssidref,
        is_pv=not info.hvm_guest,
    )
