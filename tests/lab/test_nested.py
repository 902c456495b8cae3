"""The tests for real Xen, run in the lab's dom0: one boot for each release of Xen.

Everything runs on the default release. On the others so do all tests but those marked `once`, unless
``XENTOOL_THOROUGH`` is set (``./dev test --thorough``): then everything runs everywhere, which takes twice
as long.

What runs there are `tests/nested` (xl is the oracle) and the `nested` half of
`tests/contract` (the same suites that the mock passes here). They run one after
the other: QEMU's two processors and its own threads are more than two cores can
do twice, and side by side takes longer. One more boot, short, has oxenstored for
its store daemon, and runs what is about the store.
"""

from __future__ import annotations

import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.tinyguest import build
from xentool.lab.qemu import DEFAULT_MACHINE
from xentool.lab.recipe import DEFAULT_XEN, RELEASES
from xentool.lab.run import run

CHECKOUT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 2400
THOROUGH = bool(os.environ.get("XENTOOL_THOROUGH"))
COMMAND = (
    "cd /lab/checkout && exec python3 -m pytest -p no:cacheprovider -p no:randomly -q"
    " --junitxml=/lab/out/nested.xml --durations=30 "
)


class Boot(NamedTuple):
    """A release, its store daemon, what is run there, and how many tests that are at least."""

    xen: str
    xenstored: str = "xenstored"
    tests: str = "tests/nested tests/contract"
    at_least: int = 300
    marked: str = "nested"


EVERYTHING = frozenset(RELEASES) if THOROUGH else {DEFAULT_XEN}
BOOTS = {
    **{
        xen: Boot(xen) if xen in EVERYTHING else Boot(xen, marked="nested and not once", at_least=200)
        for xen in RELEASES
    },
    "oxenstored": Boot(
        DEFAULT_XEN,
        "oxenstored",
        # In this order: what the contract asks of oxenstored costs the host its /local/pool, which xl needs.
        "tests/nested/test_store_commands.py tests/contract/store",
        at_least=75,
    ),
}


class Outcome:
    """What one boot said: the suite's whole output, its exit code, and each test's case."""

    def __init__(self, boot: Boot, out: Path) -> None:
        shutil.copy(build(), out / "tiny.elf")
        log = out / "pytest.log"  # there to be looked at while the lab runs
        result = run(
            ["sh", "-c", f"{COMMAND} -m '{boot.marked}' {boot.tests}"],
            xen=boot.xen,
            machine=DEFAULT_MACHINE._replace(xenstored=boot.xenstored),
            checkout=str(CHECKOUT),
            out=str(out),
            environment={
                "XENTOOL_TINY_GUEST": "/lab/out/tiny.elf",
                "XENTOOL_THOROUGH": "1" if THOROUGH else "",
            },
            timeout_seconds=TIMEOUT_SECONDS,
            stdout=_appender(log),
            stderr=_appender(log),
            log=str(out / "xen.log"),
        )
        self.exit_code = result.exit_code
        self.text = log.read_text(errors="replace") if log.exists() else ""
        report = out / "nested.xml"
        self.cases = list(ET.parse(report).getroot().iter("testcase")) if report.exists() else []

    def names(self, *outcomes: str, kind: str = "") -> list[str]:
        """The tests that ended so (junit's words: failure, error, skipped), and with that kind of it."""
        return [
            f"{case.get('classname')}::{case.get('name')}"
            for case in self.cases
            for outcome in outcomes
            if (found := case.find(outcome)) is not None and kind in ("", found.get("type"))
        ]


def _appender(path: Path) -> Callable[[bytes], None]:
    def append(data: bytes) -> None:
        with open(path, "ab") as file:
            file.write(data)

    return append


@pytest.mark.lab
@pytest.mark.parametrize("name", BOOTS)
def test_on_real_xen(name: str, tmp_path: Path) -> None:
    outcome = Outcome(BOOTS[name], tmp_path)
    failed, skipped = outcome.names("failure", "error"), outcome.names("skipped")
    print(f"{name}: {len(outcome.cases)} tests in dom0, {len(failed)} failed, {len(skipped)} skipped")
    assert not failed, "\n".join([f"on {name}:", *failed, "", outcome.text[-30000:]])
    assert outcome.exit_code == 0, outcome.text[-5000:]
    # What oxenstored cannot do is expected to fail, by name; nothing is skipped on real Xen.
    assert (not skipped) == (BOOTS[name].xenstored == "xenstored"), skipped
    assert outcome.names("skipped", kind="pytest.skip") == []
    assert len(outcome.cases) >= BOOTS[name].at_least, "most of the suite did not run"
