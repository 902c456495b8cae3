"""Domains on the mock hypervisor: how they come, what they may have, how they go."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Iterator

import pytest

from tests.support.mockguest import HandMade, errno_of
from xentool.abi import domctl, memory
from xentool.abi.sched import SHUTDOWN_crash
from xentool.errors import InUseError, NoMemoryError, NotFoundError, XenError
from xentool.hypervisor.calls import Hypercalls
from xentool.hypervisor.mock.hypervisor import MockHypervisor
from xentool.units import MIB, DomId

HANDLE = bytes(range(16))


@pytest.fixture
def hypervisor() -> Iterator[MockHypervisor]:
    with MockHypervisor(memory_bytes=256 * MIB, domain_0_bytes=64 * MIB) as made:
        yield made


@pytest.fixture
def calls(hypervisor: MockHypervisor) -> Hypercalls:
    return Hypercalls(hypervisor)


def test_domids_go_on_after_the_last_one(calls: Hypercalls) -> None:
    first = calls.create_domain(HANDLE)
    calls.destroy_domain(first)
    assert (first, calls.create_domain(HANDLE)) == (1, 2)


def test_a_refused_create_uses_a_domid_up(calls: Hypercalls) -> None:
    with pytest.raises(XenError):
        calls.create_domain(HANDLE, max_vcpus=9000)
    assert calls.create_domain(HANDLE) == 2


def test_a_domid_can_be_asked_for_once(calls: Hypercalls) -> None:
    assert calls.create_domain(HANDLE, domid=77) == 77
    with pytest.raises(InUseError):
        calls.create_domain(HANDLE, domid=77)


@pytest.mark.parametrize(
    ("keys", "number"),
    [
        ({"flags": 1 << 20}, errno.EINVAL),
        ({"flags": domctl.XEN_DOMCTL_CDF_hap}, errno.EINVAL),
        ({"max_vcpus": 0}, errno.EINVAL),
        ({"iommu_opts": 1}, errno.EINVAL),
        ({"vmtrace_size": 4096}, errno.EINVAL),
        ({"misc_flags": 2}, errno.EINVAL),
        ({"emulation_flags": 1}, errno.EOPNOTSUPP),
        ({"max_grant_frames": 65}, errno.EINVAL),
        ({"max_grant_frames": 0}, errno.EINVAL),
        ({"max_maptrack_frames": 1025}, errno.EINVAL),
        ({"max_grant_version": 3}, errno.EINVAL),
        ({"cpupool_id": 1}, errno.ESRCH),
    ],
)
def test_what_xen_refuses_to_create(calls: Hypercalls, keys: dict[str, int], number: int) -> None:
    free = calls.physinfo().free_pages
    assert errno_of(calls.create_domain, HANDLE, **keys) == number
    assert calls.physinfo().free_pages == free


@pytest.mark.parametrize("release", ["4.17", "4.20", "4.21"])
def test_every_release_speaks_its_own_version(release: str) -> None:
    with MockHypervisor(release=release, memory_bytes=64 * MIB, domain_0_bytes=0) as hypervisor:
        calls = Hypercalls(hypervisor)
        assert calls.version() == tuple(map(int, release.split(".")))
        assert calls.create_domain(HANDLE, max_vcpus=3, max_evtchn_port=5) == 1
        assert len(hypervisor.xen.domains.get(1).vcpus) == 3


def test_another_version_is_refused(hypervisor: MockHypervisor) -> None:
    with hypervisor.buffer(4096) as buffer:
        domctl.xen_domctl.pack_into(buffer.view, cmd=domctl.XEN_DOMCTL_pausedomain, interface_version=0x14)
        assert errno_of(hypervisor.hypercall, 36, buffer.address) == errno.EACCES


def test_memory_comes_in_whole_aligned_extents(calls: Hypercalls) -> None:
    domid = calls.create_domain(HANDLE)
    calls.max_mem(domid, 16 << 10)
    calls.populate_physmap(domid, array("Q", [4000]), 0)
    extents = calls.populate_physmap(domid, array("Q", range(0, 4096, 512)), 9)
    assert all(mfn % 512 == 0 for mfn in extents)
    assert len(extents) == 7  # one frame of the sixteen MiB is taken: the eighth does not fit
    assert calls.domain_info(domid).tot_pages == 7 * 512 + 1


def test_populating_stops_where_the_host_has_no_more(calls: Hypercalls) -> None:
    domid = calls.create_domain(HANDLE)
    calls.max_mem(domid, 1 << 30)
    free = calls.physinfo().free_pages
    assert len(calls.populate_physmap(domid, array("Q", range(free + 10)), 0)) == free
    assert calls.physinfo().free_pages == 0
    with pytest.raises(NoMemoryError):
        calls.create_domain(HANDLE)
    calls.destroy_domain(domid)
    assert calls.physinfo().free_pages == free + 2  # and its shared_info and grant frames


def test_claims_keep_memory_from_others(calls: Hypercalls) -> None:
    claimer, other = calls.create_domain(HANDLE), calls.create_domain(HANDLE)
    for domid in (claimer, other):
        calls.max_mem(domid, 1 << 30)
    free = calls.physinfo().free_pages
    calls.claim_pages(claimer, free - 100)
    with pytest.raises(XenError) as twice:
        calls.claim_pages(claimer, free)
    assert twice.value.errno == errno.EINVAL
    with pytest.raises(NoMemoryError):
        calls.claim_pages(other, 101)
    assert len(calls.populate_physmap(other, array("Q", range(200)), 0)) == 100
    assert len(calls.populate_physmap(claimer, array("Q", range(500)), 0)) == 500
    assert calls.domain_info(claimer).outstanding_pages == free - 600
    calls.destroy_domain(claimer)
    assert calls.physinfo().outstanding_pages == 0


def test_decreasing_stops_at_a_frame_of_another(calls: Hypercalls) -> None:
    domid = calls.create_domain(HANDLE)
    calls.max_mem(domid, 1 << 20)
    frames = calls.populate_physmap(domid, array("Q", range(8)), 0)
    foreign = array("Q", [frames[0], frames[1], 300, frames[2]])
    assert calls.decrease_reservation(domid, foreign) == 2
    assert calls.domain_info(domid).tot_pages == 6


def test_pauses_are_counted(calls: Hypercalls) -> None:
    guest = HandMade(calls)
    assert calls.domain_info(guest.domid).paused
    calls.pause_domain(guest.domid)
    calls.unpause_domain(guest.domid)
    assert calls.domain_info(guest.domid).paused
    calls.unpause_domain(guest.domid)
    assert not calls.domain_info(guest.domid).paused
    with pytest.raises(XenError) as caught:
        calls.unpause_domain(guest.domid)
    assert caught.value.errno == errno.EINVAL


def test_domain_0_can_neither_be_paused_nor_destroyed(calls: Hypercalls) -> None:
    for call in (calls.pause_domain, calls.destroy_domain):
        with pytest.raises(XenError) as caught:
            call(DomId(0))
        assert caught.value.errno == errno.EINVAL


def test_a_crash_shows_its_reason(calls: Hypercalls) -> None:
    guest = HandMade(calls)
    calls.shutdown_domain(guest.domid, SHUTDOWN_crash)
    info = calls.domain_info(guest.domid)
    assert (info.shutdown, info.shutdown_reason) == (True, SHUTDOWN_crash)


def test_a_domain_that_is_still_mapped_is_dying(hypervisor: MockHypervisor, calls: Hypercalls) -> None:
    free = calls.physinfo().free_pages
    guest = HandMade(calls)
    mapping = hypervisor.map_frames(guest.domid, guest.frames[3:5])
    guest.destroy()
    info = calls.domain_info(guest.domid)
    assert (info.dying, info.tot_pages) == (True, 2)
    mapping.close()
    with pytest.raises(NotFoundError):
        calls.domain_info(guest.domid)
    assert calls.physinfo().free_pages == free
    assert not hypervisor.xen.memory.pinned


def test_a_freed_frame_is_scrubbed(hypervisor: MockHypervisor, calls: Hypercalls) -> None:
    guest = HandMade(calls)
    guest.poke(0, 0, 0xDEAD)
    mfn = guest.frames[0]
    guest.destroy()
    assert hypervisor.xen.memory.read(mfn, 0, 8) == bytes(8)


def test_a_resource_is_the_grant_table(hypervisor: MockHypervisor, calls: Hypercalls) -> None:
    guest = HandMade(calls)
    kind, shared = memory.XENMEM_resource_grant_table, memory.XENMEM_resource_grant_table_id_shared
    with hypervisor.map_resource(guest.domid, kind, shared, 0, 3) as mapping:
        mapping.view[0] = 7
    assert len(calls.setup_grant_table(guest.domid, 3)) == 3
    for domid, resource, index, frame, number in (
        (99, kind, shared, 0, errno.ESRCH),
        (0, kind, shared, 0, errno.EPERM),
        (guest.domid, 9, 0, 0, errno.EOPNOTSUPP),
        (guest.domid, kind, 2, 0, errno.EINVAL),
        (guest.domid, kind, shared, 64, errno.EINVAL),
    ):
        assert errno_of(hypervisor.map_resource, DomId(domid), resource, index, frame, 1) == number


def test_affinity_and_scheduling(calls: Hypercalls) -> None:
    guest = HandMade(calls)
    calls.set_vcpu_affinity(guest.domid, 1, hard=0b110)
    assert calls.vcpu_affinity(guest.domid, 1)[0] == 0b110
    with pytest.raises(XenError):
        calls.set_vcpu_affinity(guest.domid, 2, hard=1)
    calls.set_scheduling(guest.domid, weight=512, cap=50)
    assert calls.scheduling(guest.domid) == (512, 50)
    with pytest.raises(XenError):
        calls.set_scheduling(guest.domid, cap=201)


def test_cpu_policy_is_checked(calls: Hypercalls) -> None:
    guest = HandMade(calls)
    leaves, msrs = calls.cpu_policy(guest.domid)
    calls.set_cpu_policy(guest.domid, leaves, msrs)
    assert calls.cpu_policy(guest.domid) == (leaves, msrs)
    with pytest.raises(XenError):
        calls.set_cpu_policy(guest.domid, (0x50000000).to_bytes(4, "little") + bytes(20))
    calls.unpause_domain(guest.domid)
    with pytest.raises(XenError) as caught:
        calls.set_cpu_policy(guest.domid, leaves)
    assert caught.value.errno == errno.EEXIST
