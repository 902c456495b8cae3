"""Saves that are stopped or killed halfway are none: the guest runs on, and nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nested.dom0 import RAMDISK, Dom0, write_config
from tests.nested.traffic import QUIET, Guest
from tests.nested.witness import MEBIBYTE
from xentool.store.client import StoreClient

pytestmark = pytest.mark.usefixtures("nothing_of_libxl_s")

JOURNAL = Path("/run/xentool/journal")
FOLDER = Path("/run/interrupted")  # in memory, which is quick
FILE = FOLDER / "saved"


@pytest.fixture
def guest(dom0: Dom0, tmp_path: Path) -> Iterator[Guest]:
    config = write_config(
        tmp_path / "a.cfg", name="a", type="pv", kernel=dom0.kernel, ramdisk=RAMDISK, memory=128,
        extra=f"console=hvc0 {QUIET}",
    )  # fmt: skip
    FOLDER.mkdir()
    try:
        with Guest(dom0, config, tool="xentool") as guest:
            yield guest
    finally:
        dom0.run("rm", "-r", str(FOLDER))


def parts() -> list[str]:
    return [path.name for path in FOLDER.iterdir()]


def written() -> bool:
    """Whether some of the guest's memory is written."""
    return any(path.stat().st_size > 4 * MEBIBYTE for path in FOLDER.glob("saved.*.part"))


def halfway(
    guest: Guest, strike: Callable[[subprocess.Popen[bytes]], None], begun: Callable[[], bool] = written
) -> int:
    """Begin to save the guest, and `strike` once it has `begun`; the exit code."""
    with tempfile.TemporaryFile("w+") as words:  # a pipe would stay open as long as libxl's helper
        saving = subprocess.Popen(["xentool", "save", guest.name, str(FILE)], stderr=words, process_group=0)
        try:
            end = time.monotonic() + 150
            while not begun():
                assert time.monotonic() < end
                assert saving.poll() is None
                time.sleep(0.02)
            strike(saving)
            code = saving.wait(150)
        finally:
            saving.kill()
            saving.wait()
            words.seek(0)
            said = words.read()
            print(said)
    assert "Traceback" not in said
    return code


def typed(saving: subprocess.Popen[bytes]) -> None:
    """^C, which a terminal sends to libxl's helper too."""
    os.killpg(saving.pid, signal.SIGINT)


def test_a_save_that_is_interrupted_is_none(dom0: Dom0, guest: Guest) -> None:
    guest.wait_until_up()
    guest.sh("dd if=/dev/urandom of=/tmp/memory bs=64k count=64 2>/dev/null")
    memory = guest.sh("sha256sum /tmp/memory")
    for strike, code in ((typed, 130), (subprocess.Popen.terminate, 143)):
        assert halfway(guest, strike) == code
        assert guest.sh("sleep 0.1; sha256sum /tmp/memory") == memory
        assert (parts(), os.listdir(JOURNAL)) == ([], [])

    # Killed, it leaves the guest suspended, to the next command.
    assert halfway(guest, subprocess.Popen.kill) == -signal.SIGKILL
    assert len(parts()) == len(os.listdir(JOURNAL)) == 1
    assert "its save" in dom0.xentool("gc").stdout
    assert guest.sh("sleep 0.1; sha256sum /tmp/memory") == memory
    assert (parts(), os.listdir(JOURNAL)) == ([], [])

    # Nor is there a request left that a guest would take which was too slow for it.
    node = f"/local/domain/{guest.domid}/control/shutdown"
    with StoreClient() as store:
        dom0.xentool("pause", guest.name)
        halfway(guest, subprocess.Popen.kill, lambda: store.read(node) == b"suspend")
        dom0.xentool("gc")
        assert store.read(node) == b""
        dom0.xentool("unpause", guest.name)
        assert guest.sh("sleep 0.1; sha256sum /tmp/memory") == memory
    assert (parts(), os.listdir(JOURNAL)) == ([], [])

    # With -c it runs on as well, and beside a file that is whole.
    orders = guest.orders
    dom0.xentool("save", "-c", "-q", guest.name, str(FILE))
    guest.sh("rm /tmp/memory")
    dom0.xentool("destroy", guest.name)
    dom0.domids()  # waits until it is gone, and with it what its backends held
    dom0.xentool("restore", "-p", "-q", str(FILE))
    guest.orders = orders  # it knows of none that came later
    guest.take_up()
    assert guest.sh("sleep 0.1; sha256sum /tmp/memory") == memory
