"""C xenstored out of the lab's images, to be started as often as a test likes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.store.replay.xenstored import Xenstored

RELEASES = ("4.17", "4.20")


@pytest.fixture(scope="session", params=RELEASES)
def xenstored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Xenstored]:
    folder = tmp_path_factory.mktemp("replay")
    yield Xenstored(request.param, folder)
    shutil.rmtree(folder)
