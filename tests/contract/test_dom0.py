"""Domain-0's own system: interfaces, guards, files and loop devices, programs. What the port promises."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import TYPE_CHECKING

import pytest

from tests.contract.domain0 import OnLinux, OnMock
from xentool.errors import (
    ConfigError,
    HostError,
    InUseError,
    NotFoundError,
    TimedOutError,
    XentoolError,
)
from xentool.mockhost.life import stop
from xentool.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.domain0 import Sysadmin
    from xentool.dom0.port import Dom0

BRIDGE, OTHER, PORT, FREE = "ctbr0", "ctbr1", "ctport0", "ctport1"
MAC = "00:16:3e:01:02:03"


@pytest.fixture(scope="module", params=["mock", pytest.param("linux", marks=pytest.mark.nested)])
def admin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sysadmin]:
    if request.param == "mock":
        directory = str(tmp_path_factory.mktemp("mock") / "host")
        yield OnMock(directory)
        stop(directory)
    elif not os.path.exists("/dev/xen/privcmd") or os.geteuid():
        pytest.skip("not the lab's Domain-0")
    else:
        yield OnLinux()


@pytest.fixture
def dom0(admin: Sysadmin) -> Iterator[Dom0]:
    """With a bridge, and an interface that is in none. Afterwards all is as it was."""
    dom0 = admin.dom0
    before = dict(dom0.blocks.loops()), dict(dom0.firewall.guarded())
    admin.add_bridge(BRIDGE)
    admin.add_interface(PORT)
    yield dom0
    for name in (BRIDGE, OTHER, PORT, FREE):
        admin.delete(name)
    assert (dict(dom0.blocks.loops()), dict(dom0.firewall.guarded())) == before


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(MIB)
    return str(path)


# -- links ------------------------------------------------------------------------


def test_interfaces_are_found(dom0: Dom0) -> None:
    bridge, port = dom0.links.find(BRIDGE), dom0.links.find(PORT)
    assert bridge is not None
    assert port is not None
    assert (bridge.name, bridge.is_bridge, bridge.bridge, bridge.mtu) == (BRIDGE, True, None, 1500)
    assert (port.name, port.is_bridge, port.bridge, port.mtu) == (PORT, False, None, 1500)
    assert 0 < bridge.index != port.index > 0
    assert dom0.links.find("ct-nobody") is None
    assert BRIDGE in dom0.links.bridges()
    assert PORT not in dom0.links.bridges()


def test_one_that_is_there_need_not_be_waited_for(dom0: Dom0) -> None:
    assert dom0.links.wait_for(PORT, 0.01).name == PORT


def test_one_that_does_not_come_in_time(admin: Sysadmin, dom0: Dom0) -> None:
    with pytest.raises(TimedOutError) as caught:
        dom0.links.wait_for(FREE, 0.05)
    assert caught.value.subject == FREE
    admin.add_interface(FREE)
    found = dom0.links.find(BRIDGE)
    assert found is not None
    assert found.name == BRIDGE, "an answer that comes too late is nobody's"


@pytest.mark.parametrize("how", ["made", "renamed"])
def test_one_that_comes(admin: Sysadmin, dom0: Dom0, tmp_path: Path, how: str) -> None:
    def come() -> None:
        other = admin.another()
        if how == "made":
            other.add_interface(FREE)
        else:
            other.dom0.links.rename(PORT, FREE)

    thread = threading.Thread(target=come)
    thread.start()
    assert dom0.links.wait_for(FREE, 10).name == FREE
    thread.join()


def test_rename(admin: Sysadmin, dom0: Dom0) -> None:
    before = dom0.links.find(PORT)
    dom0.links.rename(PORT, FREE)
    after = dom0.links.find(FREE)
    assert before is not None
    assert after is not None
    assert after.index == before.index
    assert dom0.links.find(PORT) is None
    with pytest.raises(InUseError):
        dom0.links.rename(FREE, BRIDGE)
    with pytest.raises(NotFoundError):
        dom0.links.rename(PORT, "ct-other")
    with pytest.raises(XentoolError):
        dom0.links.rename(FREE, "a-name-too-long-for-an-interface")


def test_mtu(dom0: Dom0) -> None:
    dom0.links.set_mtu(PORT, 9000)
    port = dom0.links.find(PORT)
    assert port is not None
    assert port.mtu == 9000
    for mtu in (20, 70000):
        with pytest.raises(HostError):
            dom0.links.set_mtu(PORT, mtu)
    with pytest.raises(NotFoundError):
        dom0.links.set_mtu("ct-nobody", 1500)


def test_nothing_can_be_done_to_what_is_not_there(dom0: Dom0) -> None:
    links = dom0.links
    attempts: list[Callable[[], None]] = [
        lambda: links.set_up("ct-nobody"),
        lambda: links.set_up("ct-nobody", up=False),
        lambda: links.set_mac("ct-nobody", MAC),
        lambda: links.add_to_bridge("ct-nobody", BRIDGE),
        lambda: links.add_route("192.0.2.7", "ct-nobody"),
        lambda: links.set_proxy_arp("ct-nobody"),
        lambda: links.set_address("ct-nobody", "192.0.2.7"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError, match="ct-nobody"):
            attempt()
    assert links.address("ct-nobody") is None


def test_ports_of_bridges(admin: Sysadmin, dom0: Dom0) -> None:
    links = dom0.links

    def bridge_of(name: str) -> str | None:
        link = links.find(name)
        assert link is not None
        return link.bridge

    links.add_to_bridge(PORT, BRIDGE)
    links.add_to_bridge(PORT, BRIDGE)
    assert bridge_of(PORT) == BRIDGE
    admin.add_bridge(OTHER)
    with pytest.raises(InUseError, match=BRIDGE):
        links.add_to_bridge(PORT, OTHER)
    links.release_from_bridge(PORT)
    assert bridge_of(PORT) is None
    links.release_from_bridge(PORT)
    links.release_from_bridge("ct-nobody")
    with pytest.raises(NotFoundError, match="ct-nobody"):
        links.add_to_bridge(PORT, "ct-nobody")
    admin.add_interface(FREE)
    with pytest.raises(HostError, match=FREE):
        links.add_to_bridge(PORT, FREE)
    with pytest.raises(HostError, match=OTHER):
        links.add_to_bridge(OTHER, BRIDGE)
    assert bridge_of(PORT) is None


def test_ports_are_free_when_their_bridge_goes(admin: Sysadmin, dom0: Dom0) -> None:
    dom0.links.add_to_bridge(PORT, BRIDGE)
    admin.delete(BRIDGE)
    port = dom0.links.find(PORT)
    assert port is not None
    assert port.bridge is None


def test_vlans(admin: Sysadmin, dom0: Dom0) -> None:
    with pytest.raises(HostError, match="no port"):
        dom0.links.set_port_vlan(PORT, "10p/20")
    dom0.links.add_to_bridge(PORT, BRIDGE)
    with pytest.raises(HostError, match=BRIDGE):
        dom0.links.set_port_vlan(PORT, "10p/20")
    dom0.links.release_from_bridge(PORT)
    admin.add_bridge(OTHER, vlan_filtering=True)
    dom0.links.add_to_bridge(PORT, OTHER)
    dom0.links.set_port_vlan(PORT, "10p/20-22")


def test_routes(dom0: Dom0) -> None:
    dom0.links.set_up(PORT, up=False)
    with pytest.raises(XentoolError):
        dom0.links.add_route("192.0.2.7", PORT)
    dom0.links.set_up(PORT)
    dom0.links.add_route("192.0.2.7", PORT)
    dom0.links.add_route("192.0.2.128/25", PORT)
    dom0.links.set_proxy_arp(PORT)
    dom0.links.set_up(PORT, up=False)


def test_addresses(dom0: Dom0) -> None:
    dom0.links.set_address(PORT, "192.0.2.9")
    assert dom0.links.address(PORT) == "192.0.2.9"


# -- the firewall -------------------------------------------------------------------


def test_guards(dom0: Dom0) -> None:
    firewall = dom0.firewall
    firewall.check()
    try:
        firewall.guard("ctvif", MAC, ["192.0.2.7", "2001:db8::/64"])
        assert set(firewall.guarded()["ctvif"]) == {"192.0.2.7", "2001:db8::/64"}
        firewall.guard("ctvif", MAC, [])
        assert list(firewall.guarded()["ctvif"]) == []
    finally:
        firewall.unguard("ctvif")
    assert "ctvif" not in firewall.guarded()
    firewall.unguard("ctvif")


def test_no_guards_for_nonsense(dom0: Dom0) -> None:
    for name, mac, addresses in (
        ("ctvif", "00:16:3e", []),
        ("ctvif", MAC, ["192.0.2.777"]),
        ("a name; drop", MAC, []),
    ):
        with pytest.raises(ConfigError):
            dom0.firewall.guard(name, mac, addresses)
    with pytest.raises(NotFoundError):
        dom0.firewall.guard("ct-nobody", MAC, [], bridged=False)
    assert "ctvif" not in dom0.firewall.guarded()


def test_a_guard_out_of_a_bridge_goes_with_its_interface(admin: Sysadmin, dom0: Dom0) -> None:
    dom0.firewall.guard(PORT, MAC, ["192.0.2.7"], bridged=False)
    assert list(dom0.firewall.guarded()[PORT]) == ["192.0.2.7"]
    admin.delete(PORT)
    assert PORT not in dom0.firewall.guarded()
    dom0.firewall.unguard(PORT)


# -- blocks --------------------------------------------------------------------------


def test_files_are_described(dom0: Dom0, image: str, tmp_path: Path) -> None:
    target = dom0.blocks.describe(image)
    found = os.stat(image)
    assert (target.kind, target.size_bytes, target.read_only) == ("file", MIB, False)
    assert target.identity == ("file", found.st_dev, found.st_ino)
    link = tmp_path / "link"
    link.symlink_to(image)
    assert dom0.blocks.describe(str(link)).identity == target.identity


def test_what_cannot_be_a_disk(admin: Sysadmin, dom0: Dom0, image: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        dom0.blocks.describe(str(tmp_path / "missing"))
    for path in (str(tmp_path), "/dev/null"):
        with pytest.raises(HostError):
            dom0.blocks.describe(path)
    if not admin.has_all_open():
        os.chmod(image, 0)
        with pytest.raises(HostError):
            dom0.blocks.describe(image)


def test_a_loop_device_goes_when_it_is_closed(admin: Sysadmin, dom0: Dom0, image: str) -> None:
    loop = dom0.blocks.attach_loop(image, read_only=False, direct_io=False)
    target = dom0.blocks.describe(loop.path)
    assert (target.kind, target.size_bytes, target.read_only) == ("device", MIB, False)
    assert target.identity == ("device", *loop.device)
    assert dom0.blocks.loops()[loop.device] == dom0.blocks.describe(image).identity
    admin.settle()
    loop.close()
    admin.settle()
    assert loop.device not in dom0.blocks.loops()


def test_a_read_only_loop_device(admin: Sysadmin, dom0: Dom0, image: str) -> None:
    loop = dom0.blocks.attach_loop(image, read_only=True, direct_io=True)
    assert dom0.blocks.describe(loop.path).read_only
    admin.settle()
    loop.close()
    admin.settle()


def test_a_loop_device_that_is_kept(admin: Sysadmin, dom0: Dom0, image: str, tmp_path: Path) -> None:
    other = tmp_path / "other.img"
    other.write_bytes(bytes(4096))
    loop = dom0.blocks.attach_loop(image, read_only=False, direct_io=False)
    loop.keep()
    loop.close()
    admin.settle()
    assert loop.device in dom0.blocks.loops()
    dom0.blocks.detach_loop(loop.path, str(other))
    assert loop.device in dom0.blocks.loops(), "it is another image's"
    admin.settle()
    dom0.blocks.detach_loop(loop.path, image)
    assert loop.device not in dom0.blocks.loops()
    dom0.blocks.detach_loop(loop.path, image)


def test_two_loop_devices_on_one_file(admin: Sysadmin, dom0: Dom0, image: str) -> None:
    first = dom0.blocks.attach_loop(image, read_only=False, direct_io=False)
    second = dom0.blocks.attach_loop(image, read_only=True, direct_io=False)
    loops = dom0.blocks.loops()
    assert first.device != second.device
    assert loops[first.device] == loops[second.device]
    admin.settle()
    first.close()
    second.close()
    admin.settle()


def test_no_loop_devices_on_nonsense(admin: Sysadmin, dom0: Dom0, image: str, tmp_path: Path) -> None:
    for path in (str(tmp_path / "missing"), str(tmp_path), "/dev/null"):
        with pytest.raises((NotFoundError, HostError)):
            dom0.blocks.attach_loop(path, read_only=True, direct_io=False)
    if not admin.has_all_open():
        os.chmod(image, 0o400)
        with pytest.raises(HostError):
            dom0.blocks.attach_loop(image, read_only=False, direct_io=False)


def test_loop_devices_run_out(admin: Sysadmin, dom0: Dom0, image: str) -> None:
    if isinstance(admin, OnLinux):
        pytest.skip("Linux makes more as they are asked for")
    with _many_loops(dom0, image):
        pass
    dom0.blocks.attach_loop(image, read_only=True, direct_io=False).close()


@contextmanager
def _many_loops(dom0: Dom0, image: str) -> Iterator[None]:
    from xentool.mockhost.blocks import LOOP_COUNT

    there = len(dom0.blocks.loops())
    held = [
        dom0.blocks.attach_loop(image, read_only=True, direct_io=False) for _ in range(LOOP_COUNT - there)
    ]
    with pytest.raises(HostError, match="free"):
        dom0.blocks.attach_loop(image, read_only=True, direct_io=False)
    yield
    for loop in held:
        loop.close()


# -- programs ------------------------------------------------------------------------


def _script(folder: Path, text: str) -> str:
    path = folder / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_script_runs(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, 'echo "$1 $COLOUR"; echo trouble >&2; exit 3')
    assert dom0.programs.exists(path)
    assert dom0.programs.run_script([path, "add"], {"COLOUR": "red"}, 10) == (3, "add red\ntrouble\n")


def test_a_script_that_is_killed(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, "kill -9 $$")
    assert dom0.programs.run_script([path], {}, 10)[0] == 128 + 9


def test_a_script_that_hangs_is_ended(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, "echo waiting; sleep 1000 & echo $! > $1; wait")
    pid_file = tmp_path / "pid"
    with pytest.raises(TimedOutError) as caught:
        dom0.programs.run_script([path, str(pid_file)], {}, 0.5)
    assert "waiting" in caught.value.detail
    assert _has_ended(int(pid_file.read_text())), "what it had started runs on"


def _has_ended(pid: int) -> bool:
    """Whether the process ends, which it has been told to a moment ago."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select([process], [], [], 5)[0])
    finally:
        os.close(process)


def test_what_cannot_be_run(dom0: Dom0, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert not dom0.programs.exists(missing)
    with pytest.raises(NotFoundError):
        dom0.programs.run_script([missing], {}, 10)
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert not dom0.programs.exists(str(plain))
    with pytest.raises(HostError):
        dom0.programs.run_script([str(plain)], {}, 10)


def test_the_end_of_what_is_said_is_kept(dom0: Dom0, tmp_path: Path) -> None:
    path = _script(tmp_path, "head -c 200000 /dev/zero | tr '\\0' x; echo the end")
    code, said = dom0.programs.run_script([path], {}, 20)
    assert code == 0
    assert len(said) <= 64 << 10
    assert said.endswith("the end\n")
