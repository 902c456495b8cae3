"""Domain-0's files and loop devices: what `xentool.dom0.port.Blocks` promises."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.contract.domain0 import OnLinux
from xentool.errors import HostError, NotFoundError
from xentool.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.domain0 import Sysadmin
    from xentool.dom0.port import Dom0, Loop


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(MIB)
    return str(path)


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
    assert _goes(dom0, loop)


def _goes(dom0: Dom0, loop: Loop) -> bool:
    """Whether the device goes, which it does when the last has closed it: udevd may look at it once more."""
    end = time.monotonic() + 60
    while loop.device in dom0.blocks.loops():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


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
    assert _goes(dom0, loop)
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


def test_as_many_loop_devices_as_there_can_be(admin: Sysadmin, dom0: Dom0, image: str) -> None:
    if isinstance(admin, OnLinux):  # it makes more than its first eight as they are asked for
        held = [dom0.blocks.attach_loop(image, read_only=True, direct_io=False) for _ in range(12)]
        assert len({loop.path for loop in held}) == 12
        for loop in held:
            loop.close()
        admin.settle()
        return
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
