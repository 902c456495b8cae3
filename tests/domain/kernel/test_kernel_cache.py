"""The cache: warm hits, staleness, tampering, crashes, bounds."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import stat
import struct
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.cachedkernels import FRESH, HIT, entries, links, origin
from tests.support.elfwriter import VIRT_BASE, pv_kernel
from xentool.domain.kernel import cache as cache_module
from xentool.domain.kernel import load_kernel
from xentool.domain.kernel import unpack as unpack_module
from xentool.domain.kernel.cache import KernelCache, default_directory

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from xentool.domain.kernel.reader import Reader


@pytest.fixture
def no_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test where a file's content is hashed or unpacked."""

    def fail(*_arguments: object) -> None:
        raise AssertionError("the content was read")

    monkeypatch.setattr(unpack_module, "digest_of", fail)
    monkeypatch.setattr(unpack_module, "unpack", fail)


@pytest.mark.usefixtures("settled")
def test_a_warm_hit_reads_nothing_of_the_file(
    kernel: Path, directory: Path, request: pytest.FixtureRequest
) -> None:
    assert origin(kernel, directory) == FRESH
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in entries(directory)] == [0o600]
    request.getfixturevalue("no_hashing")
    assert origin(kernel, directory) == HIT


def test_a_file_just_written_is_known_by_content_only(kernel: Path, directory: Path) -> None:
    """Its ctime may still be the same after the next change."""
    assert origin(kernel, directory) == FRESH
    assert links(directory) == []
    assert origin(kernel, directory) == HIT
    assert links(directory) == []


@pytest.mark.usefixtures("settled")
def test_the_same_content_elsewhere_is_a_hit(kernel: Path, directory: Path) -> None:
    """Bootloaders copy the kernel out of the guest's disk for each boot."""
    assert origin(kernel, directory) == FRESH
    copy = kernel.with_name("boot_kernel.abcdef")
    copy.write_bytes(kernel.read_bytes())
    assert origin(copy, directory) == HIT
    assert len(entries(directory)) == 1
    assert len(links(directory)) == 2


@pytest.mark.usefixtures("settled")
def test_a_changed_file_is_another(kernel: Path, directory: Path) -> None:
    """Even of the same size, in place, with its mtime set back."""
    assert origin(kernel, directory) == FRESH
    before = kernel.stat()
    other = gzip.compress(pv_kernel(ENTRY=VIRT_BASE + 0x10_0008))
    other += bytes(before.st_size - len(other))
    for _ in range(100):  # until the clock that stamps files has moved on
        kernel.write_bytes(other)
        os.utime(kernel, ns=(before.st_atime_ns, before.st_mtime_ns))
        if kernel.stat().st_ctime_ns != before.st_ctime_ns:
            break
        time.sleep(0.001)
    after = kernel.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    with load_kernel(str(kernel), cache_dir=str(directory)) as image:
        assert image.entry == VIRT_BASE + 0x10_0008


def damage_truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def damage_empty(path: Path) -> None:
    os.truncate(path, 0)


def damage_write(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(0x400)
        file.write(b"\xee" * 64)


def damage_write_after_reboot(path: Path) -> None:
    """A hole that a power failure left: the times are right, the boot is another."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(0x400)
        file.write(bytes(4096))
        file.seek(-36, os.SEEK_END)
        file.write(b"00000000-0000-0000-0000-000000000000")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damage_trailer(path: Path) -> None:
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(-68, os.SEEK_END)
        file.write(b"XTKERN\x00\x02")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damage_size(path: Path) -> None:
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(-60, os.SEEK_END)
        file.write(struct.pack("<Q", 1 << 40))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "damage",
    [damage_truncate, damage_empty, damage_write, damage_write_after_reboot, damage_trailer, damage_size],
)
def test_a_damaged_entry_is_made_anew(kernel: Path, directory: Path, damage: object) -> None:
    assert origin(kernel, directory) == FRESH
    (entry,) = entries(directory)
    assert callable(damage)
    damage(entry)
    assert origin(kernel, directory) == FRESH
    assert origin(kernel, directory) == HIT


@pytest.mark.usefixtures("settled")
def test_after_a_reboot_an_entry_is_checked_once(
    kernel: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert origin(kernel, directory) == FRESH
    checks = []
    crc_of = cache_module._crc_of

    def counted(fd: int, size: int) -> int:
        checks.append(size)
        return crc_of(fd, size)

    monkeypatch.setattr(cache_module, "_crc_of", counted)
    assert origin(kernel, directory) == HIT
    assert checks == []
    monkeypatch.setattr(cache_module, "_boot_id", lambda: b"next boot" + bytes(27))
    assert origin(kernel, directory) == HIT
    assert origin(kernel, directory) == HIT
    assert len(checks) == 1


@pytest.mark.usefixtures("settled")
def test_what_a_killed_writer_left_is_taken_over(kernel: Path, directory: Path) -> None:
    assert origin(kernel, directory) == FRESH
    (entry,) = entries(directory)
    entry.rename(entry.with_name(entry.name + ".part"))
    os.truncate(entry.with_name(entry.name + ".part"), 5000)
    (directory / ("ab" * 32 + ".part")).write_bytes(b"of another kernel")
    assert origin(kernel, directory) == FRESH
    assert entries(directory) == [entry]


@pytest.mark.usefixtures("settled")
def test_old_entries_and_dead_links_go(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "ENTRIES_MAX", 3)
    kernels = []
    for number in range(5):
        path = tmp_path / f"kernel{number}.gz"
        path.write_bytes(gzip.compress(pv_kernel(GUEST_VERSION=str(number))))
        kernels.append(path)
    for path in kernels[:3]:
        assert origin(path, directory) == FRESH
    assert origin(kernels[0], directory) == HIT
    assert origin(kernels[3], directory) == FRESH
    assert len(entries(directory)) == 3
    assert len(links(directory)) == 3
    assert origin(kernels[0], directory) == HIT
    assert origin(kernels[2], directory) == HIT
    assert origin(kernels[1], directory) == FRESH


@pytest.mark.usefixtures("settled")
def test_the_size_is_bounded(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(pv_kernel(GUEST_VERSION="0")) + 200
    monkeypatch.setattr(cache_module, "SIZE_MAX", 2 * size)
    for number in range(4):
        path = tmp_path / f"kernel{number}.gz"
        path.write_bytes(gzip.compress(pv_kernel(GUEST_VERSION=str(number))))
        assert origin(path, directory) == FRESH
        assert len(entries(directory)) <= 2
    assert len(entries(directory)) == 2


@pytest.mark.usefixtures("settled")
def test_the_number_of_links_is_bounded(
    kernel: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "LINKS_MAX", 4)
    content = kernel.read_bytes()
    for number in range(8):
        path = kernel.with_name(f"copy{number}")
        path.write_bytes(content)
        origin(path, directory)
    assert len(links(directory)) == 4
    assert origin(path, directory) == HIT


def test_a_file_that_changes_while_it_is_unpacked(
    kernel: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is filed under what was unpacked, never under what was hashed before."""
    original, other = kernel.read_bytes() + bytes(100), gzip.compress(pv_kernel(GUEST_VERSION="other"))
    kernel.write_bytes(original)
    digest_of = unpack_module.digest_of

    def changing(reader: Reader) -> str:
        digest = digest_of(reader)
        kernel.write_bytes(other + bytes(len(original) - len(other)))
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(unpack_module, "digest_of", changing)
        with load_kernel(str(kernel), cache_dir=str(directory)) as image:
            assert image.guest_version == "other"
    kernel.write_bytes(original)
    with load_kernel(str(kernel), cache_dir=str(directory)) as image:
        assert image.guest_version == ""


def _load_in_child(path: str, directory: str, counter: str, all_loaded: Barrier) -> None:
    unpack = unpack_module.unpack

    def counted(reader: Reader, out_fd: int) -> unpack_module.Unpacked:
        with open(counter, "ab") as file:
            file.write(b"x")
        time.sleep(0.1)
        return unpack(reader, out_fd)

    unpack_module.unpack = counted  # type: ignore[assignment]
    with load_kernel(path, cache_dir=directory) as image:
        assert image.guest_os == "linux"
        all_loaded.wait(20)  # nobody waits for another to be done with its image


def test_two_at_once_decompress_once(kernel: Path, directory: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    counter = tmp_path / "counter"
    all_loaded = context.Barrier(4)
    children = [
        context.Process(target=_load_in_child, args=(str(kernel), str(directory), str(counter), all_loaded))
        for _ in range(4)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert counter.read_bytes() == b"x"
    assert len(entries(directory)) == 1


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory() == "/var/cache/xentool/kernels"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_directory() == "/x/xentool/kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert default_directory() == "/home/ann/.cache/xentool/kernels"


def test_close_twice(directory: Path) -> None:
    cache = KernelCache(str(directory))
    cache.close()
    cache.close()
