"""From whatever is raised to two lines and an exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from xentool.errors import NoMemoryError, StoppedError, XentoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome
    from tests.cli.fakes import FakeBackend


def no_memory() -> NoMemoryError:
    error = NoMemoryError(
        "create domain", "web", "the host has 212 MiB free, it asks for 1,024 MiB", hint="stop a domain",
        detail="the library said more",
    )  # fmt: skip
    error.add_note("and a node was left")
    return error


def test_an_error_is_what_and_why_then_the_hint(
    xentool: Callable[..., Outcome], backend: FakeBackend
) -> None:
    backend.fake.failing["destroy"] = no_memory()
    outcome = xentool("destroy", "web")
    assert outcome.code == 5
    assert outcome.err == (
        "xentool: cannot create domain web: the host has 212 MiB free, it asks for 1,024 MiB\n"
        "xentool: and a node was left\n"
        "hint: stop a domain\n"
    )


def test_verbose_adds_the_detail(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    backend.fake.failing["destroy"] = no_memory()
    assert xentool("destroy", "-v", "web").err.endswith("hint: stop a domain\nthe library said more\n")


def test_json_makes_the_error_an_object_on_stderr(
    xentool: Callable[..., Outcome], backend: FakeBackend
) -> None:
    backend.fake.failing["destroy"] = no_memory()
    outcome = xentool("destroy", "web", "--json")
    assert outcome.out == ""
    assert json.loads(outcome.err) == {
        "error": "NoMemoryError",
        "action": "create domain",
        "subject": "web",
        "reason": "the host has 212 MiB free, it asks for 1,024 MiB",
        "hint": "stop a domain",
        "exit_code": 5,
        "notes": ["and a node was left"],
    }


def test_json_covers_the_command_line_too(xentool: Callable[..., Outcome]) -> None:
    outcome = xentool("lst", "--nonsense", "--json")
    assert json.loads(outcome.err)["exit_code"] == outcome.code == 1


def test_debug_shows_the_traceback(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    backend.fake.failing["destroy"] = no_memory()
    err = xentool("--debug", "destroy", "web").err
    assert err.startswith("Traceback")
    assert "hint: stop a domain" in err


def test_what_nobody_foresaw_is_called_a_bug(
    xentool: Callable[..., Outcome], backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("one\nby zero")

    monkeypatch.setattr(backend.fake, "domains", broken)
    outcome = xentool("list")
    assert outcome.code == 70
    assert outcome.err.startswith(
        "xentool: internal error: ZeroDivisionError: one by zero\nhint: this is a bug"
    )
    assert "Traceback" not in outcome.err
    assert "Traceback" in xentool("list", "--debug").err


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_interrupts_and_lost_readers_are_silent(
    xentool: Callable[..., Outcome],
    backend: FakeBackend,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    code: int,
) -> None:
    def interrupted() -> None:
        raise raised

    monkeypatch.setattr(backend.fake, "domains", interrupted)
    outcome = xentool("list")
    assert (outcome.code, outcome.err) == (code, "")
    assert backend.closed


def test_a_backend_of_the_environment_must_exist(
    xentool: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENTOOL_BACKEND", "qemu")
    outcome = xentool("list")
    assert outcome.code == 2
    assert "XENTOOL_BACKEND" in outcome.err


def test_signals_become_one_exception_and_later_ones_are_ignored() -> None:
    import os
    import signal

    from xentool.cli.stopping import Stopping

    before = signal.getsignal(signal.SIGTERM)
    undone = False
    with pytest.raises(StoppedError) as caught, Stopping():  # noqa: PT012
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            undone = True
    assert undone
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("ends_at_once", [True, False])
def test_a_stop_that_a_finalizer_swallows_comes_again(
    ends_at_once: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops what is raised in a finalizer, and would print a traceback in passing."""
    import os
    import signal
    import sys
    import time
    import weakref

    from xentool.cli.stopping import Stopping

    class Mapping:
        pass

    before = sys.unraisablehook, signal.getsignal(signal.SIGALRM)
    with pytest.raises(StoppedError) as caught, Stopping():  # noqa: PT012
        mapping = Mapping()
        watcher = weakref.ref(mapping, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        del mapping
        assert watcher() is None
        if not ends_at_once:
            time.sleep(10)
            raise AssertionError("the stop was lost")
    assert caught.value.exit_code == 143
    assert "Traceback" not in capsys.readouterr().err
    assert (sys.unraisablehook, signal.getsignal(signal.SIGALRM)) == before


@pytest.mark.parametrize(
    ("json_wanted", "term", "expected"),
    [(False, "xterm", True), (True, "xterm", False), (False, "dumb", False)],
)
def test_styles_are_for_terminals_that_nobody_parses(
    monkeypatch: pytest.MonkeyPatch, json_wanted: bool, term: str, expected: bool
) -> None:
    from tests.cli.fakes import FakeBackend
    from xentool.cli.context import Context

    monkeypatch.setenv("TERM", term)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    context = Context(lambda _name: FakeBackend(), json=json_wanted)  # type: ignore[arg-type,return-value]
    assert context.styled is expected
    assert context.shows_progress is expected


def every_error(kind: type[XentoolError]) -> list[type[XentoolError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in every_error(child))]


def test_every_exit_code_is_in_the_manual() -> None:
    from xentool.cli.manual import manual_page

    page = manual_page()
    codes = page[page.index("EXIT CODES") :]
    for kind in every_error(XentoolError):
        assert f" {kind.exit_code}" in codes
