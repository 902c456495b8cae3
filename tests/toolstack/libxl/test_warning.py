"""A release that was never tried is said to be so to everybody, and not only to who asks for more words."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.fakelibxl import library_of
from xentool.cli.backends import Backend
from xentool.cli.context import Context
from xentool.toolstack.libxl.library import Library, check
from xentool.toolstack.libxl.toolstack import LibxlToolstack

if TYPE_CHECKING:
    from xentool.domain.host import Host
    from xentool.toolstack.port import Toolstack


@pytest.mark.parametrize(("release", "warned"), [((4, 17), False), ((4, 19), True)])
@pytest.mark.parametrize("verbose", [0, 1])
def test_an_unproven_release_is_said_to_be_so(
    fake: ctypes.CDLL,
    capsys: pytest.CaptureFixture[str],
    release: tuple[int, int],
    warned: bool,
    verbose: int,
) -> None:
    def open_library(_release: tuple[int, int]) -> Library:
        library = library_of(fake, release)
        check(library)
        return library

    def open_libxl(host: Host, say: object, verbosity: int, warn: object) -> Toolstack:
        return LibxlToolstack(host, open_library, say=say, verbosity=verbosity, warn=warn)  # type: ignore[arg-type]

    nothing = cast("Host", SimpleNamespace(release=release, close=lambda: None))
    backend = Backend(None, "", None, None, None, open_libxl)  # type: ignore[arg-type]
    backend._host = nothing
    context = Context(lambda _name: backend, toolstack="libxl", verbose=verbose)
    assert context.toolstack.name == "libxl"
    assert (
        capsys.readouterr().err
        == "xentool: toolstack libxl: --toolstack or $XENTOOL_TOOLSTACK asks for it\n" * verbose
    )
    cast("LibxlToolstack", context.toolstack).library  # noqa: B018 - it is looked for when it is needed
    assert ("xentool was tried with 4.17 and 4.20" in capsys.readouterr().err) == warned
