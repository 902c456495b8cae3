"""The mock host's QEMU: a process that serves qdisks and channels, and can fail as QEMU does."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from select import select
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.mockhost.devices import XVDA, Plugged
from tests.support.mocked import MockedHost
from xentool.devices.device import Device
from xentool.domain.create import create_domain
from xentool.hypervisor.calls import Hypercalls
from xentool.mockhost.life import stop
from xentool.mockhost.qemu import Qemu
from xentool.units import MIB, DomId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.dom0.port import Daemon

SECONDS = 90.0
# What QEMU 7.2 adds to the toolstack's nodes.
XEN_BLOCK = (
    "feature-discard discard-granularity discard-alignment feature-flush-cache max-ring-page-order info "
    "sector-size sectors hotplug-status"
)


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock") / "host") as host:
        yield host


@pytest.fixture
def domid(mocked: MockedHost) -> Iterator[DomId]:
    before = mocked.state()
    domid = create_domain(mocked.host(), mocked.config("guest"))
    yield domid
    _destroy(mocked, domid)
    assert mocked.state() == before


def _destroy(mocked: MockedHost, domid: DomId) -> None:
    """Take the devices away by their nodes alone, then the domain."""
    for path in ("vbd", "console/1"):
        mocked.store.rm(f"/libxl/{domid}/device/{path}")
    mocked.store.rm(f"/local/domain/{domid}/device")
    mocked.store.rm("/local/domain/0/device-model")
    mocked.destroy(domid)
    mocked.store.rm("/local/domain/0/backend")


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.qcow2"
    head = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(16) + (5 * MIB).to_bytes(8, "big")
    path.write_bytes(head.ljust(65536, b"\0"))
    return str(path)


def qdisk(params: str, mode: str = "w") -> Device:
    return Device(
        "vbd",
        XVDA,
        "disk xvda",
        front={"virtual-device": str(XVDA), "device-type": "disk", "protocol": "x86_64-abi"},
        back={
            "params": params,
            "mode": mode,
            "dev": "xvda",
            "type": "qdisk",
            "device-type": "disk",
            "discard-enable": "1",
        },
        backend_kind="qdisk",
    )


def channel(output: str) -> Device:
    return Device(
        "console",
        1,
        "channel",
        front={"protocol": "vt100"},
        front_readonly={"name": "agent", "type": "ioemu", "output": output, "limit": "1048576", "tty": ""},
        back={"protocol": "vt100"},
    )


@contextmanager
def running(mocked: MockedHost, domid: DomId, *words: str) -> Iterator[Daemon]:
    """A QEMU for the domain, once it says that it runs; it is ended afterwards."""
    daemons = mocked.dom0.daemons
    program = daemons.qemu()
    assert program is not None
    mark = ["-xen-domid", str(domid)]
    pid = daemons.spawn([program, *mark, *words], {}, f"{daemons.log_directory}/qemu-dm-{domid}.log")
    daemon = daemons.find(mark, pid)
    assert daemon is not None
    _await_running(mocked, domid)
    yield daemon
    daemon.end(5)
    daemon.close()


def _await_running(mocked: MockedHost, domid: DomId) -> None:
    path = f"/local/domain/0/device-model/{domid}/state"
    with mocked.store.watch(path) as watch:
        while mocked.store.try_read(path) != b"running":
            assert watch.next(SECONDS) is not None


def printed(mocked: MockedHost, domid: DomId) -> str:
    daemons = mocked.dom0.daemons
    return daemons.printed(f"{daemons.log_directory}/qemu-dm-{domid}.log", ended=True)


def test_a_disk_connects(mocked: MockedHost, domid: DomId, image: str) -> None:
    disk = Plugged(mocked, domid, qdisk(f"qcow2:{image}"))
    with running(mocked, domid):
        disk.reach("4", "4")
        assert disk.back("sectors") == str(5 * MIB // 512), "the disk's size, not the file's"
        assert disk.back("info") == "0"
        assert disk.back("hotplug-status") == "connected"
        assert disk.added()[1] == set(XEN_BLOCK.split())
        disk.unplug()
        disk.wait("to go", lambda: disk.states() == ("", ""))


def test_a_disk_that_is_plugged_later(mocked: MockedHost, domid: DomId, image: str) -> None:
    with running(mocked, domid):
        disk = Plugged(mocked, domid, qdisk(f"aio:{image}", mode="r"))
        disk.reach("4", "4")
        assert disk.back("sectors") == str(os.stat(image).st_size // 512)
        assert disk.back("info") == "4"
        mocked.store.rm(disk.address.front)
        disk.reach("", "6")


def test_a_disk_that_nobody_uses_goes_at_once(mocked: MockedHost, image: str) -> None:
    domid = create_domain(mocked.host(), mocked.config("paused"), paused=True)
    with running(mocked, domid):
        disk = Plugged(mocked, domid, qdisk(f"aio:{image}"))
        disk.reach("1", "2")
        disk.unplug()
        disk.wait("to go", lambda: disk.states() == ("", ""))
    _destroy(mocked, domid)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("qcow2:/nowhere/disk", "No such file"),
        ("qcow2:/dev/null", "not in qcow2 format"),
        ("vmdk3:/dev/null", "Unknown driver"),
    ],
)
def test_an_image_that_cannot_be_opened(mocked: MockedHost, domid: DomId, params: str, words: str) -> None:
    disk = Plugged(mocked, domid, qdisk(params))
    with running(mocked, domid):
        assert disk.states()[1] == "1"
    assert words in printed(mocked, domid)


def test_a_channel_on_a_terminal(mocked: MockedHost, domid: DomId) -> None:
    device = Plugged(mocked, domid, channel("pty"))
    with running(mocked, domid, "-chardev", "pty,id=libxl-channel1"):
        device.reach("4", "4")
        terminal = os.open(device.front("tty") or "", os.O_RDWR | os.O_NOCTTY)
        os.write(terminal, b"ping\n")
        seen, end = b"", monotonic() + SECONDS
        while b"ping" not in seen:
            assert select([terminal], [], [], end - monotonic())[0]
            seen += os.read(terminal, 100)
        os.close(terminal)


def test_a_channel_on_a_socket(mocked: MockedHost, domid: DomId, tmp_path: Path) -> None:
    path = str(tmp_path / "agent,1")
    device = Plugged(mocked, domid, channel("chardev:libxl-channel1"))
    option = f"socket,id=libxl-channel1,path={path.replace(',', ',,')},server=on,wait=off"
    with running(mocked, domid, "-chardev", option):
        device.reach("4", "4")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(SECONDS)
                peer.connect(path)
                peer.sendall(b"ping")
                assert peer.recv(100) == b"ping"
    assert not os.path.exists(path)


def test_without_a_domain_it_ends(mocked: MockedHost) -> None:
    daemons = mocked.dom0.daemons
    program = daemons.qemu()
    assert program is not None
    log = f"{daemons.log_directory}/qemu-dm-nobody.log"
    daemons.spawn([program, "-nodefaults"], {}, log)
    assert "no -xen-domid" in daemons.printed(log, ended=True)


def test_it_ends_with_its_mock_host(tmp_path: Path) -> None:
    with MockedHost(tmp_path / "host") as other:
        domid = create_domain(other.host(), other.config("guest"))
        daemons = other.dom0.daemons
        program = daemons.qemu()
        assert program is not None
        mark = ["-xen-domid", str(domid)]
        daemon = daemons.find(mark, daemons.spawn([program, *mark], {}, f"{daemons.log_directory}/q.log"))
        assert daemon is not None
        _await_running(other, domid)
    assert select([daemon], [], [], SECONDS)[0]
    daemon.close()
    assert not os.path.exists(program)


@contextmanager
def in_this_process(directory: str, domid: DomId) -> Iterator[Qemu]:
    qemu = Qemu(directory, domid, {})
    events = qemu.events()
    try:
        yield qemu
    finally:
        events.close()
        qemu.store.close()
        qemu.hypervisor.close()
        qemu.loop.close()


def test_an_event_of_a_port_that_was_unbound_meanwhile(mocked: MockedHost, domid: DomId) -> None:
    with in_this_process(mocked.directory, domid) as qemu:
        events = qemu.events()
        port = events.bind_interdomain(domid, Hypercalls(mocked.hypervisor).alloc_unbound(domid, DomId(0)))
        events.unbind(port)
        assert select([events], [], [], SECONDS)[0]
        qemu.loop.set_deadline("end", 0.01, qemu.loop.stop)
        qemu.loop.run()


def test_an_event_channel_that_ends_with_the_mock_host(tmp_path: Path) -> None:
    with MockedHost(tmp_path / "host") as other:
        domid = create_domain(other.host(), other.config("guest"))
        with in_this_process(other.directory, domid) as qemu:
            stop(other.directory)
            qemu.loop.run()


def test_another_mock_hosts_is_not_found(mocked: MockedHost, domid: DomId, tmp_path: Path) -> None:
    from xentool.mockhost.dom0 import MockDom0

    with running(mocked, domid) as daemon:
        mark = ["-xen-domid", str(domid)]
        assert MockDom0(str(tmp_path / "other")).daemons.find(mark) is None
        assert MockDom0(str(tmp_path / "other")).daemons.find(mark, daemon.pid) is None
