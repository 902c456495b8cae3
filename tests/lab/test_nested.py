"""The tests for real Xen, run in the lab's dom0: few boots, as many at once as this machine has processors.

What is about Xen itself runs on each of its releases; what is about Domain-0 and about us (the marker `once`)
on the default one, and on each with ``XENTOOL_THOROUGH`` (``./dev test --thorough``). One more boot, short,
has oxenstored for its store daemon, and runs what is about the store.

What runs there are `tests/nested` (xl is the oracle) and the `nested` half of
`tests/contract` (the same suites that the mock passes here).
"""

from __future__ import annotations

import os
import shutil
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import Future
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
    tests: str
    marked: str
    at_least: int
    xenstored: str = "xenstored"


ABOUT_XEN = "nested and not once"
DEVICES, OTHERS = "tests/nested/test_devices_*.py", "tests/nested/test_[!d]*.py tests/contract"
BOOTS = {xen: Boot(xen, "tests/nested tests/contract", ABOUT_XEN, 200) for xen in RELEASES}
for xen in RELEASES if THOROUGH else (DEFAULT_XEN,):
    BOOTS[f"{xen}-devices"] = Boot(xen, DEVICES, "once", 14)
    BOOTS[f"{xen}-others"] = Boot(xen, OTHERS, "once", 35)
BOOTS["oxenstored"] = Boot(
    DEFAULT_XEN,
    # In this order: what the contract asks of oxenstored costs the host its /local/pool, which xl needs.
    "tests/nested/test_store_commands.py tests/contract/store",
    "nested",
    75,
    "oxenstored",
)
"""The longest first, so that the last to end do so at about the same time."""


class Outcome:
    """What one boot said: the suite's whole output, its exit code, and each test's case."""

    def __init__(self, boot: Boot, out: Path, *, one_thread: bool) -> None:
        out.mkdir()
        shutil.copy(build(), out / "tiny.elf")
        log = out / "pytest.log"  # there to be looked at while the lab runs
        result = run(
            ["sh", "-c", f"{COMMAND} -m '{boot.marked}' {boot.tests}"],
            xen=boot.xen,
            machine=DEFAULT_MACHINE._replace(xenstored=boot.xenstored, one_thread=one_thread),
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


def at_once() -> int:
    """How many boots run side by side: a processor and a machine's memory for each."""
    with open("/proc/meminfo", encoding="ascii") as file:
        available_kib = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    return max(1, min(len(os.sched_getaffinity(0)), available_kib // (DEFAULT_MACHINE.memory_mib << 10)))


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Future[Outcome]]:
    """What comes of the boots that were asked for. All are begun here: a test waits for its own."""
    asked = [
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_on_real_xen"
    ]
    folder = tmp_path_factory.mktemp("nested")
    coming = {name: Future[Outcome]() for name in BOOTS if name in asked}
    waiting = iter(list(coming.items()))
    side_by_side = at_once()

    def work() -> None:
        for name, future in waiting:
            try:
                future.set_result(Outcome(BOOTS[name], folder / name, one_thread=side_by_side > 1))
            except BaseException as exc:  # noqa: BLE001 - it is the test's to raise
                future.set_exception(exc)

    for _ in range(side_by_side):
        # Daemons: whoever ends the tests is not kept waiting, and QEMU ends with them.
        threading.Thread(target=work, daemon=True).start()
    return coming


@pytest.mark.lab
@pytest.mark.parametrize("name", BOOTS)
def test_on_real_xen(name: str, outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[name].result()
    failed, skipped = outcome.names("failure", "error"), outcome.names("skipped")
    print(f"{name}: {len(outcome.cases)} tests in dom0, {len(failed)} failed, {len(skipped)} skipped")
    assert not failed, "\n".join([f"on {name}:", *failed, "", outcome.text[-30000:]])
    assert outcome.exit_code == 0, outcome.text[-5000:]
    # What oxenstored cannot do is expected to fail, by name; nothing is skipped on real Xen.
    assert (not skipped) == (BOOTS[name].xenstored == "xenstored"), skipped
    assert outcome.names("skipped", kind="pytest.skip") == []
    assert len(outcome.cases) >= BOOTS[name].at_least, "most of the suite did not run"
