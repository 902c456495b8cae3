"""That each named test finds the hole it is named after."""

from __future__ import annotations

import inspect

import pytest

from tests.store.world import World
from tests.store.xsa import test_access, test_crashes, test_domids, test_limits
from tests.store.xsa.faults import FAULTS, Fault
from xentool.store import connection

ADVISORIES = {72, 115, 206, 322, 323, 324, 325, 326, 330, 352, 353, 417, 418, 419, 420, 421, 481, 483, 484}
"""Those on XenStore daemons that a server can repeat."""


def test_each_advisory_has_a_test_and_a_fault() -> None:
    assert {fault.xsa for fault in FAULTS} == ADVISORIES
    for fault in FAULTS:
        assert fault.test.__name__.startswith(f"test_xsa_{fault.xsa}_")


def test_each_named_test_finds_something() -> None:
    """Those that only say what must still work are listed here."""
    named = {
        name
        for module in (test_access, test_crashes, test_domids, test_limits)
        for name, _ in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_xsa_")
    }
    assert named - {fault.test.__name__ for fault in FAULTS} == {
        "test_xsa_206_who_disturbs_nobody_is_not_slowed_down"
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"XSA-{fault.xsa}: {fault.what}")
def test_the_named_test_fails_on_the_fault(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fault.seed(patch)
        assert not _passes(fault), "the hole is there, and its test does not see it"
    assert _passes(fault), "the test fails without the hole as well"


def _passes(fault: Fault) -> bool:
    try:
        world = World()
        fault.test(world)
        world.check()
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever a hole leads to
        return False
    return True


def test_faults_are_taken_out_again() -> None:
    assert vars(connection)["PAYLOAD_MAX"] == 4096
