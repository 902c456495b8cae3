"""The hypervisors, and the Domain-0s, that the contracts are tried on.

`mock-4.17` and `mock-4.20` are mocks in this process, `remote-4.17` is one behind a mock host's socket; `xen`
(nested) is the Xen that this machine runs on, in the lab's dom0. What the tests demand was read off real Xen;
the mock has to answer the same.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.contract.domain0 import BRIDGE, FREE, OTHER, PORT, OnLinux, OnMock
from tests.contract.guests import Guests, Machine
from xentool.hypervisor.calls import Hypercalls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.domain0 import Sysadmin
    from xentool.dom0.port import Dom0
    from xentool.hypervisor.port import Hypervisor

SETTLE_SECONDS = 60


@pytest.fixture(
    params=["mock-4.17", "mock-4.20", "remote-4.17", pytest.param("xen", marks=pytest.mark.nested)]
)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine on which gates can be opened. Afterwards it has the domains and the memory that it had."""
    kind, _, release = request.param.partition("-")
    if kind == "mock":
        from xentool.hypervisor.mock.hypervisor import MockHypervisor
        from xentool.hypervisor.mock.xen import MockXen

        xen = MockXen(release, memory_bytes=2 << 30, domain_0_bytes=1 << 30, cpus=2)

        def open_mock() -> Hypervisor:
            return MockHypervisor(xen)

        yield from _watched(Machine(open_mock))
        xen.close()
    elif kind == "remote":
        from tests.support.mockserver import MockServer
        from xentool.hypervisor.mock.xen import MockXen

        with MockServer(
            MockXen(release, memory_bytes=2 << 30, domain_0_bytes=1 << 30, cpus=2),
            request.getfixturevalue("tmp_path"),
        ) as server:
            yield from _watched(Machine(server.open))
        server.xen.close()
    else:
        if not os.path.exists("/dev/xen/privcmd"):
            pytest.skip("no Xen runs here")
        from xentool.hypervisor.xen import XenHypervisor

        yield from _watched(Machine(XenHypervisor))


def _watched(machine: Machine) -> Iterator[Machine]:
    with machine.open() as gate:
        calls = Hypercalls(gate)
        before = _domains_and_claims(calls)
        yield machine
        after = _domains_and_claims(calls)
    machine.close()
    assert after == before, "domains or claims were left"


def _domains_and_claims(calls: Hypercalls) -> tuple[set[int], int]:
    """Once no domain dies: who maps a page of one, a daemon or the kernel, may keep it a moment."""
    end = time.monotonic() + SETTLE_SECONDS
    while any(info.dying for info in calls.domain_infos()) and time.monotonic() < end:
        time.sleep(0.05)
    return {info.domid for info in calls.domain_infos()}, calls.physinfo().outstanding_pages


@pytest.fixture
def gate(machine: Machine) -> Iterator[Hypervisor]:
    with machine.open() as gate:
        yield gate


@pytest.fixture
def xen(gate: Hypervisor) -> Hypercalls:
    return Hypercalls(gate)


@pytest.fixture
def guests(xen: Hypercalls) -> Iterator[Guests]:
    """Makes domains, and destroys them after the test."""
    guests = Guests(xen)
    yield guests
    guests.destroy_all()


@pytest.fixture(scope="module", params=["mock", pytest.param("linux", marks=pytest.mark.nested)])
def admin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sysadmin]:
    if request.param == "mock":
        directory = str(tmp_path_factory.mktemp("mock") / "host")
        yield OnMock(directory)
        from xentool.mockhost.life import stop

        stop(directory)
    elif not os.path.exists("/dev/xen/privcmd") or os.geteuid():
        pytest.skip("not the lab's Domain-0")
    else:
        yield OnLinux()


@pytest.fixture
def dom0(admin: Sysadmin) -> Iterator[Dom0]:
    """With a bridge, and an interface that is in none. Afterwards all is as it was."""
    dom0 = admin.dom0
    before = _bound(dom0)
    admin.add_bridge(BRIDGE)
    admin.add_interface(PORT)
    yield dom0
    for name in (BRIDGE, OTHER, PORT, FREE):
        admin.delete(name)
    # A loop device goes when the last has closed it, and udevd may look at it once more.
    end = time.monotonic() + SETTLE_SECONDS
    while (after := _bound(dom0)) != before and time.monotonic() < end:
        time.sleep(0.05)
    assert after == before


def _bound(dom0: Dom0) -> tuple[object, object]:
    return dict(dom0.blocks.loops()), dict(dom0.firewall.guarded())
