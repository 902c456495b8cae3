"""A domain's config as it is now: what toolstacks recorded, brought up to date as ``xl list -l`` does."""

from __future__ import annotations

from xentool.devices.paths import domain_path
from xentool.domain.config.userdata import as_it_is, config_from_userdata
from xentool.domain.userdata import load
from xentool.errors import ConfigError, HostError
from xentool.toolstack.views import RecordPlan
from xentool.units import uuid_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.devices.vbd.spec import Disk
    from xentool.devices.vif.spec import Vif
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.units import DomId


def current_config(host: Host, domid: DomId) -> dict[str, object]:
    """The record of the domain, with what may have changed since it was made.

    Raises:
        NotFoundError: there is no such domain, or no toolstack has kept a record of it.
    """
    info = host.hypercalls.domain_info(domid)
    uuid = uuid_text(info.handle)
    record = config_from_userdata(load(host, domid, uuid))
    top = domain_path(domid)
    vcpus = range(info.max_vcpu_id + 1)
    name, target, maximum, *availability = (
        (value or b"").decode("utf-8", "replace")
        for value in host.store.read_many(
            [
                f"{top}/name",
                f"{top}/memory/target",
                f"{top}/memory/static-max",
                *(f"{top}/cpu/{vcpu}/availability" for vcpu in vcpus),
            ]
        )
    )
    known = host.hypercalls.scheduling(domid)
    scheduling: dict[str, object] = {}
    if known is not None:
        scheduling = {"sched": host.hypercalls.scheduler_name(), "weight": known[0], "cap": known[1]}
    return as_it_is(
        record,
        name=name,
        uuid=uuid,
        online_vcpus=[vcpu for vcpu in vcpus if availability[vcpu] == "online"],
        target_kib=_number(target, info.tot_pages << 2),
        max_kib=_number(maximum, info.max_pages << 2),
        scheduling=scheduling,
    )


def planned_record(host: Host, config: DomainConfig, why: str) -> RecordPlan:
    """What libxl would be given to create that domain: on a machine without Xen as on the newest release.

    Raises:
        ConfigError: it asks for what this release of libxl does not know.
        HostError: it names CPUs, and there is no Xen that knows them.
    """
    from xentool.domain.uuids import new_uuid

    try:
        release = host.release
    except HostError:
        from xentool.abi.versions import NEWEST

        release = NEWEST
    return RecordPlan(libxl_record(host, config, config.uuid or new_uuid(), release), why)


def libxl_record(
    host: Host, config: DomainConfig, uuid: str, release: tuple[int, int] | None = None
) -> dict[str, object]:
    """What libxl is given to make the domain of a config: its record (libxl_domain_config) on this host.

    `release` is that of Xen; None: the host's own.

    Raises:
        ConfigError: it asks for what only our own code does, or for what this release of libxl does not know.
    """
    from xentool.domain.config.record.whole import domain_config

    if config.vifs:
        from xentool.devices.vif.device import with_defaults

        for vif in config.vifs:
            refuse_lock(vif)
        config = config.replace(vifs=tuple(with_defaults(vif, host.paths.xl_conf) for vif in config.vifs))
    for disk in config.disks:
        refuse_shared(disk)
    placed = config.cpus is not None or config.cpus_soft is not None
    nodes = host.hypercalls.cpu_nodes() if placed else ()
    return dict(domain_config(config, uuid, nodes, xen_version=release or host.release))


def refuse_lock(vif: Vif) -> None:
    """Refuse an interface that is to be held to its addresses: libxl would leave it free.

    Raises:
        ConfigError: it is.
    """
    if vif.lock:
        raise ConfigError(
            "use libxl for",
            f"vif {vif.devid if vif.devid is not None else ''}".rstrip(),
            "libxl holds no interface to its addresses (lock, ips)",
            hint="leave out lock and ips, or what takes libxl (-v says what that is)",
        )


def refuse_shared(disk: Disk) -> None:
    """Refuse a disk that several guests are to write to: libxl would give it to one of them alone.

    Raises:
        ConfigError: it is such a disk.
    """
    if disk.access == "w!":
        raise ConfigError(
            "use libxl for",
            f"disk {disk.vdev}",
            "libxl gives a disk to one writer at a time (access=w!)",
            hint="write access=w if nobody else writes to it, or leave out what takes libxl (-v says what)",
        )


def _number(text: str, otherwise: int) -> int:
    """A number from the store, or what Xen says where the store has none."""
    return int(text) if text.isascii() and text.isdigit() else otherwise
