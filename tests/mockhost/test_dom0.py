"""The mock Domain-0 beyond what its port promises: its tables' refusals, and who goes away."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.mockhost.devices import Plugged, vif
from tests.support.descriptors import open_descriptors
from tests.support.mocked import MockedHost
from xentool.domain.create import create_domain
from xentool.errors import HostError, InUseError, MockHostError, NotFoundError, XentoolError
from xentool.mockhost.blocks import LOOP_COUNT, BlockTable
from xentool.mockhost.dom0 import MockDom0
from xentool.mockhost.dom0server import socket_path
from xentool.mockhost.frontends import disk_name
from xentool.mockhost.life import stop
from xentool.mockhost.network import DEFAULT_BRIDGE, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock") / "host") as host:
        yield host


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(8192))
    return str(path)


def test_there_is_a_bridge(mocked: MockedHost) -> None:
    bridge = mocked.dom0.links.find("xenbr0")
    assert bridge is not None
    assert (bridge.is_bridge, bridge.mtu) == (True, 1500)


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda network: network.add("x" * 16), HostError),
        (lambda network: network.add("a/b"), HostError),
        (lambda network: network.add(""), HostError),
        (lambda network: network.add("eth0", mtu=67), HostError),
        (lambda network: network.add(DEFAULT_BRIDGE), InUseError),
        (lambda network: network.rename("port", DEFAULT_BRIDGE), InUseError),
        (lambda network: network.rename(DEFAULT_BRIDGE, "br0"), HostError),
        (lambda network: network.set_mac("port", "00:16:3e"), HostError),
        (lambda network: network.set_mac("port", "01:16:3e:00:00:01"), HostError),
        (lambda network: network.set_mac(DEFAULT_BRIDGE, "00:16:3e:00:00:01"), HostError),
        (lambda network: network.add_route("192.0.2.0/99", "port", None), HostError),
        (lambda network: network.set_address("port", "2001:db8::1"), HostError),
    ],
)
def test_what_linux_refuses(attempt: Callable[[Network], object], error: type[XentoolError]) -> None:
    network = Network()
    network.add("port")
    before = [interface.as_dict() for interface in network.all()]
    with pytest.raises(error):
        attempt(network)
    assert [interface.as_dict() for interface in network.all()] == before


def test_routes_go_when_the_interface_goes_down() -> None:
    network = Network()
    port = network.add("port")
    network.set_up("port", up=True)
    network.add_route("192.0.2.7", "port", None)
    network.set_up("port", up=False)
    assert port.routes == []


def test_a_device_stays_as_long_as_somebody_has_it_open(image: str) -> None:
    table = BlockTable()
    loop = table.attach(image, read_only=False, direct_io=False)
    opened = table.open(7, loop.number, writing=True)
    table.put(loop)
    assert table.all() == [loop]
    table.detach(loop.path, image)
    assert table.all() == [loop]
    opened.close()
    assert table.all() == []
    opened.close()


def test_a_read_only_one_is_not_written(image: str) -> None:
    table = BlockTable()
    loop = table.attach(image, read_only=True, direct_io=False)
    with pytest.raises(InUseError):
        table.open(7, loop.number, writing=True)
    with pytest.raises(NotFoundError):
        table.open(7, loop.number + 1, writing=False)
    with pytest.raises(NotFoundError):
        table.open(4095, 4095, writing=False)
    table.close()


def test_no_descriptor_is_kept_when_none_is_free(image: str) -> None:
    table = BlockTable()
    for _ in range(LOOP_COUNT):
        table.attach(image, read_only=True, direct_io=False)
    before = open_descriptors()
    with pytest.raises(HostError):
        table.attach(image, read_only=True, direct_io=False)
    assert open_descriptors() == before
    table.close()


def test_loop_devices_go_with_the_process_that_held_them(mocked: MockedHost, image: str) -> None:
    other = MockDom0(mocked.directory)
    other.blocks.attach_loop(image, read_only=True, direct_io=False)
    kept = other.blocks.attach_loop(image, read_only=True, direct_io=False)
    kept.keep()
    assert len(mocked.dom0.blocks.loops()) == 2
    other.close()
    assert list(mocked.dom0.blocks.loops()) == [kept.device]
    mocked.dom0.blocks.detach_loop(kept.path, image)
    assert mocked.dom0.blocks.loops() == {}


def test_a_child_asks_on_its_own(mocked: MockedHost, image: str) -> None:
    """What it holds goes with it, not with its parent."""
    assert mocked.dom0.links.find("xenbr0") is not None
    child = os.fork()
    if not child:
        mocked.dom0.blocks.attach_loop(image, read_only=True, direct_io=False)
        held = len(mocked.dom0.blocks.loops())
        mocked.dom0.close()
        os._exit(held)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert mocked.dom0.blocks.loops() == {}


def test_a_backends_interface_is_not_deleted(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("owner"))
    device = Plugged(mocked, domid, vif())
    name = mocked.dom0.links.wait_for(f"vif{domid}.0", 10).name
    with pytest.raises(HostError, match="driver"):
        mocked.dom0.links.delete(name)
    device.remove()
    mocked.destroy(domid)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense",
        b"[]",
        json.dumps({"n": 1, "do": "close", "with": {}}).encode(),
        json.dumps({"n": 1, "do": "find", "with": {}}).encode(),
        json.dumps({"n": 1, "do": "find", "with": {"name": 7}}).encode(),
        json.dumps({"n": 1, "do": "find", "with": {"name": "a", "colour": "b"}}).encode(),
    ],
)
def test_who_asks_nonsense_is_hung_up_on(mocked: MockedHost, request_: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(90)
        caller.connect(socket_path(mocked.directory))
        caller.send(request_)
        assert caller.recv(100) == b""
    assert mocked.dom0.links.find("xenbr0") is not None, "it lives on"


def test_a_mock_host_that_goes_away(tmp_path: Path, image: str) -> None:
    """Is not replaced by another behind our back: what was held there is lost."""
    directory = str(tmp_path / "host")
    dom0 = MockDom0(directory)
    loop = dom0.blocks.attach_loop(image, read_only=True, direct_io=False)
    stop(directory)
    loop.close()
    with pytest.raises(MockHostError):
        dom0.links.find("xenbr0")
    assert not os.path.exists(socket_path(directory))


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (51712, "xvda"),
        (51713, "xvda1"),
        (51728, "xvdb"),
        (202 << 8 | 15 << 4, "xvdp"),
        (1 << 28 | 26 << 8, "xvdaa"),
        (1 << 28 | 16 << 8 | 3, "xvdq3"),
        (768, "xvda"),
        (22 << 8, "xvdc"),
        (8 << 8 | 17, "xvdb1"),
    ],
)
def test_what_linux_calls_disks(number: int, name: str) -> None:
    assert disk_name(number) == name
