"""What cannot be created says why and what to do, exits non-zero, and leaves real Xen as it was.

`nothing_left` (conftest) looks after every test; what memory Xen has free is looked at here.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, tiny_kernel, write_config
from tests.support import elfwriter

pytestmark = pytest.mark.once


def free_mib(dom0: Dom0) -> int:
    return int(dom0.xl("info", "free_memory").stdout)


def kernels(folder: Path) -> dict[str, bytes]:
    good = Path(tiny_kernel()).read_bytes()
    (bzimage,) = Path("/boot").glob("vmlinuz-*")
    elf32 = bytearray(good)
    elf32[4] = 1  # EI_CLASS: ELFCLASS32
    return {
        "text": b"#!/bin/sh\necho not a kernel\n",
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "cut bzImage": bzimage.read_bytes()[: 1 << 20],
        "32-bit": bytes(elf32),
        "not for Xen": Path("/usr/bin/busybox").read_bytes(),
        "hostile": elfwriter.pv_kernel(ENTRY=0),
    }


def test_kernels_that_are_none(dom0: Dom0, tmp_path: Path) -> None:
    for name, content in kernels(tmp_path).items():
        path = tmp_path / "kernel"
        path.write_bytes(content)
        config = write_config(tmp_path / "bad.cfg", name="bad", type="pv", kernel=str(path), memory=64)
        done = dom0.xentool("create", str(config), check=False)
        assert done.returncode == 3, f"{name}: {done.stderr}"
        first, *rest = done.stderr.splitlines()
        assert str(path) in first, name
        assert any(line.startswith("hint: ") for line in rest), f"{name}: {done.stderr}"
        assert "Traceback" not in done.stderr
        assert dom0.domids() == [0], name


def test_no_kernel_file(dom0: Dom0, tmp_path: Path) -> None:
    config = write_config(tmp_path / "bad.cfg", name="bad", type="pv", kernel="/nowhere/vmlinuz", memory=64)
    done = dom0.xentool("create", str(config), check=False)
    assert done.returncode == 3
    assert "/nowhere/vmlinuz" in done.stderr


def test_more_memory_than_there_is(dom0: Dom0, tmp_path: Path) -> None:
    before = free_mib(dom0)
    config = write_config(
        tmp_path / "big.cfg", name="big", type="pv", kernel=tiny_kernel(), memory=before + 64
    )
    done = dom0.xentool("create", str(config), check=False)
    assert done.returncode == 5
    assert "MiB" in done.stderr or "KiB" in done.stderr
    assert f"asks for {before + 64:,} MiB" in done.stderr
    assert abs(free_mib(dom0) - before) <= 1


def test_a_name_in_use(dom0: Dom0, tmp_path: Path) -> None:
    config = write_config(tmp_path / "twin.cfg", name="twin", type="pv", kernel=tiny_kernel(), memory=8)
    dom0.xl("create", "-p", str(config))
    domid = dom0.xl("domid", "twin").stdout.strip()
    done = dom0.xentool("create", str(config), check=False)
    assert done.returncode == 6
    assert f"domain {domid} has that name" in done.stderr
    assert dom0.domids() == [0, int(domid)]
    assert dom0.xl("create", "-p", str(config), check=False).returncode != 0, "xl refuses it as well"


@pytest.mark.parametrize("command", ["destroy", "pause", "unpause", "shutdown", "console", "domname"])
def test_a_domid_that_is_gone(dom0: Dom0, command: str) -> None:
    done = dom0.xentool(command, "31000", check=False)
    assert done.returncode == 1
    assert "31000" in done.stderr


KILLED = """
import os, signal, sys
from xentool.dom0.linux import LinuxDom0
from xentool.domain.config.load import load_config
from xentool.domain.create import create_domain
from xentool.domain.host import Host
from xentool.domain.paths import Paths
from xentool.hypervisor.xen import XenHypervisor
from xentool.store.client import StoreClient

number, step = int(sys.argv[2]), int(sys.argv[3])
hypervisor, calls = XenHypervisor(), 0
real = hypervisor.hypercall

class Gate:
    def __getattr__(self, name):
        return getattr(hypervisor, name)
    def hypercall(self, *arguments):
        global calls
        calls += 1
        if calls == step:
            os.kill(os.getpid(), number)
        return real(*arguments)

config, _ = load_config(sys.argv[1])
create_domain(Host(Gate, StoreClient, Paths.of_host(), LinuxDom0), config, paused=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("step", [4, 9, 14, 18, 22])
def test_a_create_that_is_stopped(dom0: Dom0, tmp_path: Path, number: signal.Signals, step: int) -> None:
    config = write_config(tmp_path / "cut.cfg", name="cut", type="pv", kernel=tiny_kernel(), memory=8)
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(config), str(int(number)), str(step)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.returncode != 0, "the create was quicker than its killer"
    if number == signal.SIGKILL:
        dom0.xentool("gc")
    else:
        assert "KeyboardInterrupt" in child.stderr
    assert dom0.domids() == [0]


def test_interrupting_the_command_leaves_nothing(dom0: Dom0, tmp_path: Path) -> None:
    """The command itself, stopped from outside at some moment: whole or gone, never half."""
    config = write_config(tmp_path / "int.cfg", name="int", type="pv", kernel=dom0.kernel, memory=128)
    journal = Path("/run/xentool/journal")

    def has_begun() -> bool:
        for entry in journal.glob("*.create"):
            with suppress(FileNotFoundError):  # it may end as we look
                if "creating" in entry.read_text():
                    return True
        return False

    for delay in (0.0, 0.3, 0.8):
        child = subprocess.Popen(
            ["xentool", "create", "-p", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        # A signal while Python itself is starting ends it in Python's own words: wait until it works.
        end = time.monotonic() + 90
        while not has_begun() and child.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(delay)
        child.send_signal(signal.SIGTERM if delay else signal.SIGINT)
        _, errors = child.communicate(timeout=150)
        assert b"Traceback" not in errors, errors
        # Without an entry it is no create that was begun: what is there was whole before the signal came.
        assert not list(journal.iterdir())
        if dom0.domids() != [0]:  # it was quicker than the signal
            dom0.xentool("unpause", "int")
            dom0.xentool("destroy", "int")
        assert dom0.domids() == [0]
