"""Real Xen: these tests run as root in the lab's dom0, where xl is the oracle.

Each test leaves the host as it found it; a fixture looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, forget_xl_s_leftovers, host_state, others_state, settled_host_state

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.nested)


@pytest.fixture(scope="session")
def dom0() -> Dom0:
    return Dom0()


@pytest.fixture(scope="session")
def traffic_ramdisk(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ramdisk of guests that send and receive (`tests.nested.traffic`)."""
    from tests.nested.traffic import make_ramdisk

    return str(make_ramdisk(tmp_path_factory.mktemp("ramdisk")))


@pytest.fixture(autouse=True)
def nothing_left(dom0: Dom0) -> Iterator[None]:
    """Whatever a test does, domains, store nodes, userdata, journal and devices' ends are as before it."""
    before = host_state(dom0)
    yield
    dom0.destroy_all()
    after = settled_host_state(dom0, before)
    for what, old in before.items():
        assert after[what] == old, f"{what}: changed by the test"


@pytest.fixture
def nothing_of_libxl_s(nothing_left: None) -> Iterator[None]:
    """For tests in which libxl makes guests: the folders that it leaves empty are not looked at."""
    yield
    forget_xl_s_leftovers()


@pytest.fixture(scope="module", autouse=True)
def nothing_left_for_others(dom0: Dom0) -> Iterator[None]:
    """The same, by the word of xl and xenstore-ls, for each file of tests."""
    before = others_state(dom0)
    yield
    assert others_state(dom0) == before
