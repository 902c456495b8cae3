"""Names of virtual disks, and the numbers that stand for them in the store.

    xvda xvda1 xvdaa d0p0 d26p0     Xen virtual disks: disk 0, its partition 1, disk 26 …
    hda … hdd    sda … sdp          named as IDE and SCSI disks are
    51712  0xca00                   the number itself

A number is 202 << 8 | disk << 4 | partition for a Xen virtual disk, 1 << 28 | disk << 8 | partition
where that has no room, and a Linux IDE or SCSI major and minor for the others.

Source: xen-vbd-interface(7); tools/libs/light/libxl_device.c (libxl__device_disk_dev_number,
libxl__devid_to_vdev).
"""

from __future__ import annotations

XVD_MAJOR, SCSI_MAJOR, IDE_MAJORS = 202, 8, (3, 22)
EXTENDED = 1 << 28
MAX_NUMBER = (1 << 31) - 1
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def device_number(vdev: str) -> int | None:
    """The number that `vdev` stands for; None if it is no such name."""
    disk = _split(vdev, "xvd", (1 << 20) - 1, 255) or _numbered(vdev)
    if disk is not None:
        index, partition = disk
        if index <= 15 and partition <= 15:
            return XVD_MAJOR << 8 | index << 4 | partition
        return EXTENDED | index << 8 | partition
    number = _c_number(vdev)
    if number is not None:
        return number if number <= MAX_NUMBER else None
    disk = _split(vdev, "hd", 3, 63)
    if disk is not None:
        index, partition = disk
        return IDE_MAJORS[index >> 1] << 8 | (index & 1) << 6 | partition
    disk = _split(vdev, "sd", 15, 15)
    if disk is not None:
        return SCSI_MAJOR << 8 | disk[0] << 4 | disk[1]
    return None


def device_name(number: int) -> str:
    """How `number` is usually called: the shortest name that `device_number` reads as `number`.

    A number that no name stands for is its own name.
    """
    major, minor = number >> 8, number & 0xFF
    if number & EXTENDED:
        name = _name("xvd", (number & ~EXTENDED) >> 8, minor)
    elif major == XVD_MAJOR:
        name = _name("xvd", minor >> 4, minor & 15)
    elif major == SCSI_MAJOR:
        name = _name("sd", minor >> 4, minor & 15)
    elif major in IDE_MAJORS:
        name = _name("hd", IDE_MAJORS.index(major) << 1 | minor >> 6, minor & 63)
    else:
        return str(number)
    return name if device_number(name) == number else str(number)


def _split(vdev: str, prefix: str, last: int, last_partition: int) -> tuple[int, int] | None:
    """Disk and partition of a name made of `prefix`, letters and perhaps a partition's number."""
    if not vdev.startswith(prefix):
        return None
    digits = vdev[len(prefix) :].lstrip(_LETTERS)
    letters = vdev[len(prefix) : len(vdev) - len(digits)]
    if not 0 < len(letters) <= 5:
        return None
    index = -1
    for letter in letters:
        index = (index + 1) * 26 + _LETTERS.index(letter)
    if index > last:
        return None
    if not digits:
        return index, 0
    if len(digits) > 3 or digits[0] == "0" or not _is_digits(digits) or int(digits) > last_partition:
        return None
    return index, int(digits)


def _numbered(vdev: str) -> tuple[int, int] | None:
    """Disk and partition of d26p0."""
    disk, p, partition = vdev[1:].partition("p")
    if vdev[:1] != "d" or not p:
        return None
    index, part = _c_number(disk), _c_number(partition)
    if index is None or part is None or index >= 1 << 20 or part >= 256:
        return None
    return index, part


def _c_number(text: str) -> int | None:
    """A number as C writes it: decimal, 0x…, or octal with a leading 0."""
    if not text.isascii() or len(text) > 32 or not text[:1].isdigit() or "_" in text:
        return None
    try:
        if text[:2] in ("0x", "0X"):
            return int(text, 0) if text[2:].isalnum() else None
        return int(text, 8 if text[0] == "0" else 10) if _is_digits(text) else None
    except ValueError:
        return None


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _name(prefix: str, index: int, partition: int) -> str:
    letters = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        letters = _LETTERS[letter] + letters
    return prefix + letters + (str(partition) if partition else "")
