"""Driver domains on the mock host: backends in a guest, tied by the toolstack that runs there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mockhost.devices import Plugged, vbd, vif
from tests.support.mocked import MockedHost
from xentool.abi.event_channel import EVTCHNSTAT_closed
from xentool.devices.device import Device
from xentool.domain.create import create_domain
from xentool.units import MIB, DomId, Port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock") / "host") as host:
        yield host


@pytest.fixture
def domains(mocked: MockedHost) -> Iterator[tuple[DomId, DomId]]:
    """A driver domain and a guest of its; afterwards nothing is left of them."""
    before = mocked.state(), mocked.dom0.links.all(), mocked.dom0.blocks.loops()
    driver = create_domain(mocked.host(), mocked.config("driver", driver_domain=True))
    guest = create_domain(mocked.host(), mocked.config("guest"))
    yield driver, guest
    mocked.store.rm(f"/local/domain/{guest}/device")
    for kind in ("vif", "vbd"):
        mocked.store.rm(f"/libxl/{guest}/device/{kind}")
    for domid in (guest, driver):
        if domid in [info.domid for info in mocked.host().hypercalls.domain_infos()]:
            mocked.destroy(domid)
    assert (mocked.state(), mocked.dom0.links.all(), mocked.dom0.blocks.loops()) == before


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(MIB)
    return str(path)


def served_by(backend: DomId, device: Device) -> Device:
    return Device(
        device.kind,
        device.devid,
        device.title,
        front=device.front,
        front_readonly=device.front_readonly,
        back=device.back,
        backend=backend,
    )


def test_a_driver_domain_serves(mocked: MockedHost, domains: tuple[DomId, DomId], image: str) -> None:
    driver, guest = domains
    ports = _ports(mocked, driver)
    interface = Plugged(mocked, guest, served_by(driver, vif()))
    disk = Plugged(mocked, guest, served_by(driver, vbd(image)))
    interface.reach("4", "4")
    disk.reach("4", "4")
    assert disk.back("sectors") == str(MIB // 512)
    assert interface.back("hotplug-status") == "connected"
    assert mocked.dom0.links.find(f"vif{guest}.0") is None, "it is not Domain-0's"
    assert mocked.dom0.blocks.loops() == {}
    assert _has_open(mocked, image)
    for device in (interface, disk):
        device.unplug()
        device.wait("devd to remove it", lambda device=device: device.states()[1] == "")  # type: ignore[misc]
    assert not _has_open(mocked, image)
    assert _ports(mocked, driver) == ports


def _ports(mocked: MockedHost, domid: DomId) -> list[int]:
    """Which of the first event channels of a domain are in use."""
    calls = mocked.host().hypercalls
    return [port for port in range(1, 20) if calls.port_status(domid, Port(port))[0] != EVTCHNSTAT_closed]


def _has_open(mocked: MockedHost, path: str) -> bool:
    """Whether the mock host, whose guests are in its process, has a file open."""
    folder = Path(f"/proc/{Path(mocked.directory, 'mockhost.pid').read_text().strip()}/fd")
    return any(os.path.realpath(link) == path for link in folder.iterdir())


def test_what_it_cannot_tie(mocked: MockedHost, domains: tuple[DomId, DomId]) -> None:
    driver, guest = domains
    disk = Plugged(mocked, guest, served_by(driver, vbd("/nowhere/disk")))
    disk.wait("for the error", lambda: disk.back("hotplug-status") == "error")
    assert "no such file" in (disk.back("hotplug-error") or "")
    mocked.store.rm(disk.address.front)
    disk.write_back(online="0")
    disk.wait("devd to remove it", lambda: disk.states()[1] in ("", "6"))


def test_a_driver_domain_that_is_destroyed(mocked: MockedHost, domains: tuple[DomId, DomId]) -> None:
    """What it had mapped of others is let go of: its guest can be destroyed wholly."""
    driver, guest = domains
    interface = Plugged(mocked, guest, served_by(driver, vif()))
    interface.reach("4", "4")
    mocked.destroy(driver)
    mocked.store.rm(f"/libxl/{guest}/device/vif")
    mocked.destroy(guest)
    assert [info.domid for info in mocked.host().hypercalls.domain_infos()] == [0]


def test_a_guest_that_goes_first(mocked: MockedHost, domains: tuple[DomId, DomId]) -> None:
    driver, guest = domains
    interface = Plugged(mocked, guest, served_by(driver, vif()))
    interface.reach("4", "4")
    mocked.store.rm(f"/libxl/{guest}/device/vif")
    mocked.destroy(guest)
    other = create_domain(mocked.host(), mocked.config("other"))
    again = Plugged(mocked, other, served_by(driver, vif()))
    again.reach("4", "4")
    assert [info.domid for info in mocked.host().hypercalls.domain_infos()] == [0, driver, other]
    mocked.store.rm(again.address.front)
    again.write_back(online="0")
    again.wait("to go", lambda: again.states()[1] in ("", "6"))
    mocked.store.rm(f"/libxl/{other}/device/vif")
    mocked.destroy(other)
