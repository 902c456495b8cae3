"""What the lab's images are made of: the releases, Debian's packages, the parts of them that are kept.

To put another package into dom0, add its name to `PACKAGES`: the recipe's hash changes with it, and so the
next build makes new images.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Final, NamedTuple

from xentool.errors import LabError


class Release(NamedTuple):
    """One Xen that the lab can boot, and the Debian release that ships it."""

    xen: str
    suite: str
    python: str


RELEASES: Final = {
    "4.17": Release(xen="4.17", suite="bookworm", python="3.11"),
    "4.20": Release(xen="4.20", suite="trixie", python="3.13"),
}
DEFAULT_XEN: Final = "4.20"

# {xen} is the release's number. What these depend on, apt finds.
PACKAGES: Final = (
    # Xen
    "xen-hypervisor-{xen}-amd64",
    "xen-utils-{xen}",
    "xenstore-utils",
    "grub-xen-host",
    # what devices and HVM guests need: QEMU (with it come SeaBIOS and network cards' boot code), a firewall,
    # another switch than the kernel's bridge
    "netbase",
    "nftables",
    "openvswitch-switch",
    "qemu-system-xen",
    "qemu-utils",
    # a boot loader for HVM guests' disks
    "grub-pc-bin",
    # dom0's kernel, which is the test guests' kernel too
    "linux-image-amd64",
    # a small Debian
    "base-files",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "e2fsprogs",
    "findutils",
    "grep",
    "gzip",
    "iproute2",
    "kmod",
    "less",
    "libc-bin",
    "login",
    "mawk",
    "mount",
    "ncurses-base",
    "procps",
    "sed",
    "strace",
    "tar",
    "time",
    "udev",
    "util-linux",
    # what xentool needs, and its tests
    "python3",
    "python3-click",
    "python3-lz4",
    "python3-rich",
    "python3-yaml",
    "python3-zstandard",
    "python3-hypothesis",
    "python3-pexpect",
    "python3-pyroute2",
    "python3-pytest",
)

# Of the kernel's modules (under /lib/modules/VERSION/kernel), these folders are kept.
MODULE_FOLDERS: Final = (
    "arch/x86/crypto",
    "crypto",
    "drivers/block",
    "drivers/char/hw_random",
    "drivers/char/virtio_console.ko",
    "drivers/md",
    "drivers/net/dummy.ko",
    "drivers/net/tap.ko",
    "drivers/net/tun.ko",
    "drivers/net/veth.ko",
    "drivers/net/virtio_net.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/xen-netback",
    "drivers/net/xen-netfront.ko",
    "drivers/virtio",
    "drivers/xen",
    "fs/9p",
    "fs/ext4",
    "fs/fscache",
    "fs/jbd2",
    "fs/mbcache.ko",
    "fs/netfs",
    "fs/overlayfs",
    "lib",
    "net/802",
    "net/8021q",
    "net/9p",
    "net/bridge",
    "net/core",
    "net/ipv4/netfilter",
    "net/ipv6/netfilter",
    "net/llc",
    "net/netfilter",
    "net/nsh",
    "net/openvswitch",
    "net/psample",
)

# What dom0's initramfs loads to find its root file system, and what the test guest's ramdisk carries.
# ext4 looks for crc32c by name at mount, which no dependency says.
DOM0_INITRD_MODULES: Final = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
GUEST_MODULES: Final = ("xen-blkfront", "xen-netfront")

# Parts of packages that nobody reads in a lab.
LEFT_OUT: Final = (
    "boot/System.map",
    "etc/init.d/",
    "usr/lib/debug/",
    "usr/lib/python3.11/ensurepip/",
    "usr/lib/python3.11/idlelib/",
    "usr/lib/python3.11/lib2to3/",
    "usr/lib/python3.13/ensurepip/",
    "usr/lib/python3.13/idlelib/",
    "usr/lib/x86_64-linux-gnu/gstreamer-1.0/",
    "usr/share/bug/",
    "usr/share/doc/",
    "usr/share/info/",
    "usr/share/iso-codes/",
    "usr/share/lintian/",
    "usr/share/locale/",
    "usr/share/man/",
    "usr/share/qemu/openbios-",
    "usr/share/qemu/skiboot",
    "usr/share/qemu/slof",
    "usr/share/qemu/u-boot",
    "usr/share/xml/iso-codes/",
    "usr/share/zoneinfo/",
)

# The modules of this package, and its files, that decide what an image contains.
_BUILDERS: Final = (
    "recipe.py",
    "image.py",
    "tree.py",
    "cpio.py",
    "dom0/initrd-init.sh",
    "dom0/guest-init.sh",
)


def release_of(xen: str) -> Release:
    """The release named `xen` ("4.17"). LabError if the lab has no such Xen."""
    try:
        return RELEASES[xen]
    except KeyError:
        raise LabError(
            "use the lab with Xen",
            xen,
            "there is no recipe for it",
            hint=f"choose one of {', '.join(RELEASES)}",
        ) from None


def packages_of(release: Release) -> tuple[str, ...]:
    """The names of Debian's packages that the release's image asks for, without what they depend on."""
    return tuple(name.format(xen=release.xen) for name in PACKAGES)


def recipe_id(release: Release) -> str:
    """16 hex digits that change with anything of ours that decides what an image contains."""
    digest = hashlib.sha256(json.dumps([release, packages_of(release)]).encode())
    here = os.path.dirname(__file__)
    for name in _BUILDERS:
        with open(os.path.join(here, name), "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:16]


def image_id(recipe: str, packages: list[str]) -> str:
    """The id of the image that `recipe` makes of these packages ("name=version")."""
    return hashlib.sha256("\n".join([recipe, *sorted(packages)]).encode()).hexdigest()[:16]
