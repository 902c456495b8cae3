"""Unpacking packages, and the archives and files that an image is made of."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from xentool.errors import LabError
from xentool.lab.cpio import CpioWriter
from xentool.lab.image import _give_to_root, _initramfs
from xentool.lab.tree import Tree, without_signature

Entry = tuple[str, str, bytes]


def fake_deb(folder: Path, monkeypatch: pytest.MonkeyPatch, entries: list[Entry]) -> str:
    """A "package" of (name, kind, data or link's target); a dpkg-deb that prints it is put on the PATH."""
    deb = folder / "x.deb"
    with tarfile.open(deb, "w") as archive:
        for name, kind, data in entries:
            member = tarfile.TarInfo(name)
            member.mode, member.mtime = 0o755 if kind != "file" else 0o640, 1000
            if kind == "dir":
                member.type = tarfile.DIRTYPE
            elif kind == "file":
                member.size = len(data)
            else:
                member.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
                member.linkname = data.decode()
            archive.addfile(member, io.BytesIO(data) if kind == "file" else None)
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "dpkg-deb").write_text('#!/bin/sh\nexec cat "$2"\n')
    (tools / "dpkg-deb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return str(deb)


def test_packages_are_merged_into_usr_and_trimmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = b"\x7fELF" + bytes(100)
    deb = fake_deb(
        tmp_path,
        monkeypatch,
        [
            ("./", "dir", b""),
            ("./bin/", "dir", b""),
            ("./bin/sh", "link", b"dash"),
            ("./bin/dash", "file", b"#!"),
            ("./usr/bin/dash2", "hard", b"./bin/dash"),
            ("./usr/share/doc/x/README", "file", b"long"),
            ("./lib/modules/6.1/kernel/drivers/xen/a.ko.xz", "file", lzma.compress(module)),
            ("./lib/modules/6.1/kernel/sound/b.ko", "file", module),
            ("./lib/modules/6.1/modules.builtin", "file", b""),
        ],
    )
    tree = Tree(str(tmp_path / "tree"))
    tree.unpack(deb)
    found = sorted(
        os.path.relpath(os.path.join(folder, name), tree.root)
        for folder, _, names in os.walk(tree.root)
        for name in names
    )
    assert found == [
        "usr/bin/dash",
        "usr/bin/dash2",
        "usr/bin/sh",
        "usr/lib/modules/6.1/kernel/drivers/xen/a.ko",
        "usr/lib/modules/6.1/modules.builtin",
    ]
    assert Path(tree.path("bin/sh")).read_bytes() == b"#!"
    assert Path(tree.path("lib/modules/6.1/kernel/drivers/xen/a.ko")).read_bytes() == module
    status = os.stat(tree.path("usr/bin/dash"))
    assert (status.st_mode & 0o777, status.st_mtime, status.st_nlink) == (0o640, 1000, 2)


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    deb = fake_deb(
        tmp_path,
        monkeypatch,
        [("./opt/out", "link", str(outside).encode()), ("./opt/out/file", "file", b"x")],
    )
    with pytest.raises(LabError, match="a link leads out of the tree"):
        Tree(str(tmp_path / "tree")).unpack(deb)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "exit"])
def test_a_damaged_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    deb = fake_deb(tmp_path, monkeypatch, [("./a", "file", b"x" * 5000)])
    if damage == "cut":
        os.truncate(deb, 2000)
    else:
        (tmp_path / "bin/dpkg-deb").write_text('#!/bin/sh\ncat "$2"\necho bad >&2\nexit 2\n')
    with pytest.raises(LabError, match=r"unpack x\.deb") as caught:
        Tree(str(tmp_path / "tree")).unpack(deb)
    assert "apt folder" in caught.value.hint


def test_a_modules_signature_is_cut_off() -> None:
    module, signature = b"\x7fELF module", b"s" * 50
    # algo, hash, id_type, signer_len, key_id_len, three of padding, length
    info = bytes([0, 0, 2, 3, 4, 0, 0, 0]) + (50).to_bytes(4, "big")
    signed = module + b"sgn" + b"keys" + signature + info + b"~Module signature appended~\n"
    assert without_signature(signed) == module
    assert without_signature(module) == module


def module_tree(folder: Path) -> Tree:
    """A tree with four modules that need one another, and busybox."""
    tree = Tree(str(folder / "tree"))
    modules = Path(tree.path("usr/lib/modules/6.1"))
    (modules / "kernel").mkdir(parents=True)
    for name in ("blk", "ring", "core", "dev-x"):
        (modules / f"kernel/{name}.ko").write_bytes(name.encode())
    (modules / "modules.dep").write_text(
        "kernel/blk.ko: kernel/ring.ko kernel/core.ko\nkernel/ring.ko: kernel/core.ko\n"
        "kernel/core.ko:\nkernel/dev-x.ko: kernel/core.ko\n"
    )
    (modules / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    Path(tree.path("usr/bin/busybox")).write_bytes(b"busybox")
    return tree


def test_modules_come_after_those_that_they_need(tmp_path: Path) -> None:
    paths = module_tree(tmp_path).modules_for(["blk", "ext4", "dev_x"])
    assert [os.path.basename(path) for path in paths] == ["core.ko", "ring.ko", "blk.ko", "dev-x.ko"]


def test_a_module_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="find the kernel module nfs"):
        module_tree(tmp_path).modules_for(["nfs"])


def test_cpio_reads_the_initramfs(tmp_path: Path) -> None:
    import gzip

    archive = gzip.decompress(_initramfs(module_tree(tmp_path), "guest-init.sh", ["blk"]))
    done = subprocess.run(
        ["cpio", "-itv", "--quiet", "-R", "0:0"], input=archive, capture_output=True, check=True
    )
    lines = {line.split()[-1]: line for line in done.stdout.decode().splitlines()}
    assert lines["dev/console"].startswith("crw------- ")
    assert "5,   1" in lines["dev/console"]
    assert lines["init"].startswith("-rwxr-xr-x ")
    assert lines["bin"].startswith("drwxr-xr-x ")
    assert "usr/lib/modules/6.1/kernel/core.ko" in lines
    subprocess.run(["cpio", "-i", "--quiet", "modules", "init"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "modules").read_text().splitlines() == [
        f"usr/lib/modules/6.1/kernel/{name}.ko" for name in ("core", "ring", "blk")
    ]
    assert b"XENTOOL-GUEST-UP" in (tmp_path / "init").read_bytes()


def test_an_archive_is_the_same_each_time() -> None:
    def archive() -> bytes:
        writer = CpioWriter()
        writer.file("a/b/c", b"data")
        writer.link("a/link", "b")
        return writer.gzipped()

    assert archive() == archive()


def test_everything_in_the_file_system_becomes_roots(tmp_path: Path) -> None:
    if not shutil.which("mke2fs", path="/sbin:/usr/sbin"):
        pytest.skip("mke2fs is not installed")
    content = tmp_path / "content"
    (content / "a/b").mkdir(parents=True)
    (content / "a/b/file").write_text("x")
    os.symlink("file", content / "a/b/link")
    owner = 1234 if os.geteuid() == 0 else os.geteuid()
    if os.geteuid() == 0:
        for path in (content, *content.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)
    image = str(tmp_path / "image")
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", content, image, "4M"], check=True)

    def owners() -> set[str]:
        found = set()
        for path in ("/a", "/a/b", "/a/b/file", "/a/b/link"):
            done = subprocess.run(
                ["/sbin/debugfs", "-R", f"stat {path}", image], capture_output=True, text=True, check=True
            )
            found.add(" ".join(done.stdout.split("User:")[1].split()[:3]))
        return found

    assert owners() == {f"{owner} Group: {owner}"}
    _give_to_root(image)
    assert owners() == {"0 Group: 0"}
    subprocess.run(["/sbin/e2fsck", "-fn", image], check=True, capture_output=True)
