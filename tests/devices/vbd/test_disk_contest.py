"""A hundred creates at once want one image for writing: one gets it, the others hear who has it."""

from __future__ import annotations

import json
import os
import traceback
from typing import TYPE_CHECKING

from tests.support.mocked import MockedHost
from xentool.devices.vbd.sharing import uses
from xentool.devices.vbd.spec import Disk
from xentool.domain.create import create_domain
from xentool.errors import InUseError
from xentool.mockhost.dom0 import MockDom0
from xentool.mockhost.life import attach
from xentool.units import DomId

if TYPE_CHECKING:
    from pathlib import Path

CONTENDERS = 100


def contend(mocked: MockedHost, name: str, image: str, go: int) -> dict[str, str]:
    """What a create ended with that began when `go` was at its end."""
    mocked.dom0 = MockDom0(mocked.directory)
    with attach(mocked.directory) as hypervisor, mocked.open_store() as store:
        host = mocked.host(hypervisor=hypervisor, store=store)
        config = mocked.config(name, disks=(Disk(image, "xvda"),))
        os.read(go, 1)
        try:
            return {"created": str(create_domain(host, config, paused=True)), "name": name}
        except InUseError as error:
            return {"refused": error.reason}


def contender(mocked: MockedHost, name: str, image: str, go: int, saying: int) -> None:
    """A process of its own: this never returns."""
    try:
        answer = contend(mocked, name, image, go)
        os.write(saying, json.dumps(answer).encode() + b"\n")
    except BaseException:  # noqa: BLE001 - nobody is above it
        os.write(saying, json.dumps({"failed": traceback.format_exc()}).encode() + b"\n")
    finally:
        os._exit(0)


def test_one_gets_it(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"\0" * 4096)
    with MockedHost(tmp_path / "host") as mocked:
        before = mocked.state()
        go, start = os.pipe()
        said, saying = os.pipe()
        children = []
        for number in range(CONTENDERS):
            pid = os.fork()
            if not pid:
                os.close(start)
                contender(mocked, f"guest{number}", str(image), go, saying)
            children.append(pid)
        for end in (go, saying, start):
            os.close(end)
        with open(said, encoding="utf-8") as lines:
            answers = [json.loads(line) for line in lines]
        for pid in children:
            os.waitpid(pid, 0)
        assert [answer["failed"] for answer in answers if "failed" in answer] == []
        (winner,) = [answer for answer in answers if "created" in answer]
        refusals = [answer["refused"] for answer in answers if "refused" in answer]
        assert len(refusals) == CONTENDERS - 1
        who = f"domain {winner['name']} (domid {winner['created']})"
        assert set(refusals) == {f"{image} is a disk of {who}, which writes it as xvda"}
        assert [use.domid for use in uses(mocked.host())] == [int(winner["created"])]
        assert len(mocked.dom0.blocks.loops()) == 1
        mocked.destroy(DomId(int(winner["created"])))
        assert not mocked.dom0.blocks.loops()
        assert mocked.state() == before
