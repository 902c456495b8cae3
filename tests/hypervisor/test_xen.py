"""The gate to real Xen, over libraries with no Xen behind them (fakexen.c): what is held and given back."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xentool.cfunctions import CLibrary
from xentool.errors import HostError
from xentool.hypervisor.xen import XenHypervisor, library
from xentool.units import PAGE_SIZE, DomId, Port

if TYPE_CHECKING:
    from collections.abc import Iterator

DOMAIN = DomId(5)


class FakeXen:
    """The fake libraries: one file under four names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self.opened: list[str] = []

    def set(self, name: str, value: int) -> None:
        ctypes.c_long.in_dll(self._library, name).value = value

    def get(self, name: str) -> int:
        return ctypes.c_long.in_dll(self._library, name).value


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(__file__).with_name("fakexen.c")
    path = tmp_path_factory.mktemp("fakexen") / "libfakexen.so"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", path, source], check=True)
    return path


@pytest.fixture
def fake(fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeXen]:
    device = tmp_path / "device"
    device.touch()
    fake = FakeXen(fake_library)
    for name in ("fake_mapped", "fake_open_errno", "fake_interrupts", "fake_handles"):
        fake.set(name, 0)

    def load(name: str) -> CLibrary:
        fake.opened.append(name)
        return CLibrary(str(fake.path))

    monkeypatch.setattr(library, "CLibrary", load)
    monkeypatch.setattr(library, "DEVICES", dict.fromkeys(library.DEVICES, str(device)))
    yield fake
    assert fake.get("fake_mapped") == 0, "memory was left"
    assert fake.get("fake_handles") == 0, "handles were left"


def test_libraries_are_opened_when_they_are_needed(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        assert fake.opened == ["libxencall.so.1"]
        xen.map_frames(DOMAIN, array("Q", [1])).close()
        xen.map_resource(DOMAIN, 1, 0, 0, 1).close()
        assert fake.opened[1:] == ["libxenforeignmemory.so.1"]
        xen.map_grants(DOMAIN, array("I", [8])).close()
        with xen.event_channels():
            assert fake.opened[2:] == ["libxengnttab.so.1", "libxenevtchn.so.1"]


def test_hypercalls_pass_their_arguments_and_results(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        assert xen.hypercall(36, 1000) == 1036
        assert xen.hypercall(12, 1 << 40, 5) == (1 << 40) + 5, "memory_op's results outgrow an int"
        assert xen.hypercall(26, 1, 2, 3, 4, 5) == 26
        for arguments in ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), (1, 2, 3, 4, 5)):
            with pytest.raises(OSError, match="No such process") as caught:
                xen.hypercall(99, *arguments)
            assert caught.value.errno == errno.ESRCH
    with pytest.raises(OSError, match="closed"):
        xen.hypercall(36, 1)


def test_buffers_are_zeroed_each_time(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        for size in (1, PAGE_SIZE, PAGE_SIZE + 1):
            for _ in range(2):
                with xen.buffer(size) as buffer:
                    assert len(buffer.view) % PAGE_SIZE == 0
                    assert buffer.address % PAGE_SIZE == 0
                    assert not any(buffer.view)
                    buffer.view[:] = b"\xff" * len(buffer.view)
                    assert ctypes.string_at(buffer.address, 1) == b"\xff"
    with pytest.raises(OSError, match="closed"):
        xen.buffer(1)


def test_single_pages_are_kept_for_the_next_call(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        with xen.buffer(10) as first:
            address = first.address
        with xen.buffer(10) as second:
            assert second.address == address
        many = [xen.buffer(1) for _ in range(20)]
        for buffer in many:
            buffer.close()
        assert fake.get("fake_mapped") <= 4


def test_frames_are_mapped_all_or_none(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        with xen.map_frames(DOMAIN, array("Q", range(3))) as mapping:
            assert bytes(mapping.view) == bytes([DOMAIN]) * 3 * PAGE_SIZE
            assert fake.get("fake_mapped") == 3
        assert fake.get("fake_mapped") == 0
        with pytest.raises(OSError, match=r"frame 0xbad of domain 5") as caught:
            xen.map_frames(DOMAIN, array("Q", [1, 0xBAD, 2]))
        assert caught.value.errno == errno.EBUSY
        assert fake.get("fake_mapped") == 0, "what could be mapped is given back"
        with pytest.raises(ProcessLookupError):
            xen.map_frames(DOMAIN, array("Q", [0xDEAD]))
        with pytest.raises(OSError, match="no frames to map"):
            xen.map_frames(DOMAIN, array("Q"))
        with pytest.raises(OSError, match="no grants to map"):
            xen.map_grants(DOMAIN, array("I"))


def test_frames_can_be_used_again_while_they_are_mapped(fake: FakeXen) -> None:
    frames = array("Q", [1])
    with XenHypervisor() as xen, xen.map_frames(DOMAIN, frames):
        frames.append(2)


def test_resources_and_grants(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        with xen.map_resource(DOMAIN, 1, 0, 0, 2) as mapping:
            assert bytes(mapping.view) == b"\1" * 2 * PAGE_SIZE
        with pytest.raises(OSError, match="not supported") as caught:
            xen.map_resource(DOMAIN, 9, 0, 0, 1)
        assert caught.value.errno == errno.EOPNOTSUPP
        with xen.map_grants(DOMAIN, array("I", [8, 9]), writable=False) as mapping:
            assert mapping.view.readonly
            assert len(mapping.view) == 2 * PAGE_SIZE
        with pytest.raises(OSError, match="Invalid") as caught:
            xen.map_grants(DOMAIN, array("I", [0]))


def test_a_view_that_was_closed_raises(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        mapping = xen.map_frames(DOMAIN, array("Q", [1]))
        view = mapping.view
        mapping.close()
        mapping.close()
        for closed in (view, mapping.view):
            with pytest.raises(ValueError, match="released"):
                closed[0]


def test_a_slice_keeps_its_memory(fake: FakeXen) -> None:
    """It would point into nothing otherwise, and reading it would kill the process."""
    with XenHypervisor() as xen:
        mapping = xen.map_frames(DOMAIN, array("Q", [1, 2]))
        part = mapping.view[PAGE_SIZE:]
        mapping.close()
        assert fake.get("fake_mapped") == 2
        assert part[0] == DOMAIN
        del part
        assert fake.get("fake_mapped") == 0


def test_closing_the_hypervisor_gives_back_what_is_open(fake: FakeXen) -> None:
    xen = XenHypervisor()
    mapping, buffer = xen.map_frames(DOMAIN, array("Q", [1])), xen.buffer(1)
    xen.close()
    xen.close()
    assert fake.get("fake_mapped") == 0
    mapping.close()
    buffer.close()
    with pytest.raises(ValueError, match="released"):
        mapping.view[0]


def test_a_slice_may_outlive_even_the_hypervisor(fake: FakeXen) -> None:
    xen = XenHypervisor()
    parts = [xen.map_frames(DOMAIN, array("Q", [1])).view[:1], xen.buffer(1).view[:1]]
    xen.close()
    assert bytes(parts[0]) + bytes(parts[1]) == bytes([DOMAIN, 0])
    parts.clear()
    fake.set("fake_mapped", 0)  # nobody gives these back before the process ends


def test_event_channels(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        channels = xen.event_channels()
        assert channels.fileno() == 123
        assert channels.alloc_unbound(DOMAIN) == 6
        assert channels.bind_interdomain(DOMAIN, Port(3)) == 8
        assert channels.bind_virq(3) == 5
        channels.notify(Port(1))
        channels.unmask(Port(1))
        channels.unbind(Port(1))
        with pytest.raises(OSError, match="not connected") as caught:
            channels.notify(Port(9))
        assert caught.value.errno == errno.ENOTCONN
        fake.set("fake_interrupts", 2)
        assert channels.pending() == 7, "signals do not end the wait"
        channels.close()
        channels.close()
        with pytest.raises(OSError, match="closed"):
            channels.fileno()


def test_no_xen_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "DEVICES", {"xencall": str(tmp_path / "privcmd")})
    with pytest.raises(HostError, match=r"not the Domain-0 of a Xen host") as caught:
        XenHypervisor()
    assert "--backend mock" in caught.value.hint
    assert "xentool lab" in caught.value.hint


def test_not_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HostError, match="is for root alone") as caught:
        XenHypervisor()
    assert "sudo" in caught.value.hint


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    monkeypatch.setattr(library, "DEVICES", {"xencall": str(device)})

    def load(name: str) -> CLibrary:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(library, "CLibrary", load)
    with pytest.raises(HostError, match=r"libxencall\.so\.1 is missing") as caught:
        XenHypervisor()
    assert caught.value.hint == "apt-get install libxencall1"


def test_a_library_that_lacks_a_function(fake: FakeXen) -> None:
    with XenHypervisor() as xen:
        xen._call._signatures = {"xencall9": xen._call._signatures["xencall0"]}
        with pytest.raises(HostError, match="no function xencall9"):
            xen._call.function("xencall9")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EPERM, "is for root alone"),
        (errno.ENODEV, "not the Domain-0 of a Xen host"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_a_library_that_cannot_open_its_device(fake: FakeXen, number: int, text: str) -> None:
    fake.set("fake_open_errno", number)
    with pytest.raises(HostError, match=text):
        XenHypervisor()
