"""QEMU as a backend: of disks that are plugged into a guest that had none, and of channels."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nested.dom0 import (
    RAMDISK,
    Dom0,
    device_models,
    device_models_left,
    forget_xl_s_leftovers,
    tiny_kernel,
    without_domid,
    write_config,
)
from tests.nested.traffic import QUIET, Guest
from xentool.cli.backends import open_backend
from xentool.devices import unplug
from xentool.store.client import StoreClient
from xentool.units import DomId

IMAGE = Path("/var/tmp/qemu.qcow2")
SOCKET = Path("/run/channel.sock")
JOURNAL = Path("/run/xentool/journal")
CHANNELS = [
    "connection=pty,name=org.example.first",
    f"connection=socket,path={SOCKET},name=org.example.second",
]


@pytest.fixture
def image(dom0: Dom0) -> Iterator[str]:
    dom0.run("qemu-img", "create", "-q", "-f", "qcow2", str(IMAGE), "16M")
    yield str(IMAGE)
    IMAGE.unlink(missing_ok=True)


@pytest.fixture
def tiny(dom0: Dom0, tmp_path: Path) -> str:
    config = write_config(tmp_path / "tiny.cfg", name="tiny", type="pv", kernel=tiny_kernel(), memory=16)
    dom0.xentool("create", "-p", "-q", str(config))
    return "tiny"


def tree(domid: int) -> dict[str, tuple[str, str]]:
    """What concerns the domain and its QEMU, without what differs from one create to the next."""
    with StoreClient() as store:
        found = store.tree(f"/local/domain/{domid}/device") | store.tree(f"/libxl/{domid}/device")
        for kind in ("console", "qdisk"):
            found |= store.tree(f"/local/domain/0/backend/{kind}/{domid}")
        found |= store.tree(f"/local/domain/0/device-model/{domid}")
        return {
            without_domid(path, domid): (
                without_domid(value.decode(), domid),
                ",".join(map(str, store.get_perms(path)))
                .replace(f"r{domid}", "rD")
                .replace(f"n{domid}", "nD"),
            )
            for path, value in found.items()
            if not path.endswith(("/tty", "frontend-id"))
        }


def qemu_words(domid: int) -> list[str]:
    with StoreClient() as store:
        pid = store.read(f"/local/domain/{domid}/image/device-model-pid").decode()
    return Path(f"/proc/{pid}/cmdline").read_text().replace(f"-{domid}", "-D").split("\0")


def test_nodes_and_arguments_are_xl_s(dom0: Dom0, image: str, tmp_path: Path) -> None:
    # xl of 4.17 gives the first channel the number of the primary console, and loses it.
    channels = CHANNELS if dom0.xen_version != "4.17" else []
    config = write_config(
        tmp_path / "same.cfg", name="same", type="pv", kernel=tiny_kernel(), memory=16,
        disk=[f"{image},qcow2,xvda,w"], channel=channels,
    )  # fmt: skip
    trees, words = {}, {}
    for tool in ("xl", "xentool"):
        dom0.run(tool, "create", "-p", "-q", str(config))
        domid = int(dom0.xl("domid", "same").stdout)
        trees[tool] = tree(domid)
        words[tool] = [word for word in qemu_words(domid) if word != str(domid)]
        if channels and tool == "xentool":
            assert dom0.xentool("channel-list", "same").stdout == dom0.xl("channel-list", "same").stdout
        dom0.run(tool, "destroy", "same")
        assert device_models_left() == []
        if tool == "xl":
            forget_xl_s_leftovers()
    assert trees["xentool"] == trees["xl"]
    assert words["xentool"] == words["xl"]


def receive(descriptor: int, text: bytes, seconds: float = 90) -> bytes:
    got, end = b"", time.monotonic() + seconds
    while text not in got:
        assert select.select([descriptor], [], [], max(0, end - time.monotonic()))[0], got
        got += os.read(descriptor, 4096)
    return got


def test_a_guest_talks_through_its_channels_and_gets_a_disk_of_qemu_s(
    dom0: Dom0, image: str, tmp_path: Path
) -> None:
    config = write_config(
        tmp_path / "talker.cfg", name="talker", type="pv", kernel=dom0.kernel, ramdisk=RAMDISK,
        memory=128, extra=QUIET, channel=CHANNELS,
    )  # fmt: skip
    with Guest(dom0, config) as guest:
        guest.wait_until_up()
        with StoreClient() as store:
            path = store.read(f"/local/domain/{guest.domid}/device/console/1/tty").decode()
        with socket.socket(socket.AF_UNIX) as second:
            second.connect(str(SOCKET))
            first = os.open(path, os.O_RDWR | os.O_NOCTTY)
            try:
                tty.setraw(first)
                for number, end in ((1, first), (2, second.fileno())):
                    guest.sh(
                        f"stty raw -echo -F /dev/hvc{number}; echo from-guest-{number} >/dev/hvc{number}"
                    )
                    receive(end, f"from-guest-{number}".encode())
                    guest.send(f"head -n 1 /dev/hvc{number}")
                    os.write(end, f"to-guest-{number}\n".encode())
                    assert f"to-guest-{number}" in guest.answer()
            finally:
                os.close(first)
        # Its QEMU is there; one that serves disks as well, and stays when they go.
        dom0.xentool("block-attach", "talker", f"{image},qcow2,xvdb,w")
        guest.sh(
            "until test -b /dev/xvdb; do :; done; echo written | dd of=/dev/xvdb conv=sync,fsync 2>/dev/null"
        )
        dom0.xentool("block-detach", "talker", "xvdb")
        guest.sh("while test -b /dev/xvdb; do :; done")
        assert dom0.run("qemu-img", "convert", "-O", "raw", image, f"{tmp_path}/raw").returncode == 0
        assert (tmp_path / "raw").read_bytes().startswith(b"written\n")
        assert len(device_models()) == 1
    assert device_models_left() == []
    assert not SOCKET.exists()


@pytest.mark.once
def test_a_guest_without_qemu_gets_one_and_loses_it_with_the_disk(dom0: Dom0, image: str, tiny: str) -> None:
    for tool in ("xentool", "xl", "xentool"):
        dom0.xentool("block-attach", tiny, f"{image},qcow2,xvda,w")
        assert len(device_models()) == 1
        assert "qdisk" in dom0.xl("block-list", tiny).stdout
        dom0.run(tool, "block-detach", tiny, "xvda")
        # xl lets its QEMU run until the domain goes; ours serves on.
        if tool == "xl":
            assert len(device_models()) == 1
        else:
            # It has ended, and has its name until process 1, by now its parent, hears of that.
            assert device_models_left() == []
        assert "qdisk" not in dom0.xl("block-list", tiny).stdout
    dom0.xentool("destroy", tiny)
    assert device_models_left() == []


@pytest.mark.once
def test_a_qemu_that_died_is_replaced_and_keeps_nobody_waiting(
    dom0: Dom0, image: str, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dom0.xentool("block-attach", tiny, f"{image},qcow2,xvda,w")
    domid = int(dom0.xl("domid", tiny).stdout)
    with StoreClient() as store:
        os.kill(int(store.read(f"/local/domain/{domid}/image/device-model-pid")), signal.SIGKILL)
    assert device_models_left() == []
    dom0.run("qemu-img", "create", "-q", "-f", "qcow2", f"{image}.b", "16M")
    try:
        dom0.xentool("block-attach", tiny, f"{image}.b,qcow2,xvdb,w")
        assert len(device_models()) == 1
        with StoreClient() as store:
            os.kill(int(store.read(f"/local/domain/{domid}/image/device-model-pid")), signal.SIGKILL)
        # In this process, with a time that no machine stalls for.
        monkeypatch.setattr(unplug, "CLOSE_SECONDS", 300.0)
        with open_backend("xen") as backend:
            began = time.monotonic()
            backend.toolstack.destroy(DomId(domid))
            assert time.monotonic() - began < 200, "it waited for a QEMU that is dead"
    finally:
        os.unlink(f"{image}.b")


@pytest.mark.once
def test_a_create_that_is_killed_leaves_no_qemu(dom0: Dom0, image: str, tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "killed.cfg", name="killed", type="pv", kernel=tiny_kernel(), memory=16,
        disk=[f"{image},qcow2,xvda,w"],
    )  # fmt: skip
    for _ in range(3):
        pid = os.posix_spawnp("xentool", ["xentool", "create", "-p", "-q", str(config)], dict(os.environ))
        end = time.monotonic() + 150
        while not device_models():
            assert time.monotonic() < end
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        # On a machine that stalls, the QEMU is seen when the create is already done: it is whole then.
        whole = not any(JOURNAL.iterdir())
        dom0.xentool("list")
        dom0.xentool("gc", check=False)
        if whole:
            dom0.xentool("destroy", "killed")
        assert device_models_left() == []
        assert dom0.domids() == [0]
