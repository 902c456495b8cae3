"""Image files, block devices and loop devices of a Linux Domain-0, by ioctl.

A new loop device clears itself when its last opener closes it (autoclear), so that a process which is
killed while it plugs a disk leaves none behind. Once the store says whose it is, `LinuxLoop.keep`
ends that: it has to outlive the backend's driver, since Xen's own block script frees what is there
and fails where nothing is.

Source: linux/loop.h, linux/fs.h; drivers/block/loop.c (LOOP_CONFIGURE is there since Linux 5.8).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from xentool.dom0.linux.scriptlock import ScriptLock
    from xentool.errors import XentoolError

    Identity = tuple[str, int, int]

LOOP_SET_FD, LOOP_CLR_FD, LOOP_SET_STATUS64, LOOP_GET_STATUS64 = 0x4C00, 0x4C01, 0x4C04, 0x4C05
LOOP_SET_DIRECT_IO, LOOP_CONFIGURE, LOOP_CTL_GET_FREE = 0x4C08, 0x4C0A, 0x4C82
LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR, LO_FLAGS_DIRECT_IO = 1, 4, 16
BLKGETSIZE64, BLKROGET = 0x80081272, 0x125E

_INFO = struct.Struct("=5Q4I64s64s32s2Q")
"""struct loop_info64: device, inode, rdevice, offset, sizelimit, number, encrypt type and key size,
flags, file name, crypt name, encrypt key, init."""
_CONFIG = struct.Struct("=2I232s8Q")
"""struct loop_config: descriptor, block size (0: the device's own), loop_info64, reserved."""
_FLAGS = 8
"""Where in loop_info64's fields the flags are."""

_FILE_NAME, _FILE_NAME_BYTES = 9, 63
"""Where the file's name is, and what there is room for of it."""

CONTROL = "/dev/loop-control"
_ATTEMPTS = 1000
"""How often another may take the loop device that was free a moment ago."""


class LinuxTarget:
    """One `xentool.dom0.port.BlockTarget`."""

    __slots__ = ("identity", "kind", "path", "read_only", "size_bytes")

    def __init__(self, path: str, kind: str, size_bytes: int, identity: Identity, read_only: bool) -> None:
        self.path = path
        self.kind = kind
        self.size_bytes = size_bytes
        self.identity = identity
        self.read_only = read_only


class LinuxLoop:
    """One `xentool.dom0.port.Loop`."""

    __slots__ = ("_descriptor", "device", "identity", "path")

    def __init__(self, descriptor: int, path: str, device: tuple[int, int], identity: Identity) -> None:
        self._descriptor = descriptor
        self.path = path
        self.device = device
        self.identity = identity

    def keep(self) -> None:
        info = _status(self._descriptor)
        assert info is not None
        _set_flags(self._descriptor, info, info[_FLAGS] & ~LO_FLAGS_AUTOCLEAR)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class LinuxBlocks:
    """Implements `xentool.dom0.port.Blocks`."""

    def describe(self, path: str) -> LinuxTarget:
        action = "look at"
        try:
            found = os.stat(path)
            if stat.S_ISREG(found.st_mode):
                # Root may write what nobody may; Xen's block script too goes by the mode.
                read_only = not found.st_mode & 0o222 or not os.access(path, os.W_OK)
                return LinuxTarget(path, "file", found.st_size, _of_file(found), read_only)
            if not stat.S_ISBLK(found.st_mode):
                raise HostError(action, path, f"it is {_kind(found.st_mode)}, no image file or block device")
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                size, read_only_word = bytearray(8), bytearray(4)
                fcntl.ioctl(descriptor, BLKGETSIZE64, size)
                fcntl.ioctl(descriptor, BLKROGET, read_only_word)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as exc:
            raise _cannot(action, path, exc) from exc
        return LinuxTarget(
            path, "device", int.from_bytes(size, "little"), _of_device(found), any(read_only_word)
        )

    def identify(self, path: str) -> Identity | None:
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return _of_device(found) if stat.S_ISBLK(found.st_mode) else _of_file(found)

    def read(self, path: str, count: int, offset: int = 0) -> bytes:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.pread(descriptor, count, offset)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as exc:
            raise _cannot("read", path, exc) from exc

    def attach_loop(self, path: str, *, read_only: bool, direct_io: bool) -> LinuxLoop:
        action = "attach a loop device to"
        how = os.O_RDONLY if read_only else os.O_RDWR
        try:
            image = os.open(path, how | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as exc:
            raise _cannot(action, path, exc) from exc
        try:
            found = os.fstat(image)
            if not stat.S_ISREG(found.st_mode):
                raise HostError(action, path, f"it is {_kind(found.st_mode)}, no file")
            flags = LO_FLAGS_AUTOCLEAR
            flags |= LO_FLAGS_READ_ONLY if read_only else 0
            flags |= LO_FLAGS_DIRECT_IO if direct_io else 0
            for _ in range(_ATTEMPTS):
                number = _free_number(path)
                descriptor = _bound(number, image, path, how, flags)
                if descriptor is not None:
                    return LinuxLoop(descriptor, f"/dev/loop{number}", _device(descriptor), _of_file(found))
        except OSError as exc:
            raise HostError(action, path, exc.strerror or str(exc)) from exc
        finally:
            os.close(image)
        raise HostError(action, path, "others took every loop device that was free", hint="try again")

    def detach_loop(self, device_path: str, image: str) -> None:
        number = device_path.removeprefix("/dev/loop")
        if number == device_path or not (number.isascii() and number.isdigit()):
            return
        try:
            descriptor = os.open(device_path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
                return
            raise HostError("free loop device", device_path, exc.strerror or str(exc)) from exc
        try:
            info = _status(descriptor)
            if info is not None and self._is_image(info, number, image):
                # If somebody still has it open, Linux makes it autoclear instead.
                fcntl.ioctl(descriptor, LOOP_CLR_FD)
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise HostError("free loop device", device_path, exc.strerror or str(exc)) from exc
        finally:
            os.close(descriptor)

    def _is_image(self, info: tuple[Any, ...], number: str, image: str) -> bool:
        if self.identify(image) == ("file", info[0], info[1]):
            return True
        # Renamed meanwhile: it has kept the name it was given, by losetup too; of a long one only a part.
        said = info[_FILE_NAME].rstrip(b"\0")
        if len(said) < _FILE_NAME_BYTES and said in map(os.fsencode, (image, os.path.realpath(image))):
            return True
        # Removed or replaced: the kernel still knows by which name it was opened.
        try:
            with open(f"/sys/block/loop{number}/loop/backing_file", "rb") as file:
                name = file.read().rstrip(b"\n").decode("utf-8", "surrogateescape")
        except OSError:
            return False
        return name.removesuffix(" (deleted)") == os.path.realpath(image)

    def loops(self) -> Mapping[tuple[int, int], Identity]:
        found: dict[tuple[int, int], Identity] = {}
        for name in os.listdir("/sys/block"):
            if not name.startswith("loop") or not os.path.exists(f"/sys/block/{name}/loop"):
                continue
            try:
                descriptor = os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue  # removed this moment
            try:
                info = _status(descriptor)
                if info is not None:
                    found[_device(descriptor)] = _behind(info)
            finally:
                os.close(descriptor)
        return found

    def overlapping(self, device: tuple[int, int]) -> list[tuple[int, int]]:
        return _overlapping(device, "/sys/dev/block")

    def mounted(self) -> Mapping[tuple[int, int], bool]:
        found: dict[tuple[int, int], bool] = {}
        with open("/proc/self/mountinfo", "rb") as file:
            for line in file:
                mount, _, source = line.partition(b" - ")
                words, source_words = mount.split(b" "), source.split()
                if len(words) < 6 or len(source_words) < 3:
                    continue
                # The file system's own options: a read-only mount may show what another one writes.
                writable = b"rw" in source_words[2].split(b",")
                major, _, minor = words[2].partition(b":")
                devices = {(int(major), int(minor))}
                if source_words[1].startswith(b"/dev/"):  # btrfs and others have a number of their own
                    identity = self.identify(_unescaped(source_words[1]))
                    if identity is not None and identity[0] == "device":
                        devices.add((identity[1], identity[2]))
                for device in devices:
                    if device[0]:
                        found[device] = found.get(device, False) or writable
        for device in list(found):
            disk = _whole_disk(device, "/sys/dev/block")
            if disk is not None:
                found.setdefault(disk, False)
        return found

    def lock(self) -> ScriptLock:
        from xentool.dom0.linux.scriptlock import ScriptLock

        return ScriptLock("/var/run/xen-hotplug")


def _free_number(path: str) -> int:
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        hint = "are you root?" if exc.errno in (errno.EACCES, errno.EPERM) else "`modprobe loop`"
        raise HostError("attach a loop device to", path, f"{CONTROL}: {exc.strerror}", hint=hint) from exc
    try:
        return fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    except OSError as exc:
        reason = "no loop device is free" if exc.errno in (errno.ENOSPC, errno.ENODEV) else exc.strerror
        hint = "`losetup -a` shows who has them; a block device (LVM) needs none"
        raise HostError("attach a loop device to", path, reason or str(exc), hint=hint) from exc
    finally:
        os.close(control)


def _bound(number: int, image: int, path: str, how: int, flags: int) -> int | None:
    """Loop device `number`, opened and bound to the descriptor `image`; None if somebody else took it."""
    name = f"/dev/loop{number}"
    try:
        descriptor = os.open(name, how | os.O_CLOEXEC)
    except FileNotFoundError:
        raise HostError(
            "attach a loop device to",
            path,
            f"{name} is free, but has no node",
            hint="is /dev a devtmpfs? in a container it may not be",
        ) from None
    try:
        _configure(descriptor, image, flags, path.encode("utf-8", "surrogateescape")[:_FILE_NAME_BYTES])
    except BaseException as exc:
        os.close(descriptor)
        if isinstance(exc, OSError) and exc.errno == errno.EBUSY:
            return None
        raise
    return descriptor


def _configure(descriptor: int, image: int, flags: int, name: bytes) -> None:
    info = _INFO.pack(*(0,) * _FLAGS, flags, name, b"", b"", 0, 0)
    try:
        fcntl.ioctl(descriptor, LOOP_CONFIGURE, _CONFIG.pack(image, 0, info, *(0,) * 8))
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
    else:
        return
    # Before Linux 5.8. Autoclear comes a moment later here: killed in between, it stays.
    fcntl.ioctl(descriptor, LOOP_SET_FD, image)
    try:
        fcntl.ioctl(descriptor, LOOP_SET_STATUS64, info)
        if flags & LO_FLAGS_DIRECT_IO:
            try:
                fcntl.ioctl(descriptor, LOOP_SET_DIRECT_IO, 1)
            except OSError:  # the file system cannot
                pass
    except BaseException:
        fcntl.ioctl(descriptor, LOOP_CLR_FD)
        raise


def _status(descriptor: int) -> tuple[Any, ...] | None:
    """The fields of loop_info64; None of a loop device that is free."""
    info = bytearray(_INFO.size)
    try:
        fcntl.ioctl(descriptor, LOOP_GET_STATUS64, info)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            return None
        raise
    return _INFO.unpack(info)


def _set_flags(descriptor: int, info: tuple[int, ...], flags: int) -> None:
    try:
        fcntl.ioctl(descriptor, LOOP_SET_STATUS64, _INFO.pack(*info[:_FLAGS], flags, *info[_FLAGS + 1 :]))
    except OSError as exc:
        raise HostError("keep a loop device", f"/dev/loop{info[5]}", exc.strerror or str(exc)) from exc


def _cannot(action: str, path: str, exc: OSError | ValueError) -> XentoolError:
    from xentool.dom0.linux.fileerrors import cannot

    return cannot(action, path, exc)


def _kind(mode: int) -> str:
    from xentool.dom0.linux.fileerrors import kind_of

    return kind_of(mode)


def _of_file(found: os.stat_result) -> Identity:
    return ("file", found.st_dev, found.st_ino)


def _of_device(found: os.stat_result) -> Identity:
    return ("device", os.major(found.st_rdev), os.minor(found.st_rdev))


def _device(descriptor: int) -> tuple[int, int]:
    return _split(os.fstat(descriptor).st_rdev)


def _behind(info: tuple[Any, ...]) -> Identity:
    """What a loop device is on. `rdevice` is 0, or before Linux 5.18 the file system's device, of a file."""
    device, inode, rdevice = info[:3]
    return ("device", *_split(rdevice)) if rdevice not in (0, device) else ("file", device, inode)


def _split(number: int) -> tuple[int, int]:
    return os.major(number), os.minor(number)


def _overlapping(device: tuple[int, int], sysfs: str) -> list[tuple[int, int]]:
    disk = _whole_disk(device, sysfs)
    if disk is not None:
        return [disk]
    folder = f"{sysfs}/{device[0]}:{device[1]}"
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [_number(f"{folder}/{name}") for name in names if os.path.exists(f"{folder}/{name}/partition")]


def _number(folder: str) -> tuple[int, int]:
    with open(f"{folder}/dev", encoding="ascii") as file:
        major, _, minor = file.read().strip().partition(":")
    return int(major), int(minor)


def _whole_disk(device: tuple[int, int], sysfs: str) -> tuple[int, int] | None:
    """The disk that the device is a partition of, if it is one."""
    folder = f"{sysfs}/{device[0]}:{device[1]}"
    if not os.path.exists(f"{folder}/partition"):
        return None
    return _number(os.path.dirname(os.path.realpath(folder)))


def _unescaped(path: bytes) -> str:
    """A path as mountinfo writes it: blanks and others as octal escapes."""
    for char in b" \t\n\\":
        path = path.replace(b"\\%03o" % char, bytes((char,)))
    return os.fsdecode(path)
