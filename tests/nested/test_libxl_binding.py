"""libxl through ctypes on real Xen: what it makes, changes and takes away, and that it leaks nothing."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, tiny_kernel, write_config
from xentool.cli.backends import open_backend
from xentool.domain.config.load import load_config
from xentool.domain.config.model import DomainConfig
from xentool.errors import (
    ConfigError,
    HostError,
    InUseError,
    LibxlError,
    NoMemoryError,
    NotFoundError,
    XentoolError,
)
from xentool.toolstack.libxl.kinds import KINDS
from xentool.toolstack.libxl.toolstack import LibxlToolstack
from xentool.units import DomId

THOROUGH = bool(os.environ.get("XENTOOL_THOROUGH"))
LOOKS = 500  # each lists all domains, and asks for one
PLUGS = 250 if THOROUGH else 5  # each attaches and detaches, one time a vif, another time a disk
QUICK = "/bin/true"
BRIDGE = "xenbr9"


@pytest.fixture(scope="module")
def libxl() -> Iterator[LibxlToolstack]:
    backend = open_backend("xen")
    toolstack = LibxlToolstack(backend.host)
    yield toolstack
    toolstack.close()
    backend.close()


@pytest.fixture
def bridge(dom0: Dom0) -> Iterator[str]:
    dom0.run("ip", "link", "add", BRIDGE, "type", "bridge")
    yield BRIDGE
    dom0.run("ip", "link", "del", BRIDGE)


def tiny(folder: Path, **keys: object) -> DomainConfig:
    wanted = {"name": "tiny", "type": "pv", "kernel": tiny_kernel(), "memory": 4} | keys
    return load_config(str(write_config(folder / "tiny.cfg", **wanted)))[0]


@pytest.fixture
def guest(libxl: LibxlToolstack, tmp_path: Path) -> Iterator[DomId]:
    """The tiny guest, paused: it lets go of what it is asked to by force alone."""
    domid = libxl.create(tiny(tmp_path), paused=True)
    yield domid
    if any(view.domid == domid for view in libxl.domains()):
        libxl.destroy(domid)


def gone(libxl: LibxlToolstack, domid: DomId, seconds: float = 90) -> bool:
    """Whether the domain has gone. Xen keeps a destroyed one until the daemons have let go of its pages."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            assert libxl.domain(domid).state[5] == "d", "it was not destroyed"
        except NotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_guest_lives_through_libxl_as_through_xl(dom0: Dom0, libxl: LibxlToolstack, tmp_path: Path) -> None:
    steps: list[str] = []
    domid = libxl.create(tiny(tmp_path), progress=steps.append)
    assert "libxl builds it" in steps
    row = dom0.xl("list", "tiny").stdout.splitlines()[1].split()
    view = libxl.domain(domid)
    assert row[:4] == [view.name, str(domid), "4", "1"]
    assert (view.vcpus_max, view.is_pv, view.shutdown_reason) == (1, True, None)
    (entry,) = json.loads(dom0.xl("list", "-l", "tiny").stdout)
    assert libxl.config_of(domid) == entry["config"]
    libxl.pause(domid)
    assert libxl.domain(domid).state[2] == "p"
    libxl.unpause(domid)
    libxl.shutdown(domid)
    libxl.wait_for_shutdown(domid, 150)
    assert gone(libxl, domid)
    dom0.xl("create", "-p", str(tmp_path / "tiny.cfg"))
    theirs = libxl.resolve("tiny")
    assert libxl.config_of(theirs)["b_info"] == entry["config"]["b_info"]
    libxl.destroy(theirs)


def test_name_vcpus_and_memory_change(dom0: Dom0, libxl: LibxlToolstack, tmp_path: Path) -> None:
    domid = libxl.create(tiny(tmp_path, vcpus=1, maxvcpus=2, memory=8), paused=True)
    libxl.rename(domid, "renamed")
    assert dom0.xl("domname", str(domid)).stdout.strip() == "renamed"
    with pytest.raises(InUseError):
        libxl.rename(domid, "Domain-0")
    libxl.set_vcpus(domid, 2)
    libxl.pin_vcpu(domid, 1, {1})
    assert [facts.get("cpumap") for facts in libxl.vcpus(domid)][1] == [1]
    with pytest.raises(LibxlError, match="1 to 2, not 3"):
        libxl.set_vcpus(domid, 3)
    libxl.set_memory(domid, 6 << 10)
    assert libxl.memory_target(domid) == 6 << 10
    libxl.set_max_memory(domid, 16 << 10)
    libxl.update_config(domid, b"name='tiny'\n")
    assert libxl.updated_config(domid) == b"name='tiny'\n"
    libxl.destroy(domid)


def test_devices_of_all_kinds_are_listed_and_some_plugged(
    libxl: LibxlToolstack, guest: DomId, bridge: str, tmp_path: Path
) -> None:
    listed = {
        name: libxl.devices(guest, name) for name, kind in KINDS.items() if kind.can(libxl.library, "list")
    }
    assert {"disk", "nic", "channel", "vtpm", "vkb", "vdispl", "vsnd", "usbctrl", "usbdev", "pci"} <= set(
        listed
    )
    assert not any(listed.values())
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    with pytest.raises(HostError, match="libxl_device_vfb_list"):
        libxl.devices(guest, "vfb")
    nic = libxl.add_device(guest, "vif", {"bridge": bridge, "mac": "00:16:3e:00:00:01"})
    assert (nic["mac"], nic.get("devid", 0)) == ("00:16:3e:00:00:01", 0)
    _, devid = libxl.attach_disk("tiny", [f"{image},raw,xvdb,w"])
    with pytest.raises(InUseError):
        libxl.attach_disk("tiny", [f"{image},raw,xvdb,w"])
    (disk,) = libxl.devices(guest, "block")
    assert (disk["pdev_path"], disk["vdev"]) == (str(image), "xvdb")
    assert libxl.device_details(guest, "disk", {"vdev": "xvdb"})["devid"] == devid
    assert [nic["bridge"] for nic in libxl.devices(guest, "nic")] == [bridge]
    assert len(libxl.vifs([str(guest)])) == len(libxl.disks([str(guest)])) == 1
    with pytest.raises(NotFoundError, match="it has xvdb"):
        libxl.remove_device(guest, "disk", {"vdev": "xvdz"})
    libxl.remove_device(guest, "disk", {"vdev": "xvdb"}, force=True)
    libxl.detach_vif("tiny", str(nic["mac"]), force=True)
    assert not any((libxl.vifs(["tiny"]), libxl.disks(["tiny"])))


@pytest.mark.once
def test_what_cannot_be_leaves_nothing_and_says_why(
    libxl: LibxlToolstack, guest: DomId, bridge: str, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no kernel" * 1000)
    cases: tuple[tuple[dict[str, object], type[XentoolError], str], ...] = (
        ({}, InUseError, "has that name"),
        ({"name": "other", "kernel": "/no/such"}, XentoolError, "kernel"),
        ({"name": "other", "kernel": str(garbage)}, XentoolError, "kernel"),
        ({"name": "other", "memory": 999999}, NoMemoryError, "the host has"),
        ({"name": "other", "vif": ["bridge=nosuch"]}, XentoolError, "hotplug script"),
        ({"name": "other", "disk": ["/no/such,raw,xvda,w"]}, XentoolError, "/no/such"),
        ({"name": "other", "vif": [f"bridge={bridge},lock"]}, ConfigError, "holds no interface"),
    )
    before = [view.domid for view in libxl.domains()]
    for keys, kind, why in cases:
        with pytest.raises(kind, match=why):
            libxl.create(tiny(tmp_path, **keys))
        assert all(gone(libxl, view.domid) for view in libxl.domains() if view.domid not in before)


@pytest.mark.once
# Between open() and its `with` it leaves the file to the collector, which says so.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_signal_during_create_leaves_nothing(libxl: LibxlToolstack, bridge: str, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def handler(_number: int, _frame: object) -> None:
        raise StopError

    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, handler)
    stopped = 0
    try:
        for seconds in (0.05, 0.3, 1.0):
            timer = threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGUSR1))
            timer.start()
            try:
                libxl.destroy(libxl.create(tiny(tmp_path, vif=[f"bridge={bridge}"])))
                timer.cancel()
                timer.join()  # it may have been about to strike
            except StopError:
                stopped += 1
                for view in libxl.domains():
                    if view.domid and view.state[5] != "d":
                        assert view.state[2] != "p", "this is no guest that was made to the end"
                        libxl.destroy(view.domid)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert stopped >= 2
    assert all(gone(libxl, view.domid) for view in libxl.domains() if view.domid)


def resident_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def children_left() -> bool:
    """Whether this process has any child, one that ended and was not waited for included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@pytest.mark.once
def test_a_thousand_operations_leave_no_memory_and_no_descriptor(
    libxl: LibxlToolstack, guest: DomId, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Xen's own scripts most of the time would go: here libxl runs one that ends at once."""

    def look() -> None:
        libxl.domains()
        libxl.domain(guest)

    def plug_vif() -> None:
        libxl.attach_vif(str(guest), [f"script={QUICK}"])
        libxl.detach_vif(str(guest), "0", force=True)

    def plug_disk() -> None:
        libxl.attach_disk(str(guest), [f"{tmp_path}/image,raw,xvdb,w,script={QUICK}"])
        libxl.detach_disk(str(guest), "xvdb", force=True)

    told = []
    for title, operation, times in (
        ("list and info", look, LOOKS),
        ("vif attach and detach", plug_vif, PLUGS),
        ("disk attach and detach", plug_disk, PLUGS),
    ):
        for _ in range(max(1, min(times // 10, 10))):
            operation()  # what is loaded and allocated once is not counted
        kib, descriptors, began = resident_kib(), len(os.listdir("/proc/self/fd")), time.monotonic()
        for _ in range(times):
            operation()
        seconds = time.monotonic() - began
        grown, left = resident_kib() - kib, len(os.listdir("/proc/self/fd")) - descriptors
        told.append(
            f"{times} times {title}: {seconds / times * 1000:.1f} ms each, "
            f"RSS {kib} KiB {grown:+d}, {left:+d} descriptors"
        )
        assert left == 0, told
        assert grown <= 128, told
        assert not children_left(), told
    with capsys.disabled():
        print("\n" + "\n".join(told))
