"""The tests for real Xen, run in the lab's dom0: one boot for each release of Xen, everything in it.

What runs there are `tests/nested` (xl is the oracle) and the `nested` half of
`tests/contract` (the same suites that the mock passes here). The releases run
side by side: a lab keeps about one processor busy.
"""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.tinyguest import build
from xentool.lab.recipe import RELEASES
from xentool.lab.run import run

CHECKOUT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 2400
COMMAND = (
    "cd /lab/checkout && exec python3 -m pytest -p no:cacheprovider -p no:randomly -q -m nested"
    " --junitxml=/lab/out/nested.xml tests/nested tests/contract"
)


class Outcome:
    """What one release said: the suite's whole output, its exit code, and each test's case."""

    def __init__(self, xen: str, out: Path) -> None:
        shutil.copy(build(), out / "tiny.elf")
        output: list[bytes] = []
        result = run(
            ["sh", "-c", COMMAND],
            xen=xen,
            checkout=str(CHECKOUT),
            out=str(out),
            environment={"XENTOOL_TINY_GUEST": "/lab/out/tiny.elf"},
            timeout_seconds=TIMEOUT_SECONDS,
            stdout=output.append,
            stderr=output.append,
            log=str(out / "xen.log"),
        )
        self.exit_code = result.exit_code
        self.text = b"".join(output).decode(errors="replace")
        report = out / "nested.xml"
        self.cases = list(ET.parse(report).getroot().iter("testcase")) if report.exists() else []

    def names(self, *kinds: str) -> list[str]:
        """The tests that ended so (junit's words: failure, error, skipped)."""
        return [
            f"{case.get('classname')}::{case.get('name')}"
            for case in self.cases
            if any(case.find(kind) is not None for kind in kinds)
        ]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    with ThreadPoolExecutor(len(RELEASES)) as labs:
        yield {xen: labs.submit(Outcome, xen, tmp_path_factory.mktemp("lab")) for xen in RELEASES}


@pytest.mark.lab
@pytest.mark.parametrize("xen", RELEASES)
def test_on_real_xen(xen: str, outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[xen].result()
    failed, skipped = outcome.names("failure", "error"), outcome.names("skipped")
    print(f"Xen {xen}: {len(outcome.cases)} tests in dom0, {len(failed)} failed, {len(skipped)} skipped")
    assert not failed, "\n".join([f"on Xen {xen}:", *failed, "", outcome.text[-30000:]])
    assert outcome.exit_code == 0, outcome.text[-5000:]
    assert not skipped, "nothing is skipped on real Xen"
    assert len(outcome.cases) > 50, "most of the suite did not run"
