"""The toolstacks that the contract of `xentool.toolstack.port` is tried on.

`native-mock` is native on the mock host, anywhere; `native-xen` and `libxl-xen` (nested) are both
toolstacks on the Xen that this machine runs on, in the lab's dom0.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.contract.toolstack.hosts import OnMock, OnXen
from xentool.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.toolstack.hosts import Place
    from xentool.toolstack.port import Toolstack
    from xentool.units import DomId

NESTED = [pytest.param(name, marks=pytest.mark.nested) for name in ("native-xen", "libxl-xen")]
SETTLE_SECONDS = 90


@pytest.fixture(scope="module", params=["native-mock", *NESTED])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A host with a bridge and a toolstack. All tests of a module leave it as it was."""
    folder = tmp_path_factory.mktemp("toolstack")
    if request.param == "native-mock":
        from tests.support.mocked import MockedHost

        with MockedHost(folder / "mock") as mocked:
            yield from _watched(OnMock(mocked, folder))
    elif not os.path.exists("/dev/xen/privcmd"):
        pytest.skip("no Xen runs here")
    else:
        yield from _watched(OnXen(request.param, folder))


def _watched(place: Place) -> Iterator[Place]:
    try:
        before = place.state()
        yield place
        assert changed(place, before) == {}
    finally:
        place.close()


def changed(place: Place, before: dict[str, object]) -> dict[str, tuple[object, object]]:
    """What is not as it was, once it had time to be: interfaces go when their driver hears of it.

    Of lists and mappings, such as the store's nodes, what has come and what has gone.
    """
    end = time.monotonic() + SETTLE_SECONDS
    while (state := place.state()) != before and time.monotonic() < end:
        time.sleep(0.1)
    return {what: _difference(old, state[what]) for what, old in before.items() if state[what] != old}


def _difference(old: object, new: object) -> tuple[object, object]:
    if isinstance(old, dict) and isinstance(new, dict):
        old, new = list(old.items()), list(new.items())
    if isinstance(old, list) and isinstance(new, list):
        return [each for each in new if each not in old], [each for each in old if each not in new]
    return new, old


@pytest.fixture
def toolstack(place: Place) -> Toolstack:
    return place.toolstack


@pytest.fixture(scope="module")
def guest(place: Place) -> Iterator[DomId]:
    """A paused domain, "ct-guest", for tests that leave it as it was."""
    domid = place.toolstack.create(place.config("ct-guest"), paused=True)
    place.toolstack.console_path(domid, 90)  # xenconsoled has written all that it writes
    yield domid
    place.toolstack.destroy(domid)


@pytest.fixture
def make(place: Place) -> Iterator[Callable[..., DomId]]:
    """Makes domains, paused, which do not outlive the test."""
    made: list[DomId] = []

    def create(name: str, **keys: object) -> DomId:
        made.append(place.toolstack.create(place.config(name, **keys), paused=True))
        return made[-1]

    yield create
    for domid in made:
        try:
            place.toolstack.destroy(domid)
        except NotFoundError:
            continue
