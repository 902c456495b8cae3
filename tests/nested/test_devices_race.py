"""A hundred toolstacks at once want the same image to write to: one gets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, loops_in_use, tiny_kernel, write_config
from tests.nested.waiting import settled

CREATES = 100

# Processes of their own, as commands are, but born of one that has all it needs: Python's start would take
# most of the time, and keep them apart.
RACERS = """
import json, os, sys
from xentool.cli.backends import open_backend
from xentool.devices import plug
from xentool.devices.vbd import device, hotplug, sharing
from xentool.domain import devices
from xentool.domain.config.load import load_config
from xentool.domain.create import create_domain
from xentool.dom0 import linux
from xentool.errors import XentoolError
from xentool.hypervisor import xen
from xentool.store import client

count, folder = int(sys.argv[1]), sys.argv[2]
plug.READY_SECONDS = 300  # the driver shares the processors with all of them
gate, start = os.pipe()
results, said = os.pipe()
children = []
for number in range(count):
    child = os.fork()
    if child == 0:
        os.close(start)
        os.read(gate, 1)  # until the parent closes its end: all at once
        config, _ = load_config(f"{folder}/{number}.cfg")
        try:
            domid = create_domain(open_backend("xen").host, config, paused=True)
            result = {"domid": int(domid)}
        except XentoolError as error:
            result = {"error": str(error), "hint": error.hint, "notes": getattr(error, "__notes__", [])}
        except BaseException as error:
            result = {"surprise": repr(error)}
        os.write(said, (json.dumps(result) + "\\n").encode())
        os._exit(0)
    children.append(child)
os.close(start)
os.close(said)
for child in children:
    os.waitpid(child, 0)
sys.stdout.write(open(results).read())
"""


@pytest.mark.once
def test_one_of_a_hundred_gets_the_image(dom0: Dom0, tmp_path: Path) -> None:
    image = Path("/var/tmp/wanted.img")
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    try:
        for number in range(CREATES):
            write_config(
                tmp_path / f"{number}.cfg", name=f"racer-{number}", type="pv", kernel=tiny_kernel(), memory=4,
                disk=[f"{image},raw,xvda,w"],
            )  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", RACERS, str(CREATES), str(tmp_path)],
            check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(results) == CREATES, done.stderr
        won = [result["domid"] for result in results if "domid" in result]
        assert len(won) == 1, results
        for result in results:
            if "domid" in result:
                continue
            assert "error" in result, result
            assert str(image) in result["error"] or "xvda" in result["error"], result
            assert result["hint"], result
            assert result["notes"] == [], "and nothing went wrong besides"
        assert dom0.domids() == [0, won[0]]
        assert list(loops_in_use().values()) == [str(image)]
        dom0.xentool("destroy", str(won[0]))
        assert settled(loops_in_use, {}) == {}
    finally:
        image.unlink()
