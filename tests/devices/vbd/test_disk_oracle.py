"""xl's own parser of disks agrees with ours, but where it takes the last of two contradicting words."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.domain.config import libxlu
from xentool.devices.vbd.spec import parse_disk
from xentool.errors import ConfigError

# libxl_types.idl, as numbered there.
FORMATS = ("", "qcow", "qcow2", "vhd", "raw", "empty", "qed")
BACKENDS = ("", "phy", "tap", "qdisk", "standalone")
SPECIFICATIONS = ("", "xen", "virtio")
STRICTER = (
    "is given twice", "it has no vdev",
    'holds "="', "there is no parameter", "is no virtual disk", "it has no target",
    "is empty, but there is a target", "COLO", "control character",
)  # fmt: skip
"""Why we refuse what xl takes, or would refuse later."""


class DeviceDisk(ctypes.Structure):
    """libxl_device_disk, as far as all releases since 4.17 have it."""

    _fields_ = [
        ("backend_domid", ctypes.c_uint32),
        ("backend_domname", ctypes.c_char_p),
        ("pdev_path", ctypes.c_char_p),
        ("vdev", ctypes.c_char_p),
        ("backend", ctypes.c_int),
        ("format", ctypes.c_int),
        ("script", ctypes.c_char_p),
        ("removable", ctypes.c_int),
        ("readwrite", ctypes.c_int),
        ("is_cdrom", ctypes.c_int),
        ("direct_io_safe", ctypes.c_bool),
        ("discard_enable", ctypes.c_int),
        ("specification", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    ]


def theirs(text: str) -> dict[str, object] | None:
    """What libxlutil makes of a disk; None if it refuses it."""
    libraries: Any = libxlu._libraries()
    xlu, libc = libraries
    xlu.xlu_disk_parse.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    said, size = ctypes.c_void_p(), ctypes.c_size_t()
    report = libc.open_memstream(ctypes.byref(said), ctypes.byref(size))
    config = xlu.xlu_cfg_init(report, b"test")
    disk, specs = DeviceDisk(), (ctypes.c_char_p * 1)(text.encode())
    try:
        if xlu.xlu_disk_parse(config, 1, specs, ctypes.byref(disk)):
            return None
        return {
            "target": (disk.pdev_path or b"").decode(),
            "vdev": (disk.vdev or b"").decode(),
            "backend": (disk.backend_domname or b"").decode(),
            "script": (disk.script or b"").decode(),
            "format": FORMATS[disk.format],
            "backendtype": BACKENDS[disk.backend],
            "specification": SPECIFICATIONS[disk.specification],
            "writable": bool(disk.readwrite),
            "cdrom": bool(disk.is_cdrom),
            "direct_io_safe": disk.direct_io_safe,
            "discard": {0: None, 1: True, -1: False}[disk.discard_enable],
        }
    finally:
        xlu.xlu_cfg_destroy(config)
        libc.fclose(report)
        libc.free(said)


def ours(text: str) -> dict[str, object] | str:
    """What we make of it, or why we refuse it."""
    names = (
        "target", "vdev", "backend", "script", "format", "backendtype", "specification", "writable",
        "cdrom", "direct_io_safe", "discard",
    )  # fmt: skip
    try:
        disk = parse_disk(text)
    except ConfigError as error:
        return error.reason
    return {name: getattr(disk, name) for name in names}


words = st.sampled_from(
    [
        "", "", "/a", "/a b", "/dev/vg/x", "raw", "qcow2", "vhd", "empty", "xvda", "hdc", "xvda:cdrom",
        ":disk",
        "r", "w", "rw", "ro", "cdrom", "devtype=cdrom", "devtype=disk", "format=raw", "format=qed",
        "format=",
        "access=ro", "access=", "backend=stor", "backendtype=phy", "backendtype=qdisk", "script=block-x",
        "vdev=xvdb", "vdev=sda1", "specification=xen", "direct-io-safe", "discard", "no-discard", "phy:/a",
        "file:/b", "tap:aio:/c", "qcow2:/d", "nbd:x", "raw:", "bad:/x", "bad:x", "nonsense=1", "a=b", " xvda",
        "w ", "no-colo",
    ]
)  # fmt: skip
specs = st.builds(
    lambda parts, target: ",".join(parts) + target,
    st.lists(words, max_size=7),
    st.sampled_from(["", "", ",target=/t", ",target=/t,u=v ", ", target=", "target=/x"]),
)


@pytest.mark.skipif(not libxlu.AVAILABLE, reason="libxlutil (libxen-dev, or a Xen host) is not installed")
@given(specs | st.text("/axvd0,=: cqowr", max_size=16))
@example("/a,,xvda,r,access=r")
@example(",hdc:cdrom,r")
def test_xl_agrees(text: str) -> None:
    their_disk, our_disk = theirs(text), ours(text)
    if isinstance(our_disk, str):
        assert their_disk is None or any(reason in our_disk for reason in STRICTER), (their_disk, our_disk)
    else:
        assert our_disk == their_disk
