"""What a new domain gets beside memory: vcpus and where they run, event channels, clock, CPU policy."""

from __future__ import annotations

import time

from xentool.abi import cpu_policy
from xentool.domain.config.model import TscMode
from xentool.errors import ConfigError
from xentool.units import DomId, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.domain.plan import Plan


class Resources:
    """The peers and the ports of the domain's two rings."""

    __slots__ = ("console_domid", "console_port", "store_domid", "store_port")

    def __init__(
        self, store_domid: DomId, store_port: Port, console_domid: DomId, console_port: Port
    ) -> None:
        self.store_domid = store_domid
        self.store_port = store_port
        self.console_domid = console_domid
        self.console_port = console_port


def prepare(host: Host, plan: Plan, domid: DomId) -> Resources:
    """Give the domain all but memory, in the order in which xl does."""
    xen, config = host.hypercalls, plan.config
    xen.max_vcpus(domid, config.max_vcpus)
    _place_vcpus(host, config, domid)
    store_domid, console_domid = _daemons(host)
    resources = Resources(
        store_domid,
        xen.alloc_unbound(domid, store_domid),
        console_domid,
        xen.alloc_unbound(domid, console_domid),
    )
    xen.set_memory_map_limit(domid, config.max_memory_kib)
    xen.set_tsc_info(domid, TscMode.WORDS.index(config.tsc_mode))
    offset = config.rtc_timeoffset
    if config.localtime:
        offset += time.localtime().tm_gmtoff
    if offset:
        xen.set_time_offset(domid, offset)
    _set_cpu_policy(host, config, domid)
    return resources


def _daemons(host: Host) -> tuple[DomId, DomId]:
    """The domains in which xenstored and xenconsoled run: Domain-0, unless the store says otherwise."""
    values = host.store.read_many(["/tool/xenstored/domid", "/tool/xenconsoled/domid"])
    store, console = (DomId(int(value)) if value and value.isdigit() else DomId(0) for value in values)
    return store, console


def _place_vcpus(host: Host, config: DomainConfig, domid: DomId) -> None:
    """Pin vcpus (``cpus``) or let them prefer processors (``cpus_soft``)."""
    if config.cpus is None and config.cpus_soft is None:
        return
    nodes = host.hypercalls.cpu_nodes()
    hard = config.cpus.resolve("cpus", config.max_vcpus, nodes) if config.cpus else []
    soft = config.cpus_soft.resolve("cpus_soft", config.max_vcpus, nodes) if config.cpus_soft else []
    for vcpu in range(max(len(hard), len(soft))):
        host.hypercalls.set_vcpu_affinity(
            domid,
            vcpu,
            hard=hard[vcpu] if vcpu < len(hard) else None,
            soft=soft[vcpu] if vcpu < len(soft) else None,
        )


def _set_cpu_policy(host: Host, config: DomainConfig, domid: DomId) -> None:
    """Xen's default policy for PV, but for what PV guests must see as the host has it.

    On processors without CPUID faulting a PV guest sees the real topology, so HTT and
    CMP_LEGACY are the host's too; ITSC is for guests that will not migrate.
    """
    xen = host.hypercalls
    leaves = bytearray(xen.system_cpu_leaves(cpu_policy.PV_DEFAULT))
    host_leaves = xen.system_cpu_leaves(cpu_policy.HOST)
    changed = False
    for feature in (cpu_policy.HTT, cpu_policy.CMP_LEGACY):
        changed |= cpu_policy.set_feature(leaves, feature, cpu_policy.has_feature(host_leaves, feature))
    changed |= cpu_policy.set_feature(leaves, cpu_policy.ITSC, config.nomigrate)
    if changed:
        xen.set_cpu_policy(domid, bytes(leaves))


def set_scheduling(host: Host, config: DomainConfig, domid: DomId) -> None:
    """The config's weight and cap, where it has them; Xen's defaults need no call.

    Raises:
        ConfigError: the host's scheduler knows no weight or cap.
    """
    if config.cpu_weight is None and config.cap is None:
        return
    xen = host.hypercalls
    if not xen.set_scheduling(domid, weight=config.cpu_weight, cap=config.cap):
        raise ConfigError(
            "create domain",
            config.name,
            f"cpu_weight and cap mean nothing to this host's scheduler ({xen.scheduler_name()})",
            hint="leave them out, or boot Xen with sched=credit2",
        )
