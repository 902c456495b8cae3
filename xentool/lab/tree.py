"""A root file system as a folder: Debian's packages unpacked, and what their scripts would have set up.

Maintainer scripts need root and a chroot, so none is run. The few things that they do and dom0 needs (account
files, alternatives, the linker's cache, the modules' dependencies, compiled Python) are done here, with the
tree's own programs where a program is needed: they run on this machine, with the tree's own dynamic loader.
"""

from __future__ import annotations

import lzma
import os
import shutil
import struct
import subprocess
import tarfile
from typing import TYPE_CHECKING, Final

from xentool.errors import LabError
from xentool.lab.recipe import LEFT_OUT, MODULE_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Sequence

# Folders of the root that modern Debian keeps under /usr; packages may still name them at the root.
_MERGED: Final = ("bin", "lib", "lib64", "sbin")
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"

_SIGNATURE_MAGIC: Final = b"~Module signature appended~\n"

_ACCOUNTS: Final = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS: Final = (
    "root:0 daemon:1 tty:5 disk:6 lp:7 man:12 kmem:15 dialout:20 cdrom:24 tape:26 audio:29 shadow:42 utmp:43 "
    "video:44 input:104 kvm:105 render:106 sgx:107 nogroup:65534"
)
_FOLDERS: Final = (
    "dev", "lab", "mnt", "proc", "root", "run", "sys", "tmp", "etc/xen/auto",
    "var/cache", "var/lib/xen/dump", "var/lib/xen/save", "var/log/xen/console", "var/spool", "var/tmp",
)  # fmt: skip
_LINKS: Final = {
    "etc/mtab": "/proc/self/mounts",
    "etc/localtime": "/usr/share/zoneinfo/UTC",
    "usr/bin/arping": "busybox",
    "usr/bin/awk": "mawk",
    "usr/bin/ping": "busybox",
    "usr/bin/which": "busybox",
    "usr/bin/vi": "busybox",
    "usr/bin/clear": "busybox",
    "usr/sbin/ovs-vswitchd": "/usr/lib/openvswitch-switch/ovs-vswitchd",
    "var/lock": "../run/lock",
    "var/run": "../run",
}
_FILES: Final = {
    "etc/passwd": _ACCOUNTS,
    "etc/group": "".join(f"{name}:x:{gid}:\n" for name, gid in (pair.split(":") for pair in _GROUPS.split())),
    "etc/shells": "/bin/sh\n/bin/bash\n",
    "etc/hostname": "lab\n",
    "etc/hosts": "127.0.0.1 localhost lab\n::1 localhost\n",
    "etc/fstab": "",
    "etc/machine-id": "",
    "root/.bashrc": "PS1='lab:\\w# '\n",
}


class Tree:
    """The folder `root`, becoming a root file system."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._safe_folders: set[str] = set()
        for name in _MERGED:
            os.makedirs(self.path("usr", name))
            os.symlink(f"usr/{name}", self.path(name))

    def path(self, *parts: str) -> str:
        """The machine's path of a path in the tree."""
        return os.path.join(self.root, *parts)

    def unpack(self, deb: str) -> None:
        """Unpack one package, but for what the recipe leaves out."""
        process = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", deb],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        failure: tarfile.TarError | None = None
        with process:
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    for member in archive:
                        self._member(archive, member)
                while process.stdout.read(1 << 16):
                    pass
            except tarfile.TarError as exc:
                failure = exc
                process.kill()
            words = process.stderr.read().decode(errors="replace")
        if process.returncode or failure:
            raise LabError(
                "unpack",
                os.path.basename(deb),
                str(failure or words.strip() or "dpkg-deb failed"),
                hint="remove the lab's apt folder in the cache, and build again",
            ) from failure

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = _place(member.name)
        if not name or not _is_kept(name):
            return
        target = self.path(name)
        self._enter(os.path.dirname(target))
        if member.isdir():
            if not os.path.isdir(target):
                os.mkdir(target)
            os.chmod(target, member.mode | 0o700)
        elif member.isfile():
            content = archive.extractfile(member)
            assert content is not None
            data = content.read()
            if name.endswith(".ko.xz"):
                target = target.removesuffix(".xz")
                # Decompressed once here rather than at each modprobe, and readable for busybox.
                data = lzma.decompress(data)
            if target.endswith(".ko"):
                data = without_signature(data)
            self._write(target, data, member)
        elif member.issym():
            if not os.path.lexists(target):
                os.symlink(member.linkname, target)
        elif member.islnk():
            os.link(self.path(_place(member.linkname)), target, follow_symlinks=False)

    @staticmethod
    def _write(target: str, data: bytes, member: tarfile.TarInfo) -> None:
        if os.path.lexists(target):
            os.unlink(target)
        with open(target, "wb") as file:
            file.write(data)
        os.chmod(target, member.mode | 0o600)
        os.utime(target, (member.mtime, member.mtime))

    def _enter(self, folder: str) -> None:
        """Make `folder`. A link on the way that leads out of the tree would write to the machine itself."""
        if folder in self._safe_folders:
            return
        real = os.path.realpath(folder)
        if real != self.root and not real.startswith(self.root + "/"):
            raise LabError("unpack packages into", folder, f"a link leads out of the tree, to {real}")
        os.makedirs(folder, exist_ok=True)
        self._safe_folders.add(folder)

    def configure(self) -> None:
        """What the packages' scripts would have done."""
        for folder in _FOLDERS:
            os.makedirs(self.path(folder), exist_ok=True)
        for path, target in _LINKS.items():
            if os.path.isdir(self.path(path)) and not os.path.islink(self.path(path)):
                os.rmdir(self.path(path))  # base-files has var/run as a folder until it is configured
            if not os.path.lexists(self.path(path)):
                os.symlink(target, self.path(path))
        for path, text in _FILES.items():
            with open(self.path(path), "w", encoding="utf-8") as file:
                file.write(text)
        if not os.path.exists(self.path("etc/nsswitch.conf")):
            shutil.copy(self.path("usr/share/libc-bin/nsswitch.conf"), self.path("etc/nsswitch.conf"))
        # ldconfig is linked statically, and works on a folder without root.
        _call([self.path("usr/sbin/ldconfig"), "-r", self.root])

    def kernel_version(self) -> str:
        """The version of the only kernel in the tree, as `uname -r` says it."""
        (version,) = os.listdir(self.path("usr/lib/modules"))
        return version

    def index_modules(self) -> None:
        """Make modules.dep and its companions."""
        self.call(self.root, "usr/bin/kmod", ["-b", self.root, self.kernel_version()], called="depmod")

    def modules_for(self, names: Sequence[str]) -> list[str]:
        """Paths in the tree of these modules and of those that they need, in the order to load them in.

        Modules that are built into the kernel are left out. LabError if there is no such module.
        """
        folder = f"usr/lib/modules/{self.kernel_version()}"
        needs: dict[str, list[str]] = {}
        by_name: dict[str, str] = {}
        with open(self.path(folder, "modules.dep"), encoding="utf-8") as file:
            for line in file:
                path, _, dependencies = line.partition(":")
                needs[path] = dependencies.split()
                by_name[_module_name(path)] = path
        with open(self.path(folder, "modules.builtin"), encoding="utf-8") as file:
            built_in = {_module_name(line.strip()) for line in file}
        order: dict[str, None] = {}
        for name in names:
            plain = name.replace("-", "_")
            if plain in by_name:
                path = by_name[plain]
                # depmod lists what a module needs from near to far: the farthest is loaded first.
                order.update(dict.fromkeys([*reversed(needs[path]), path]))
            elif plain not in built_in:
                raise LabError("find the kernel module", name, f"it is not in {folder}")
        return [f"{folder}/{path}" for path in order]

    def compile_python(self, python: str) -> None:
        """Compile the standard library and Debian's Python packages: in dom0 that would take minutes."""
        folders = [f"usr/lib/python{python}", "usr/lib/python3/dist-packages"]
        arguments = ["-I", "-m", "compileall", "-q", "-s", self.root, "-p", "/", *map(self.path, folders)]
        run_python(self.root, python, arguments)

    @staticmethod
    def call(root: str, program: str, arguments: Sequence[str], *, called: str = "", text: str = "") -> None:
        """Run a program of the tree at `root` on this machine, with the tree's own loader and libraries."""
        libraries = os.path.join(root, _LIBRARIES)
        loader = os.path.join(libraries, "ld-linux-x86-64.so.2")
        name = ["--argv0", called] if called else []
        _call(
            [loader, "--library-path", libraries, *name, os.path.join(root, program), *arguments], root, text
        )


def run_python(root: str, python: str, arguments: Sequence[str], text: str = "") -> None:
    """Run the tree's Python on this machine; `text` is its standard input. LabError if it fails."""
    Tree.call(root, f"usr/bin/python{python}", arguments, text=text)


def keep_python(root: str, python: str, into: str) -> None:
    """Move out of a tree what `run_python` needs, so that it works when the tree is gone."""
    os.makedirs(os.path.join(into, "usr/bin"))
    os.makedirs(os.path.join(into, _LIBRARIES))
    for path in (f"usr/bin/python{python}", f"usr/lib/python{python}"):
        os.rename(os.path.join(root, path), os.path.join(into, path))
    for name in ("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libz.so.1", "libexpat.so.1"):
        shutil.copy(os.path.join(root, _LIBRARIES, name), os.path.join(into, _LIBRARIES, name))


def _call(command: Sequence[str], home: str = "", text: str = "") -> None:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    if home:
        environment["PYTHONHOME"] = os.path.join(home, "usr")
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, env=environment, check=False, cwd="/"
        )
    except OSError as exc:
        raise LabError(
            "run", command[0], exc.strerror or str(exc), hint="images can be built only on x86-64 Linux"
        ) from exc
    if done.returncode:
        raise LabError(
            "run", " ".join(command), f"exit code {done.returncode}", detail=done.stdout + done.stderr
        )


def without_signature(module: bytes) -> bytes:
    """A kernel module without the signature at its end, whose check takes dom0 longer than the loading.

    Source: Linux, include/linux/module_signature.h: {algo, hash, id_type, signer_len, key_id_len, pad[3],
    be32 sig_len} and a magic string.
    """
    if not module.endswith(_SIGNATURE_MAGIC):
        return module
    end = len(module) - len(_SIGNATURE_MAGIC) - 12
    _, _, _, signer, key_id, length = struct.unpack(">BBBBB3xI", module[end : end + 12])
    return module[: end - signer - key_id - length]


def _place(name: str) -> str:
    """Where a package's path goes in the tree: without "./", and under usr what is merged into it."""
    name = name.removeprefix("./").strip("/")
    first, _, rest = name.partition("/")
    if first in _MERGED:
        return f"usr/{first}/{rest}".rstrip("/")
    return "" if name == "." else name


def _is_kept(name: str) -> bool:
    parts = name.split("/")
    if name.startswith(LEFT_OUT):
        return False
    if name.startswith("usr/lib/modules/") and len(parts) > 5 and parts[4] == "kernel":
        inside = "/".join(parts[5:]).removesuffix(".xz")
        return any(
            inside == folder or inside.startswith(folder + "/") or folder.startswith(inside + "/")
            for folder in MODULE_FOLDERS
        )
    return True


def _module_name(path: str) -> str:
    return os.path.basename(path).partition(".")[0].replace("-", "_")
