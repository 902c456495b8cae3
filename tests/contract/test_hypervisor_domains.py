"""Domains: made, listed, paused, refused, destroyed."""

from __future__ import annotations

import errno
from array import array
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.contract.guests import HANDLE, NOBODY, errno_of
from xentool.abi import domctl, sysctl
from xentool.abi.sched import SHUTDOWN_crash, SHUTDOWN_reboot
from xentool.abi.versions import createdomain
from xentool.abi.xen import DOMID_FIRST_RESERVED, HYPERVISOR_domctl, HYPERVISOR_sysctl, HYPERVISOR_xen_version
from xentool.errors import HostError, InUseError, NotFoundError, XenError
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.guests import Guests
    from xentool.hypervisor.calls import Hypercalls

DOMAIN_0 = DomId(0)


def test_what_xen_says_of_itself(xen: Hypercalls) -> None:
    assert (4, 17) <= xen.version() < (5, 0)
    assert "xen-3.0-x86_64" in xen.capabilities().split()
    assert xen.page_size() == 4096
    assert xen.virt_start() == 0xFFFF800000000000
    assert all(xen.compile_info().values())
    assert xen.extraversion()
    assert xen.features() & 1 << 11, "this is not Domain-0"
    assert len(xen.build_id()) in (0, 20)


def test_what_xen_says_of_the_machine(xen: Hypercalls) -> None:
    info = xen.physinfo()
    assert 0 < info.free_pages < info.total_pages
    assert info.available_pages <= info.free_pages
    assert 0 < info.nr_cpus <= info.max_cpu_id + 1
    assert info.capabilities & sysctl.XEN_SYSCTL_PHYSCAP_pv
    assert len(info.hw_cap) == 8
    places = [place for place in xen.cpu_topology() if place is not None]
    assert len(places) == info.nr_cpus
    assert len(xen.cpu_nodes()) >= info.nr_cpus
    nodes = xen.numa_nodes()
    assert nodes[0] is not None
    assert 0 < nodes[0][1] < nodes[0][0]
    assert xen.maximum_ram_page() >= info.free_pages
    assert xen.scheduler_name() == xen.cpupool_info(0).scheduler != "unknown"
    assert xen.cpupool_info(0).cpus.bit_count() == info.nr_cpus
    assert xen.cpupool_info(0).domains >= 1


def test_domain_0_is_there(xen: Hypercalls) -> None:
    info = xen.domain_infos()[0]
    assert info.domid == 0
    assert info.running or info.blocked
    assert not (info.paused)
    assert not (info.dying)
    assert not (info.shutdown)
    assert not (info.hvm_guest)
    assert info.shutdown_reason is None
    assert info.tot_pages > 0
    assert info.nr_online_vcpus >= 1


def test_a_new_domain_is_empty_and_paused(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create(max_vcpus=3)
    info = xen.domain_info(domid)
    assert (info.domid, info.handle) == (domid, HANDLE)
    assert info.paused
    assert not (info.dying)
    assert not (info.shutdown)
    assert not (info.running)
    assert not (info.blocked)
    assert not (info.hvm_guest)
    assert info.tot_pages == info.outstanding_pages == info.cpu_time == 0
    assert info.max_pages == 4096
    assert info.nr_online_vcpus == 0
    assert info.max_vcpu_id == -1
    assert info.cpupool == 0
    assert domid in [each.domid for each in xen.domain_infos()]
    xen.max_vcpus(domid, 3)
    assert xen.domain_info(domid).max_vcpu_id == 2
    assert xen.domain_info(domid).nr_online_vcpus == 0, "a vcpu is offline until it has a context"


def test_many_domains_are_all_listed(
    xen: Hypercalls, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than fit into one call."""
    from xentool.hypervisor.calls import core

    monkeypatch.setattr(core, "INFOS_AT_ONCE", 2)
    made = [guests.create() for _ in range(5)]
    listed = [info.domid for info in xen.domain_infos()]
    assert listed == sorted(listed)
    assert set(made) < set(listed)


def test_domids_are_not_reused_at_once(xen: Hypercalls, guests: Guests) -> None:
    first = guests.create()
    xen.destroy_domain(first)
    assert guests.create() != first


def test_a_domid_can_be_asked_for(xen: Hypercalls, guests: Guests) -> None:
    assert guests.create(domid=NOBODY) == NOBODY
    with pytest.raises(InUseError):
        xen.create_domain(HANDLE, domid=NOBODY)
    assert errno_of(lambda: xen.create_domain(HANDLE, domid=NOBODY)) == errno.EEXIST


@pytest.mark.parametrize(
    "settings",
    [
        {"max_vcpus": 0},
        {"max_vcpus": 8193},
        {"flags": 1 << 31},
        {"flags": domctl.XEN_DOMCTL_CDF_hap},
        {"flags": domctl.XEN_DOMCTL_CDF_nested_virt},
        {"iommu_opts": 1},
        {"max_grant_version": 0},
        {"max_grant_version": 3},
        {"max_grant_version": 16},
        {"max_grant_frames": 0},
        {"vmtrace_size": 4096},
        {"misc_flags": 1 << 31},
    ],
)
def test_settings_that_xen_refuses(xen: Hypercalls, settings: dict[str, int]) -> None:
    with pytest.raises(XenError) as caught:
        xen.create_domain(HANDLE, **settings)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("settings", [{"max_grant_frames": 65}, {"max_maptrack_frames": 1025}])
def test_grant_tables_beyond_xen_s_own_maximum(
    xen: Hypercalls, guests: Guests, settings: dict[str, int]
) -> None:
    """4.17 refuses more than its command line's 64 and 1,024; from 4.18 on these are mere defaults."""
    if xen.version() < (4, 18):
        assert errno_of(lambda: guests.create(**settings)) == errno.EINVAL
    else:
        assert xen.domain_info(guests.create(**settings)).paused


def test_emulated_devices_are_not_for_pv(xen: Hypercalls) -> None:
    with pytest.raises(HostError):
        xen.create_domain(HANDLE, emulation_flags=1)
    assert errno_of(lambda: xen.create_domain(HANDLE, emulation_flags=1)) == errno.EOPNOTSUPP


def test_a_cpupool_that_is_not_there(xen: Hypercalls) -> None:
    assert errno_of(lambda: xen.create_domain(HANDLE, cpupool_id=77)) == errno.ESRCH
    assert errno_of(lambda: xen.cpupool_info(77)) == errno.ENOENT


def test_a_wrong_interface_version_is_refused(xen: Hypercalls) -> None:
    """And the error names the versions."""
    right = xen.interfaces()
    xen._interfaces = right[0] + 1, right[1] + 1
    for ask in (
        xen.domain_infos,
        xen.physinfo,
        lambda: xen.domain_info(DOMAIN_0),
        lambda: xen.create_domain(HANDLE, max_grant_version=1),
        lambda: xen.pause_domain(NOBODY),
    ):
        assert errno_of(ask) == errno.EACCES
        with pytest.raises(HostError) as caught:
            ask()
        assert f"{right[0] + 1:#x}" in caught.value.reason
        assert "4." in caught.value.reason
    xen._interfaces = right
    assert xen.domain_infos()


def test_unknown_operations(xen: Hypercalls) -> None:
    assert errno_of(lambda: xen.domctl(12345, "nosuch", 0)) == errno.ENOSYS
    assert errno_of(lambda: xen.sysctl(12345, "nosuch", b"")) == errno.ENOSYS
    assert errno_of(lambda: xen.call("nosuch", 63, 0)) == errno.ENOSYS
    assert errno_of(lambda: xen.call("nosuch", HYPERVISOR_xen_version, 999, 0)) == errno.ENOSYS


def test_memory_that_is_not_ours_is_refused(xen: Hypercalls) -> None:
    assert errno_of(lambda: xen.call("domctl", HYPERVISOR_domctl, 0x1000)) == errno.EFAULT
    assert errno_of(lambda: xen.call("sysctl", HYPERVISOR_sysctl, 0x1000)) == errno.EFAULT


ON_DOMAINS: dict[str, Callable[[Hypercalls, DomId], object]] = {
    "alloc_unbound": lambda xen, domid: xen.alloc_unbound(domid, DOMAIN_0),
    "cpu_policy": lambda xen, domid: xen.cpu_policy(domid),
    "destroy_domain": lambda xen, domid: xen.destroy_domain(domid),
    "domain_info": lambda xen, domid: xen.domain_info(domid),
    "hypercall_init": lambda xen, domid: xen.hypercall_init(domid, 0),  # type: ignore[arg-type]
    "max_mem": lambda xen, domid: xen.max_mem(domid, 4096),
    "max_vcpus": lambda xen, domid: xen.max_vcpus(domid, 1),
    "pause_domain": lambda xen, domid: xen.pause_domain(domid),
    "pin_l4_table": lambda xen, domid: xen.pin_l4_table(domid, 0),  # type: ignore[arg-type]
    "set_address_size": lambda xen, domid: xen.set_address_size(domid, 64),
    "set_cpu_policy": lambda xen, domid: xen.set_cpu_policy(domid, b""),
    "set_memory_map_limit": lambda xen, domid: xen.set_memory_map_limit(domid, 4096),
    "set_time_offset": lambda xen, domid: xen.set_time_offset(domid, 1),
    "set_tsc_info": lambda xen, domid: xen.set_tsc_info(domid, 0),
    "set_vcpu_affinity": lambda xen, domid: xen.set_vcpu_affinity(domid, 0, hard=1),
    "set_vcpu_context": lambda xen, domid: xen.set_vcpu_context(domid, 0, bytes(5168)),
    "shutdown_domain": lambda xen, domid: xen.shutdown_domain(domid, SHUTDOWN_crash),
    "unpause_domain": lambda xen, domid: xen.unpause_domain(domid),
    "vcpu_context": lambda xen, domid: xen.vcpu_context(domid, 0),
    "vcpu_info": lambda xen, domid: xen.vcpu_info(domid, 0),
}


@pytest.mark.parametrize("name", ON_DOMAINS)
def test_a_domain_that_is_not_there(xen: Hypercalls, name: str) -> None:
    assert errno_of(lambda: ON_DOMAINS[name](xen, NOBODY)) == errno.ESRCH
    with pytest.raises(NotFoundError, match=str(NOBODY)):
        ON_DOMAINS[name](xen, NOBODY)


def test_domain_0_does_not_do_this_to_itself(xen: Hypercalls) -> None:
    assert errno_of(lambda: xen.pause_domain(DOMAIN_0)) == errno.EINVAL
    assert errno_of(lambda: xen.destroy_domain(DOMAIN_0)) == errno.EINVAL
    assert errno_of(lambda: xen.max_vcpus(DOMAIN_0, 1)) == errno.EINVAL
    assert errno_of(lambda: xen.set_vcpu_context(DOMAIN_0, 0, bytes(5168))) == errno.EINVAL
    assert errno_of(lambda: xen.set_tsc_info(DOMAIN_0, 0)) == errno.EINVAL
    assert errno_of(lambda: xen.set_cpu_policy(DOMAIN_0, b"")) == errno.EINVAL


def test_pauses_are_counted(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build()
    xen.pause_domain(guest.domid)
    xen.unpause_domain(guest.domid)
    assert xen.domain_info(guest.domid).paused
    xen.pause_domain(guest.domid)
    for _ in range(2):
        assert xen.domain_info(guest.domid).paused
        xen.unpause_domain(guest.domid)
    assert not xen.domain_info(guest.domid).paused
    assert errno_of(lambda: xen.unpause_domain(guest.domid)) == errno.EINVAL


def test_vcpus_are_as_many_as_was_said(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create(max_vcpus=2)
    for wrong in (0, 1, 3):
        assert errno_of(partial(xen.max_vcpus, domid, wrong)) == errno.EINVAL
    assert errno_of(lambda: xen.vcpu_info(domid, 0)) == errno.ESRCH
    assert errno_of(lambda: xen.set_vcpu_affinity(domid, 0, hard=1)) == errno.ESRCH
    xen.max_vcpus(domid, 2)
    xen.max_vcpus(domid, 2)
    info = xen.vcpu_info(domid, 1)
    assert (info.vcpu, info.online, info.running, info.cpu_time) == (1, False, False, 0)
    assert errno_of(lambda: xen.vcpu_info(domid, 2)) == errno.EINVAL


def test_affinity(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    everywhere = (1 << xen.physinfo().max_cpu_id + 1) - 1
    assert xen.vcpu_affinity(domid, 0)[0] & everywhere == everywhere
    assert xen.set_vcpu_affinity(domid, 0, hard=0b01) == (0b01, None)
    assert xen.set_vcpu_affinity(domid, 0, soft=0b11) == (None, 0b01), "what takes effect is within hard"
    assert xen.vcpu_affinity(domid, 0) == (0b01, 0b11)
    assert xen.set_vcpu_affinity(domid, 0, hard=0b11, soft=0b10) == (0b11, 0b10)
    assert errno_of(lambda: xen.set_vcpu_affinity(domid, 0, hard=0)) == errno.EINVAL
    assert errno_of(lambda: xen.set_vcpu_affinity(domid, 1, hard=1)) == errno.EINVAL
    assert xen.vcpu_affinity(domid, 0) == (0b11, 0b10)


def test_scheduling(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    assert xen.scheduling(domid) == (256, 0)
    assert xen.set_scheduling(domid, weight=512, cap=50)
    assert xen.scheduling(domid) == (512, 50)
    assert xen.set_scheduling(domid, cap=0)
    assert xen.scheduling(domid) == (512, 0)
    layout = domctl.xen_domctl_scheduler_op
    wrong = layout.pack(sched_id=99, cmd=domctl.XEN_DOMCTL_SCHEDOP_getinfo)
    assert (
        errno_of(lambda: xen.domctl(domctl.XEN_DOMCTL_scheduler_op, "scheduler_op", domid, wrong))
        == errno.EINVAL
    )


def test_address_sizes(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.create()
    xen.set_address_size(domid, 64)
    assert errno_of(lambda: xen.set_address_size(domid, 16)) == errno.EINVAL


def test_clocks(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    for mode in (0, 1, 2):
        xen.set_tsc_info(domid, mode)
    assert errno_of(lambda: xen.set_tsc_info(domid, 9)) == errno.EINVAL
    xen.set_time_offset(domid, -3600)


def test_cpu_policies(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    leaves, msrs = xen.system_cpu_policy(sysctl.XEN_SYSCTL_cpu_policy_pv_default)
    assert leaves
    assert len(leaves) % 24 == len(msrs) % 16 == 0
    assert xen.system_cpu_leaves(sysctl.XEN_SYSCTL_cpu_policy_host)[:24] == leaves[:24]
    assert errno_of(lambda: xen.system_cpu_policy(99)) == errno.EINVAL
    xen.set_cpu_policy(domid, leaves, msrs)
    mine = xen.cpu_policy(domid)[0]
    assert {mine[at : at + 8] for at in range(0, len(mine), 24)} >= {
        b"\0\0\0\0\xff\xff\xff\xff",
        b"\1\0\0\0\xff\xff\xff\xff",
    }
    strange = bytearray(24)
    strange[:8] = b"\x00\x00\x00\x20\xff\xff\xff\xff"
    assert errno_of(lambda: xen.set_cpu_policy(domid, bytes(strange))) == errno.ERANGE
    with pytest.raises(XenError, match="0x20000000"):
        xen.set_cpu_policy(domid, bytes(strange))
    xen.unpause_domain(domid)
    assert errno_of(lambda: xen.set_cpu_policy(domid, leaves)) == errno.EEXIST


def test_a_domain_that_shuts_down(xen: Hypercalls, guests: Guests) -> None:
    domid = guests.build().domid
    xen.shutdown_domain(domid, SHUTDOWN_reboot)
    info = xen.domain_info(domid)
    assert (info.shutdown, info.shutdown_reason) == (True, SHUTDOWN_reboot)
    xen.shutdown_domain(domid, SHUTDOWN_crash)
    assert xen.domain_info(domid).shutdown_reason == SHUTDOWN_reboot, "the first reason stays"


def test_a_destroyed_domain_is_gone_with_its_memory(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build(64)
    xen.destroy_domain(guest.domid)
    assert guest.domid not in [info.domid for info in xen.domain_infos()]
    with pytest.raises(NotFoundError):
        xen.destroy_domain(guest.domid)


def test_a_domain_lives_on_while_its_memory_is_mapped(xen: Hypercalls, guests: Guests) -> None:
    guest = guests.build()
    with xen.gate.map_frames(guest.domid, array("Q", [guest.mfn(0)])) as mapping:
        mapping.view[0] = 7
        xen.destroy_domain(guest.domid)
        info = xen.domain_info(guest.domid)
        assert info.dying
        assert info.tot_pages == 1
        assert mapping.view[0] == 7
        xen.destroy_domain(guest.domid)
    assert guest.domid not in [info.domid for info in xen.domain_infos()]


def test_createdomain_is_as_long_as_this_xen_wants_it(xen: Hypercalls) -> None:
    assert createdomain(xen.interfaces()[0]).size == (64 if xen.version() < (4, 19) else 68)


def test_reserved_domids_name_no_domain(xen: Hypercalls) -> None:
    assert errno_of(lambda: xen.pause_domain(DomId(DOMID_FIRST_RESERVED + 4))) == errno.ESRCH
