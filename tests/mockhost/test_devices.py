"""The mock host's backends and its guests' frontends: they walk the XenbusState machine as Linux's do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mockhost.devices import MAC, Plugged, vbd, vif
from tests.mockhost.terminal import Terminal
from tests.support.mocked import MockedHost
from xentool.domain.create import create_domain
from xentool.hypervisor.calls import Hypercalls
from xentool.units import MIB, Port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.units import DomId


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock") / "host") as host:
        yield host


@pytest.fixture
def domid(mocked: MockedHost) -> Iterator[DomId]:
    """A running guest of one vcpu; afterwards nothing of it or of its devices is left."""
    before = mocked.state(), mocked.dom0.links.all(), mocked.dom0.blocks.loops()
    domid = create_domain(mocked.host(), mocked.config("guest"))
    yield domid
    _destroy(mocked, domid)
    state = mocked.state(), mocked.dom0.links.all(), mocked.dom0.blocks.loops()
    assert state == before


def _destroy(mocked: MockedHost, domid: DomId) -> None:
    """Take the devices away by their nodes alone, then the domain."""
    store = mocked.store
    for kind in ("vif", "vbd"):
        for path in (
            f"/libxl/{domid}/device",
            f"/local/domain/{domid}/device",
            "/local/domain/0/error/backend",
        ):
            store.rm(f"{path}/{kind}")
        store.rm(f"/local/domain/0/backend/{kind}")
    mocked.destroy(domid)
    for path in ("/local/domain/0/error/backend", "/local/domain/0/error", "/local/domain/0/backend"):
        if store.exists(path) and not store.directory(path):
            store.rm(path)


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(3 * MIB)
    return str(path)


def _plug_disk(mocked: MockedHost, domid: DomId, image: str, mode: str = "w") -> Plugged:
    """A disk, tied as the toolstack does; the loop device is open by whoever kept it: nobody but blkback."""
    disk = Plugged(mocked, domid, vbd(image, mode=mode))
    disk.wait("for the backend", lambda: disk.back("state") == "2")
    loop = mocked.dom0.blocks.attach_loop(image, read_only=mode == "r", direct_io=False)
    disk.write_back(physical_device=f"{loop.device[0]:x}:{loop.device[1]:x}")
    disk.wait("for the device to be opened", lambda: disk.back("sectors") is not None)
    loop.close()
    return disk


def test_a_vif_connects(mocked: MockedHost, domid: DomId) -> None:
    device = Plugged(mocked, domid, vif())
    link = mocked.dom0.links.wait_for(f"vif{domid}.0", 10)
    assert (link.is_bridge, link.bridge, link.mtu) == (False, None, 1500)
    mocked.dom0.links.rename(link.name, "web")
    assert mocked.dom0.links.of_vif(domid, 0) == "web"
    assert mocked.dom0.links.of_vif(domid, 1) is None
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")
    assert device.back("feature-split-event-channels") == "1"
    assert device.back("multi-queue-max-queues") == "2"
    assert device.front("request-rx-copy") == "1"
    ports = [int(device.front(f"event-channel-{way}") or 0) for way in ("tx", "rx")]
    assert min(ports) > 0
    from xentool.abi.event_channel import EVTCHNSTAT_interdomain

    calls = Hypercalls(mocked.hypervisor)
    assert [calls.port_status(domid, Port(port))[0] for port in ports] == [EVTCHNSTAT_interdomain] * 2


def test_a_vif_waits_for_hotplug(mocked: MockedHost, domid: DomId) -> None:
    """Netback is connected, and does not say so until its interface is tied."""
    device = Plugged(mocked, domid, vif())
    device.reach("4", "2")
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")


def test_a_guest_with_two_vcpus_has_two_queues(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("wide", vcpus=2, max_vcpus=2))
    device = Plugged(mocked, domid, vif())
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")
    assert device.front("multi-queue-num-queues") == "2"
    assert device.front("queue-1/tx-ring-ref") is not None
    assert device.front("tx-ring-ref") is None
    _destroy(mocked, domid)


def test_a_disk_connects(mocked: MockedHost, domid: DomId, image: str) -> None:
    disk = _plug_disk(mocked, domid, image)
    disk.reach("4", "4")
    assert disk.back("sectors") == str(3 * MIB // 512)
    assert disk.back("sector-size") == "512"
    assert disk.back("info") == "0"
    assert disk.back("feature-discard") == "1"
    assert len(mocked.dom0.blocks.loops()) == 1, "blkback has it open"


def test_a_read_only_disk(mocked: MockedHost, domid: DomId, image: str) -> None:
    disk = _plug_disk(mocked, domid, image, mode="r")
    disk.reach("4", "4")
    assert disk.back("info") == "4"


def test_a_read_only_device_is_not_opened_for_writing(mocked: MockedHost, domid: DomId, image: str) -> None:
    disk = Plugged(mocked, domid, vbd(image, mode="w"))
    loop = mocked.dom0.blocks.attach_loop(image, read_only=True, direct_io=False)
    disk.write_back(physical_device=f"7:{loop.device[1]:x}")
    disk.wait("for the error", lambda: disk.error() is not None)
    assert disk.error() == "2 creating vbd structure"
    assert disk.back("sectors") is None
    loop.close()


def test_a_device_that_is_not_there(mocked: MockedHost, domid: DomId) -> None:
    disk = Plugged(mocked, domid, vbd())
    disk.write_back(physical_device="7:3f")
    disk.wait("for the error", lambda: disk.error() is not None)
    disk.wait("for the backend to give up", lambda: disk.back("state") in ("5", "6"))


def test_a_vif_without_a_script_is_given_up(mocked: MockedHost, domid: DomId) -> None:
    device = vif()
    plugged = Plugged(
        mocked,
        domid,
        type(device)("vif", 0, "vif 0", front=device.front, back={"handle": "0", "mac": MAC}),
    )
    plugged.wait("for the error", lambda: plugged.error() == "2 reading script")
    plugged.wait("for the backend to give up", lambda: plugged.back("state") in ("5", "6"))
    assert mocked.dom0.links.find(f"vif{domid}.0") is None


# What the drivers of Linux 6.1 add to the toolstack's nodes, as they stand in a store when all is connected.
NETBACK = (
    "feature-sg feature-gso-tcpv4 feature-gso-tcpv6 feature-ipv6-csum-offload feature-rx-copy "
    "feature-xdp-headroom feature-rx-flip feature-multicast-control feature-dynamic-multicast-control "
    "feature-split-event-channels multi-queue-max-queues feature-ctrl-ring"
)
NETFRONT = (
    "xdp-headroom multi-queue-num-queues tx-ring-ref rx-ring-ref event-channel-tx event-channel-rx "
    "request-rx-copy feature-rx-notify feature-sg feature-gso-tcpv4 feature-gso-tcpv6 "
    "feature-ipv6-csum-offload"
)
BLKBACK = (
    "feature-max-indirect-segments multi-queue-max-queues max-ring-page-order feature-flush-cache "
    "discard-granularity discard-alignment discard-secure feature-discard feature-barrier feature-persistent "
    "sectors info sector-size physical-sector-size"
)
BLKFRONT = "ring-ref event-channel feature-persistent"


def test_the_nodes_are_linuxs(mocked: MockedHost, domid: DomId, image: str) -> None:
    device, disk = Plugged(mocked, domid, vif()), _plug_disk(mocked, domid, image)
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")
    disk.reach("4", "4")
    assert device.added() == (set(NETFRONT.split()), set(NETBACK.split()))
    assert disk.added() == (set(BLKFRONT.split()), {*BLKBACK.split(), "physical-device"})
    store = mocked.store
    ring_ref = f"{disk.address.front}/ring-ref"
    assert [str(p) for p in store.get_perms(ring_ref)] == [f"n{domid}", "r0"]
    assert [str(p) for p in store.get_perms(f"{disk.address.back}/sectors")] == ["n0", f"r{domid}"]


def test_a_guest_shows_its_devices(mocked: MockedHost, domid: DomId, image: str) -> None:
    terminal = Terminal(mocked, domid)
    terminal.expect("mock# ")
    device = Plugged(mocked, domid, vif())
    disk = _plug_disk(mocked, domid, image, mode="r")
    device.write_back(hotplug_status="connected")
    terminal.expect(f"eth0: connected, {MAC}")
    disk.reach("4", "4")
    terminal.type("ip link")
    shown = terminal.expect("mock# ")
    assert "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP" in shown
    assert f"link/ether {MAC}" in shown
    terminal.type("lsblk")
    assert ["xvda", "3M", "1", "disk"] in [line.split() for line in terminal.expect("mock# ").splitlines()]
    device.unplug()
    device.reach("6", "6")
    device.remove()
    terminal.expect("eth0: removed")
    terminal.close()


def test_unplugging(mocked: MockedHost, domid: DomId, image: str) -> None:
    device = Plugged(mocked, domid, vif())
    disk = _plug_disk(mocked, domid, image)
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")
    disk.reach("4", "4")
    disk.unplug()
    device.unplug()
    device.reach("6", "6")
    disk.reach("6", "6")
    assert mocked.dom0.links.find(f"vif{domid}.0") is None
    assert mocked.dom0.blocks.loops() == {}
    device.remove()
    disk.remove()


def test_a_hundred_times(mocked: MockedHost, domid: DomId) -> None:
    """Pages, grants and event channels come back: a guest has fewer than a hundred times two of each."""
    calls = Hypercalls(mocked.hypervisor)
    ports = []
    for _ in range(100):
        device = Plugged(mocked, domid, vif())
        device.write_back(hotplug_status="connected")
        device.reach("4", "4")
        ports.append(int(device.front("event-channel-tx") or 0))
        device.unplug()
        device.reach("6", "6")
        device.remove()
    assert max(ports) - min(ports) <= 2
    calls.domain_info(domid)


def test_a_frontend_that_goes_takes_its_backend_along(mocked: MockedHost, domid: DomId) -> None:
    device = Plugged(mocked, domid, vif())
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")
    mocked.store.rm(device.address.front)
    device.reach("", "6")
    assert mocked.dom0.links.find(f"vif{domid}.0") is None


def test_a_backend_that_is_removed_lets_go(mocked: MockedHost, domid: DomId, image: str) -> None:
    disk = _plug_disk(mocked, domid, image)
    disk.reach("4", "4")
    disk.remove()
    disk.wait("for the loop device to go", lambda: not mocked.dom0.blocks.loops())


def test_a_guest_that_keeps_its_devices(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("stubborn", cmdline="mock.ignore-unplug"))
    device = Plugged(mocked, domid, vif())
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")
    device.unplug()
    # The guest hears of things in their order: when it has the second, it has heard of the first.
    other = Plugged(mocked, domid, vif(1))
    other.write_back(hotplug_status="connected")
    other.reach("4", "4")
    assert device.states() == ("4", "5")
    mocked.store.rm(device.address.front)
    device.reach("", "6")
    _destroy(mocked, domid)


@pytest.mark.parametrize("name", ["abc", "01", "-1", "99999999999"])
def test_what_is_no_device_is_left_alone(mocked: MockedHost, domid: DomId, name: str) -> None:
    for path in (f"/local/domain/{domid}/device/vif/{name}", f"/local/domain/0/backend/vif/{domid}/{name}"):
        mocked.store.write(f"{path}/state", "1")
    device = Plugged(mocked, domid, vif())
    device.write_back(hotplug_status="connected")
    device.reach("4", "4")
    for path in (f"/local/domain/{domid}/device/vif/{name}", f"/local/domain/0/backend/vif/{domid}/{name}"):
        assert mocked.store.read(f"{path}/state") == b"1"
    assert [link["name"] for link in mocked.dom0.links.all()] == ["xenbr0", f"vif{domid}.0"]


@pytest.mark.parametrize("how", ["rewrite", "delete"])
def test_a_hostile_guest(mocked: MockedHost, image: str, how: str) -> None:
    """Whatever it does to its nodes, the backends end when the toolstack takes the devices away."""
    before = mocked.state(), mocked.dom0.links.all()
    domid = create_domain(mocked.host(), mocked.config("hostile", cmdline=f"mock.hostile-devices={how}"))
    device, disk = Plugged(mocked, domid, vif()), Plugged(mocked, domid, vbd(image))
    device.write_back(hotplug_status="connected")
    spoiled = "/local/domain/0" if how == "rewrite" else None
    for plugged in (device, disk):
        plugged.wait("for mischief", lambda plugged=plugged: plugged.front("backend") == spoiled)  # type: ignore[misc]
        assert mocked.store.read_text(f"{plugged.address.back}/frontend") == plugged.address.front
        mocked.store.rm(plugged.address.front)
        plugged.unplug() if plugged.states()[1] else None
        plugged.wait("to close", lambda plugged=plugged: plugged.states()[1] in ("", "5", "6"))  # type: ignore[misc]
    _destroy(mocked, domid)
    assert (mocked.state(), mocked.dom0.links.all()) == before
