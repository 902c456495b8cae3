"""The stand-in for libxl, compiled once, and a context on it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import pytest

from tests.support.fakelibxl import compile_fake, library_of
from xentool.toolstack.libxl.context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.toolstack.libxl.library import Library


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compile_fake(tmp_path_factory.mktemp("fakelibxl"))


@pytest.fixture
def library(fake: ctypes.CDLL) -> Library:
    return library_of(fake)


@pytest.fixture
def context(library: Library) -> Iterator[Context]:
    with Context(library) as context:
        yield context
