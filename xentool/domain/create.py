"""Creating a domain: one transaction, from a config to a running guest.

    config → kernel → plan → domid, name → devices → resources → memory → store → console → unpause

Whatever goes wrong on the way, ^C included, everything made so far is taken
away again, and the first cause is what the user hears. A process that is
killed leaves its journal, which the next command finishes.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

from xentool.domain import claim, console, resources, userdata
from xentool.domain.builder import build_guest
from xentool.domain.config.beyond import check_native
from xentool.domain.journal import Journal
from xentool.domain.kernel import load_kernel, open_ramdisk
from xentool.domain.nodes import console_nodes, image_nodes
from xentool.domain.plan import make_plan
from xentool.domain.recover import undo_create
from xentool.domain.uuids import new_uuid
from xentool.store.nodes import commit_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xentool.devices.device import Device
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.host import Host
    from xentool.domain.journal import Entry
    from xentool.domain.kernel import Ramdisk
    from xentool.domain.plan import Plan
    from xentool.units import DomId


def create_domain(
    host: Host, config: DomainConfig, *, paused: bool = False, progress: Callable[[str], None] | None = None
) -> DomId:
    """Build the domain that `config` describes and start it, unless `paused`.

    `progress` is told each step's name as it begins.

    Raises:
        XentoolError: it could not be built; nothing of it is left, or the error's notes say what is.
    """
    step = progress or (lambda _name: None)
    host.hypercalls.version()  # where there is no Xen, say so before anything else
    step("reading the kernel")
    with (
        planned(host, config) as (plan, ramdisk),
        Journal(host.paths.run).begin(plan.uuid) as entry,
        _undone_on_error(host, entry),
        ExitStack() as held,
    ):
        if plan.devices:
            from xentool.devices import plug  # what plugs nothing need not load it

            step("looking at its devices")
            held.callback(plug.release, plan.devices)
            plug.check(host, plan.devices)
        step("claiming name and memory")
        domid = claim.claim_domain(host, plan, entry)
        started = time.time()
        if plan.devices:
            # Their backends' drivers find them while we build.
            plug.place(host, domid, plan.devices)
        step("preparing the domain")
        facts = resources.prepare(host, plan, domid)
        step("building its memory")
        guest = build_guest(host, plan, domid, facts, ramdisk)
        resources.set_scheduling(host, config, domid)
        step("writing the store")
        with console.awaited(host, domid) as wait_for_console:
            # All before xenconsoled hears of the domain: it would look at each node that comes later.
            commit_nodes(
                host.store,
                [
                    *image_nodes(
                        domid, config, plan.uuid, facts.store_port, guest.store_mfn, f"{started:.2f}"
                    ),
                    *console_nodes(domid, facts.console_domid, facts.console_port, guest.console_mfn),
                ],
            )
            host.store.introduce(domid, guest.store_mfn, facts.store_port)
            step("connecting the console")
            userdata.save(host, plan, domid)
            wait_for_console()
        if plan.devices:
            step("connecting its devices")
            plug.connect(host, domid, plan.devices)
        if paused:
            host.hypercalls.domain_info(domid)  # raises if somebody destroyed it meanwhile
        else:
            step("starting it")
            host.hypercalls.unpause_domain(domid)
    return domid


@contextmanager
def planned(host: Host, config: DomainConfig) -> Iterator[tuple[Plan, Ramdisk | None]]:
    """The plan for `config`, its kernel and ramdisk open as long as the context lasts.

    The host is asked for nothing but where files are and, where the config names them, for the
    domains that serve its devices.

    Raises:
        UnsupportedError: the config asks for what only libxl does.
    """
    check_native(config)
    with ExitStack() as files:
        kernel = files.enter_context(load_kernel(config.kernel, cache_dir=host.paths.kernel_cache))
        ramdisk = None
        if config.ramdisk is not None:
            ramdisk = files.enter_context(open_ramdisk(config.ramdisk))
        uuid = config.uuid or new_uuid()
        devices: Sequence[Device] = ()
        if config.vifs:
            from xentool.devices.vif.device import with_defaults

            vifs = tuple(with_defaults(vif, host.paths.xl_conf) for vif in config.vifs)
            config = config.replace(vifs=vifs)
        if config.disks or config.channels or config.vifs:
            from xentool.domain.devices import devices_of

            devices = devices_of(host, config, uuid)
        plan = make_plan(config, kernel, ramdisk.size if ramdisk else None, uuid, devices)
        yield plan, ramdisk


@contextmanager
def _undone_on_error(host: Host, entry: Entry) -> Iterator[None]:
    """Take the half-built domain away if the body fails; the body's error is what is raised."""
    try:
        yield
    except BaseException as cause:
        try:
            undo_create(host, entry.facts)
        except Exception as undo_error:  # noqa: BLE001 — kept beside the cause, and tried again later
            cause.add_note(f"and it could not be taken away again: {undo_error}")
            cause.add_note("the next xentool command, or `xentool gc`, tries once more")
            entry.close(finished=False)
        raise
