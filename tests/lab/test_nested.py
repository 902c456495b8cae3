"""The tests for real Xen, run in the lab's dom0: one boot for each release of Xen, everything in it.

What runs there are `tests/nested` (xl is the oracle) and the `nested` half of
`tests/contract` (the same suites that the mock passes here).
"""

from __future__ import annotations

import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.tinyguest import build
from xentool.lab.recipe import RELEASES
from xentool.lab.run import run

CHECKOUT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 1800
COMMAND = (
    "cd /lab/checkout && exec python3 -m pytest -p no:cacheprovider -p no:randomly -q -m nested"
    " --junitxml=/lab/out/nested.xml tests/nested tests/contract"
)


@pytest.mark.lab
@pytest.mark.parametrize("xen", RELEASES)
def test_on_real_xen(xen: str, tmp_path: Path) -> None:
    shutil.copy(build(), tmp_path / "tiny.elf")
    output: list[bytes] = []
    result = run(
        ["sh", "-c", COMMAND],
        xen=xen,
        checkout=str(CHECKOUT),
        out=str(tmp_path),
        environment={"XENTOOL_TINY_GUEST": "/lab/out/tiny.elf"},
        timeout_seconds=TIMEOUT_SECONDS,
        stdout=output.append,
        stderr=output.append,
        log=os.path.join(tmp_path, "xen.log"),
    )
    text = b"".join(output).decode(errors="replace")
    report = tmp_path / "nested.xml"
    assert report.exists(), text
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    print(f"Xen {xen}: {len(cases)} tests in dom0, {len(failed)} failed, {len(skipped)} skipped")
    names = "\n".join(f"{case.get('classname')}::{case.get('name')}" for case in failed)
    assert not failed, f"on Xen {xen}:\n{names}\n\n{text[-20000:]}"
    assert result.exit_code == 0, text[-5000:]
    assert not skipped, "nothing is skipped on real Xen"
    assert len(cases) > 50, "most of the suite did not run"
