"""Making the lab's images: Xen, dom0's kernel, its initramfs, and its root file system.

An image is a folder that never changes once it has its name:

    xen         the hypervisor, as a multiboot ELF file
    vmlinuz     dom0's kernel
    initrd      dom0's initramfs: loads the drives' modules, goes to the root file system
    root.img    ext4, sparse; booted as a snapshot, so it stays as it is
    python/     as much of the image's Python as compiles modules for it on this machine
    image.json  what it is: release, kernel, packages
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from xentool.errors import LabError
from xentool.lab.cpio import CpioWriter
from xentool.lab.recipe import DOM0_INITRD_MODULES, GUEST_MODULES
from xentool.lab.tools import tool_environment
from xentool.lab.tree import Tree, keep_python

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.lab.recipe import Release

# Where dom0 finds the ramdisk for test guests. Their kernel is dom0's own, which has a fixed name beside it.
GUEST_FOLDER: Final = "usr/lib/xentool-lab"

# The room that tests have. The file is sparse: what nobody writes takes no space.
ROOT_SIZE: Final = "4G"

_HERE: Final = os.path.dirname(__file__)


def make_image(
    release: Release,
    debs: Sequence[str],
    packages: Sequence[str],
    folder: str,
    progress: Callable[[str], None],
) -> None:
    """Make the release's image of these .deb files in the empty folder `folder`.

    `packages` are the files' "name=version", for the record. LabError if a package or a tool fails.
    """
    tree = Tree(os.path.join(folder, "tree"))
    progress(f"unpacking {len(debs)} packages")
    for deb in debs:
        tree.unpack(deb)
    tree.configure()
    tree.index_modules()
    progress("compiling Python modules")
    tree.compile_python(release.python)
    _boot_files(tree, release, folder)
    progress("making the root file system")
    _guest_files(tree)
    _root_file_system(tree, os.path.join(folder, "root.img"))
    keep_python(tree.root, release.python, os.path.join(folder, "python"))
    about = {
        "xen": release.xen,
        "suite": release.suite,
        "python": release.python,
        "kernel": tree.kernel_version(),
    }
    with open(os.path.join(folder, "image.json"), "w", encoding="utf-8") as file:
        json.dump({**about, "packages": sorted(packages)}, file, indent=1)
    shutil.rmtree(tree.root)


def _boot_files(tree: Tree, release: Release, folder: str) -> None:
    with (
        gzip.open(tree.path(f"boot/xen-{release.xen}-amd64.gz")) as packed,
        open(os.path.join(folder, "xen"), "wb") as file,
    ):
        shutil.copyfileobj(packed, file)
    shutil.copy(tree.path("boot", f"vmlinuz-{tree.kernel_version()}"), os.path.join(folder, "vmlinuz"))
    with open(os.path.join(folder, "initrd"), "wb") as file:
        file.write(_initramfs(tree, "initrd-init.sh", DOM0_INITRD_MODULES))


def _guest_files(tree: Tree) -> None:
    folder = tree.path(GUEST_FOLDER)
    os.makedirs(folder)
    with open(os.path.join(folder, "guest.cpio.gz"), "wb") as file:
        file.write(_initramfs(tree, "guest-init.sh", GUEST_MODULES))
    os.symlink(f"/boot/vmlinuz-{tree.kernel_version()}", os.path.join(folder, "vmlinuz"))


def _initramfs(tree: Tree, init: str, modules: Sequence[str]) -> bytes:
    """A ramdisk of busybox, the modules (listed in /modules, in their order), and `init`."""
    archive = CpioWriter()
    for name in ("dev", "proc", "sys", "tmp", "bin"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    with open(tree.path("usr/bin/busybox"), "rb") as file:
        archive.file("bin/busybox", file.read(), executable=True)
    for name in ("poweroff", "reboot", "halt"):
        # The kernel calls /sbin/poweroff when the store says "poweroff"; busybox's would ask its own init.
        archive.file(
            f"sbin/{name}", f"#!/bin/busybox sh\nexec /bin/busybox {name} -f\n".encode(), executable=True
        )
    paths = tree.modules_for(modules)
    for path in paths:
        with open(tree.path(path), "rb") as file:
            archive.file(path, file.read())
    archive.file("modules", "".join(f"{path}\n" for path in paths).encode())
    with open(os.path.join(_HERE, "dom0", init), "rb") as file:
        archive.file("init", file.read(), executable=True)
    return archive.gzipped()


def _root_file_system(tree: Tree, path: str) -> None:
    # Without a journal, and with nothing left for the kernel to initialise: it is read once and thrown away.
    features = "^has_journal,^huge_file,^metadata_csum,^resize_inode"
    _tool(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-L", "lab", "-m", "0", "-O", features, "-E", "nodiscard"),
            *("-d", tree.root, path, ROOT_SIZE),
        ]
    )
    if os.geteuid() != 0:
        _give_to_root(path)


def _give_to_root(path: str) -> None:
    """Make root the owner of every file in the file system: mke2fs copied the builder."""
    done = _tool(["debugfs", "-R", "stats", path])
    inodes = dict(line.split(":", 1) for line in done.splitlines() if line.count(":") == 1)
    used = int(inodes["Inode count"]) - int(inodes["Free inodes"])
    # mke2fs hands inodes out one after another, the root folder's (2) and then from 11 on.
    commands = "".join(
        f"set_inode_field <{inode}> uid 0\nset_inode_field <{inode}> gid 0\n"
        for inode in [2, *range(11, used + 1)]
    )
    _tool(["debugfs", "-w", "-f", "-", path], commands)


def _tool(command: list[str], text: str = "") -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, env=tool_environment(LC_ALL="C"), check=False
    )
    if done.returncode:
        raise LabError(
            "run", " ".join(command), f"exit code {done.returncode}", detail=done.stdout + done.stderr
        )
    return done.stdout
