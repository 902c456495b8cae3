"""Linux's loop devices and the block script's lock, where others are killed, come and go."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from xentool.dom0.linux import blocks
from xentool.dom0.linux.blocks import LinuxBlocks
from xentool.dom0.linux.scriptlock import ScriptLock
from xentool.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 20


def has_loops() -> bool:
    return os.geteuid() == 0 and os.path.exists(blocks.CONTROL)


needs_loops = pytest.mark.skipif(not has_loops(), reason="needs root and loop devices")


@contextmanager
def child(work: Callable[[int], None]) -> Iterator[int]:
    """A process that does `work`, given where to write a byte when it is ready, and then waits; its pid."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            work(writing)
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    try:
        assert os.read(reading, 1)
        yield pid
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def command(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def settled() -> None:
    """udevd, where there is one, has looked at new loop devices."""
    if shutil.which("udevadm"):
        subprocess.run(["udevadm", "settle", "--timeout=10"], check=False)


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    path.write_bytes(b"\0" * (1 << 20))
    return str(path)


@needs_loops
@pytest.mark.parametrize("kept", [False, True])
def test_a_killed_process_leaves_no_loop_device_that_it_did_not_keep(image: str, kept: bool) -> None:
    linux = LinuxBlocks()
    before = set(linux.loops())

    def work(ready: int) -> None:
        loop = linux.attach_loop(image, read_only=False, direct_io=True)
        if kept:
            loop.keep()
        os.write(ready, b"x")

    with child(work):
        (device,) = set(linux.loops()) - before
    settled()
    assert (device in linux.loops()) is kept
    linux.detach_loop(f"/dev/loop{device[1]}", image)
    settled()
    assert set(linux.loops()) == before


@needs_loops
def test_without_loop_configure(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux before 5.8 does not know that ioctl."""
    monkeypatch.setattr(blocks, "LOOP_CONFIGURE", 0x4CFF)
    linux = LinuxBlocks()
    loop = linux.attach_loop(image, read_only=True, direct_io=True)
    try:
        assert linux.loops()[loop.device] == linux.describe(image).identity
        assert linux.describe(loop.path).read_only
        assert linux.describe(loop.path).size_bytes == 1 << 20
    finally:
        loop.close()
    settled()
    assert loop.device not in linux.loops()


@needs_loops
def test_a_loop_device_whose_image_was_removed_is_freed(image: str) -> None:
    linux = LinuxBlocks()
    loop = linux.attach_loop(image, read_only=False, direct_io=False)
    loop.keep()
    loop.close()
    os.unlink(image)
    linux.detach_loop(loop.path, f"{image}.other")
    assert loop.device in linux.loops()
    linux.detach_loop(loop.path, image)
    settled()
    assert loop.device not in linux.loops()


@needs_loops
@pytest.mark.parametrize("by", ["us", "losetup"])
def test_a_loop_device_whose_image_was_renamed_is_freed(by: str) -> None:
    linux = LinuxBlocks()
    with TemporaryDirectory() as folder:  # short: the kernel keeps 63 bytes of the name
        image = f"{folder}/disk.img"
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        _rename_while_in_use(linux, image, by)


def _rename_while_in_use(linux: LinuxBlocks, image: str, by: str) -> None:
    before = set(linux.loops())
    if by == "losetup":
        path = command("losetup", "--show", "-f", image).strip()
    else:
        loop = linux.attach_loop(image, read_only=False, direct_io=False)
        path = loop.path
        loop.keep()
        loop.close()
    os.rename(image, f"{image}.old")
    linux.detach_loop(path, f"{image}.old.too")
    assert set(linux.loops()) != before
    linux.detach_loop(path, image)
    settled()
    assert set(linux.loops()) == before


@needs_loops
def test_a_loop_device_on_a_block_device(image: str) -> None:
    linux = LinuxBlocks()
    with closing(linux.attach_loop(image, read_only=False, direct_io=False)) as loop:
        path = command("losetup", "--show", "-f", loop.path).strip()
        try:
            found = linux.describe(path).identity
            assert linux.loops()[found[1:]] == ("device", *loop.device)
        finally:
            command("losetup", "-d", path)
            settled()


@needs_loops
def test_writes_reach_the_file(image: str) -> None:
    linux = LinuxBlocks()
    loop = linux.attach_loop(image, read_only=False, direct_io=True)
    try:
        descriptor = os.open(loop.path, os.O_RDWR)
        os.pwrite(descriptor, b"written", 4096)
        os.fsync(descriptor)
        os.close(descriptor)
    finally:
        loop.close()
    assert linux.read(image, 7, 4096) == b"written"


def test_without_loop_devices(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CONTROL", "/nonexistent/loop-control")
    with pytest.raises(HostError, match="loop-control") as caught:
        LinuxBlocks().attach_loop(image, read_only=True, direct_io=False)
    assert caught.value.hint == "`modprobe loop`"


def test_none_is_free(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CONTROL", "/dev/null")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fcntl.ioctl", full)
    with pytest.raises(HostError, match="no loop device is free"):
        LinuxBlocks().attach_loop(image, read_only=True, direct_io=False)


def test_mounts_are_found() -> None:
    with open("/proc/self/mountinfo") as mounts:
        numbers = {line.split()[2] for line in mounts}
    found = LinuxBlocks().mounted()
    assert {f"{major}:{minor}" for major, minor in found} >= {
        number for number in numbers if not number.startswith("0:")
    }
    assert not any(major == 0 for major, _ in found)


def test_a_partition_s_disk(tmp_path: Path) -> None:
    (tmp_path / "sda" / "sda1").mkdir(parents=True)
    (tmp_path / "sda" / "dev").write_text("8:0\n")
    (tmp_path / "sda" / "sda1" / "dev").write_text("8:1\n")
    (tmp_path / "sda" / "sda1" / "partition").write_text("1\n")
    (tmp_path / "8:0").symlink_to("sda")
    (tmp_path / "8:1").symlink_to("sda/sda1")
    assert blocks._whole_disk((8, 1), str(tmp_path)) == (8, 0)
    assert blocks._whole_disk((8, 0), str(tmp_path)) is None
    assert blocks._whole_disk((253, 1), str(tmp_path)) is None
    assert blocks._overlapping((8, 1), str(tmp_path)) == [(8, 0)]
    assert blocks._overlapping((8, 0), str(tmp_path)) == [(8, 1)]
    assert blocks._overlapping((253, 1), str(tmp_path)) == []


def test_paths_in_mountinfo() -> None:
    assert blocks._unescaped(rb"/dev/a\040b\134c\011d") == "/dev/a b\\c\td"


def test_one_holds_the_lock(tmp_path: Path) -> None:
    first = ScriptLock(str(tmp_path))
    got = threading.Event()

    def wait() -> None:
        second = ScriptLock(str(tmp_path))
        got.set()
        second.release()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.1)
    first.release()
    assert got.wait(SECONDS)
    thread.join()
    first.release()
    assert not (tmp_path / "block").exists()


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    def work(ready: int) -> None:
        ScriptLock(str(tmp_path))
        os.write(ready, b"x")

    with child(work):
        assert (tmp_path / "block").exists()
    ScriptLock(str(tmp_path)).release()


def test_a_lock_whose_file_went_is_none(tmp_path: Path) -> None:
    """Who waits for a file that its holder removes has to take the next one of that name."""
    first = ScriptLock(str(tmp_path))
    taken = []

    def wait() -> None:
        taken.append(ScriptLock(str(tmp_path)))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    for held in range(1, 4):
        (first if held == 1 else taken[held - 2]).release()
        for _ in range(SECONDS * 1000):
            if len(taken) >= held:
                break
            threading.Event().wait(0.001)
        assert len(taken) == held, "one at a time"
    taken[-1].release()
    for thread in threads:
        thread.join()


def test_a_lock_whose_file_was_tidied_away_can_be_let_go(tmp_path: Path) -> None:
    lock = ScriptLock(str(tmp_path))
    (tmp_path / "block").unlink()
    lock.release()
    ScriptLock(str(tmp_path)).release()


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs util-linux")
def test_the_scripts_own_lock_excludes_ours(tmp_path: Path) -> None:
    """They lock with flock(1)."""
    lock = ScriptLock(str(tmp_path))
    path = str(tmp_path / "block")
    assert subprocess.run(["flock", "-n", path, "true"], check=False).returncode == 1
    lock.release()
    assert subprocess.run(["flock", "-n", path, "true"], check=False).returncode == 0
