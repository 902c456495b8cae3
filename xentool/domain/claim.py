"""Claiming what a new domain must not share: its name, its uuid, a domid, the memory.

Under xl's lock, and for as short as can be: after this everybody sees the
name in the store and the pages claimed in Xen.
"""

from __future__ import annotations

from xentool.devices.paths import domain_path, libxl_path
from xentool.domain.domid_history import recent_domids
from xentool.domain.locks import xl_lock
from xentool.domain.names import names_of
from xentool.domain.nodes import identity_nodes, vm_path
from xentool.domain.taken import refuse_taken
from xentool.errors import ConfigError, NoMemoryError
from xentool.store.nodes import write_nodes
from xentool.units import KIB, PAGE_SIZE, DomId, format_size, uuid_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.host import Host
    from xentool.domain.journal import Entry
    from xentool.domain.plan import Plan
    from xentool.store.operations import Transaction

# What Xen itself needs beside the guest's frames: the domain's structures, a few pages a vcpu.
OVERHEAD_PAGES = 64
OVERHEAD_PAGES_PER_VCPU = 16

SPARE_KIB = 1 * KIB  # libxl's LIBXL_MAXMEM_CONSTANT: room for frames that Xen accounts to the guest


def claim_domain(host: Host, plan: Plan, entry: Entry) -> DomId:
    """Make the empty domain, its name and its memory its own; its domid.

    Raises:
        InUseError: the name or the uuid belongs to another domain.
        NoMemoryError: the host has not enough free memory.
        XenError: Xen refused.
    """
    with xl_lock(host.paths.lock):
        infos = host.hypercalls.domain_infos()
        names = names_of(host.store, [info.domid for info in infos])
        there = [(info.domid, names.get(DomId(info.domid)), info.handle, info.dying) for info in infos]
        refuse_taken(plan.config.name, plan.uuid, there)
        _check_memory(host, plan)
        entry.note("creating", plan.config.name)
        domid = _create(host, plan)
        entry.note("domid", domid)
        host.hypercalls.max_mem(domid, plan.config.memory_kib + SPARE_KIB)
        host.hypercalls.claim_pages(domid, plan.layout.nr_pages)

        def record(transaction: Transaction) -> None:
            with transaction.batch() as batch:
                for stale in (domain_path(domid), vm_path(plan.uuid), libxl_path(domid)):
                    batch.rm(stale)
            write_nodes(transaction, identity_nodes(domid, plan.config, plan.uuid))

        host.store.run_transaction(record)
    return domid


def _check_memory(host: Host, plan: Plan) -> None:
    """Say early and in plain words what Xen would say late and as ENOMEM."""
    free = host.hypercalls.physinfo().available_pages
    asked = plan.layout.nr_pages
    needed = asked + OVERHEAD_PAGES + OVERHEAD_PAGES_PER_VCPU * plan.config.max_vcpus
    if free < needed:
        raise NoMemoryError(
            "create domain",
            plan.config.name,
            f"the host has {format_size(free * PAGE_SIZE)} free, and the domain asks for "
            f"{format_size(asked * PAGE_SIZE)}",
            hint="stop other domains, give Domain-0 less (`xl mem-set 0 …`), or lower memory = …",
        )


def _create(host: Host, plan: Plan) -> DomId:
    """A new domain with a domid that nobody has had for a minute."""
    xen, config = host.hypercalls, plan.config
    recent = recent_domids(host.paths.domid_history)
    pool = 0 if config.pool is None else _pool(host, config.pool)
    while True:
        domid = xen.create_domain(
            uuid_bytes(plan.uuid),
            max_vcpus=config.max_vcpus,
            max_evtchn_port=config.max_event_channels,
            max_grant_frames=config.max_grant_frames,
            max_maptrack_frames=config.max_maptrack_frames,
            max_grant_version=config.max_grant_version,
            cpupool_id=pool,
        )
        if domid not in recent:
            return domid
        # Xen hands out domids in turn, so the next one is another.
        xen.destroy_domain(domid)


def _pool(host: Host, name: str) -> int:
    """The number of the cpupool called `name`, or numbered so.

    Raises:
        ConfigError: there is none.
    """
    top = "/local/pool"
    pools = [pool for pool in host.store.directory(top) if pool.isdigit()] if host.store.exists(top) else []
    names = host.store.read_many([f"{top}/{pool}/name" for pool in pools])
    for pool, pool_name in zip(pools, names, strict=True):
        if name == pool or name.encode() == pool_name:
            return int(pool)
    raise ConfigError(
        "place domain in cpupool",
        name,
        "there is no such pool",
        hint="`xl cpupool-list` shows those there are; leave pool out for Pool-0",
    )
