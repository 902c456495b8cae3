"""The block devices of the mock host's Domain-0: loop devices on the machine's real files.

Nothing is ever read or written through them. As with Linux, a loop device that is to
clear itself goes when the last one who has it open closes it.

Source: drivers/block/loop.c of Linux (LO_FLAGS_AUTOCLEAR).
"""

from __future__ import annotations

import os
import stat

from xentool.errors import HostError, InUseError, NotFoundError

LOOP_MAJOR = 7
LOOP_COUNT = 64
_ACTION = "attach a loop device to"


class LoopDevice:
    """A loop device that is bound to `image`; `users` counts who has it open."""

    def __init__(self, number: int, image: str, descriptor: int, *, read_only: bool, direct_io: bool) -> None:
        self.number = number
        self.image = image
        self.read_only = read_only
        self.direct_io = direct_io
        self.users = 0
        self.autoclear = True
        # Held open, as the kernel does: the inode cannot become another file's meanwhile.
        self.descriptor = descriptor
        found = os.fstat(descriptor)
        self.size_bytes = found.st_size
        self.identity = ("file", found.st_dev, found.st_ino)

    @property
    def path(self) -> str:
        return f"/dev/loop{self.number}"

    def as_dict(self) -> dict[str, object]:
        return {
            "path": self.path,
            "number": self.number,
            "image": self.image,
            "read_only": self.read_only,
            "direct_io": self.direct_io,
            "users": self.users,
            "autoclear": self.autoclear,
            "size_bytes": self.size_bytes,
            "identity": list(self.identity),
        }


class BlockDevice:
    """A block device that somebody has opened: what blkback asks of it. `close` once."""

    def __init__(
        self, size_bytes: int, *, read_only: bool, loop: LoopDevice | None, table: BlockTable
    ) -> None:
        self.size_bytes = size_bytes
        self.read_only = read_only
        self._loop = loop
        self._table = table

    def close(self) -> None:
        if self._loop is not None:
            self._table.put(self._loop)
            self._loop = None


class BlockTable:
    """All loop devices by number."""

    def __init__(self) -> None:
        self._loops: dict[int, LoopDevice] = {}

    def all(self) -> list[LoopDevice]:
        return [self._loops[number] for number in sorted(self._loops)]

    def find(self, path: str) -> LoopDevice | None:
        """The loop device called so, if it is bound."""
        name = path.removeprefix("/dev/loop")
        return self._loops.get(int(name)) if name != path and name.isascii() and name.isdigit() else None

    def attach(self, image: str, *, read_only: bool, direct_io: bool) -> LoopDevice:
        """Bind the first free one, and hold it open once.

        Raises:
            NotFoundError: no such file.
            HostError: it cannot be opened so, or is no file; or none is free.
        """
        descriptor = _open_image(image, read_only)
        try:
            number = next(number for number in range(LOOP_COUNT + 1) if number not in self._loops)
            if number == LOOP_COUNT:
                raise HostError(
                    _ACTION,
                    image,
                    f"none of the {LOOP_COUNT} loop devices is free",
                    hint="detach disks, or destroy domains that have some",
                )
            device = LoopDevice(number, image, descriptor, read_only=read_only, direct_io=direct_io)
        except BaseException:
            os.close(descriptor)
            raise
        device.users = 1
        self._loops[number] = device
        return device

    def put(self, device: LoopDevice) -> None:
        """One who had it open closes it."""
        device.users -= 1
        if not device.users and device.autoclear:
            self._clear(device)

    def detach(self, path: str, image: str) -> None:
        """Free the device if it is still `image`'s; one that is open goes when the last user closes it."""
        device = self.find(path)
        if device is None or not _is_image(device, image):
            return
        device.autoclear = True
        if not device.users:
            self._clear(device)

    def open(self, major: int, minor: int, *, writing: bool) -> BlockDevice:
        """What blkback does with ``physical-device``.

        Raises:
            NotFoundError: there is no such device.
            InUseError: it cannot be written to, and shall be.
        """
        if major == LOOP_MAJOR:
            device = self._loops.get(minor)
            if device is None:
                raise NotFoundError("open block device", f"{major}:{minor}", "that loop device is not bound")
            if writing and device.read_only:
                raise InUseError("open block device", device.path, "it is read-only")
            device.users += 1
            return BlockDevice(device.size_bytes, read_only=device.read_only, loop=device, table=self)
        size, read_only = machine_device(major, minor)
        if writing and read_only:
            raise InUseError("open block device", f"{major}:{minor}", "it is read-only")
        return BlockDevice(size, read_only=read_only, loop=None, table=self)

    def _clear(self, device: LoopDevice) -> None:
        if self._loops.get(device.number) is device:
            del self._loops[device.number]
            os.close(device.descriptor)

    def close(self) -> None:
        for device in self.all():
            self._clear(device)


def machine_device(major: int, minor: int) -> tuple[int, bool]:
    """The size in bytes of a real block device of this machine, and whether it is read-only; by sysfs alone.

    Raises:
        NotFoundError: there is none.
    """
    folder = f"/sys/dev/block/{major}:{minor}"
    try:
        with open(f"{folder}/size", encoding="ascii") as size, open(f"{folder}/ro", encoding="ascii") as ro:
            return int(size.read()) * 512, ro.read().strip() == "1"
    except OSError:
        raise NotFoundError("open block device", f"{major}:{minor}", "there is no such device") from None


def _open_image(image: str, read_only: bool) -> int:
    try:
        found = os.stat(image)
        if not stat.S_ISREG(found.st_mode):
            raise HostError(_ACTION, image, "it is not a file")
        flags = os.O_RDONLY if read_only else os.O_RDWR
        return os.open(image, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFoundError(_ACTION, image, "there is no such file") from None
    except OSError as error:
        how = "read" if read_only else "written to"
        raise HostError(_ACTION, image, f"it cannot be {how}: {error.strerror}") from None


def _is_image(device: LoopDevice, image: str) -> bool:
    if device.image == image:
        return True
    try:
        found = os.stat(image)
    except OSError:
        return False
    return device.identity == ("file", found.st_dev, found.st_ino)
