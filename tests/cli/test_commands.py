"""What each command asks of the toolstack, and what it answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from xentool.cli.commands.create import split_words
from xentool.errors import NotFoundError, TimedOutError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome
    from tests.cli.fakes import FakeBackend


@pytest.mark.parametrize("command", ["destroy", "pause", "unpause", "shutdown"])
def test_a_command_on_one_domain(xentool: Callable[..., Outcome], backend: FakeBackend, command: str) -> None:
    outcome = xentool(command, "web")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert backend.fake.calls == [(command, 3)]
    assert backend.closed


@pytest.mark.parametrize("command", ["destroy", "pause", "unpause", "shutdown", "console"])
def test_no_such_domain(xentool: Callable[..., Outcome], command: str) -> None:
    outcome = xentool(command, "nobody")
    assert outcome.code == 1
    assert (
        outcome.err
        == "xentool: cannot find domain nobody: no such domain\nhint: `xentool list` shows those there are\n"
    )


def test_shutdown_may_press_the_power_button(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    assert xentool("shutdown", "-F", "web").code == 0
    assert backend.fake.calls == [("shutdown", 3, "acpi")]


@pytest.mark.parametrize("kind", ["pv", "serial"])
def test_console_says_which_is_meant(
    xentool: Callable[..., Outcome], backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("xentool.devices.console.attach", lambda *_, **__: "ended")
    assert xentool("console", "-t", kind, "web").code == 0
    assert backend.fake.calls == [("console_path", 3, kind)]


def test_shutdown_of_all_asks_all_and_then_waits(
    xentool: Callable[..., Outcome], backend: FakeBackend
) -> None:
    assert xentool("shutdown", "-aw").code == 0
    calls = [call[:2] for call in backend.fake.calls if call[0] != "domains"]
    assert calls == [
        ("shutdown", 3),
        ("shutdown", 12),
        ("shutdown", 17),
        ("wait", 3),
        ("wait", 12),
        ("wait", 17),
    ]


def test_shutdown_of_all_goes_on_after_a_failure(
    xentool: Callable[..., Outcome], backend: FakeBackend
) -> None:
    backend.fake.failing["shutdown"] = NotFoundError("shut down domain", "3", "it is gone")
    outcome = xentool("shutdown", "--all")
    assert outcome.code == 1
    assert [call[1] for call in backend.fake.calls if call[0] == "shutdown"] == [3, 12, 17]
    assert outcome.err.count("it is gone") == 3


def test_shutdown_waits_no_longer_than_it_is_told(
    xentool: Callable[..., Outcome], backend: FakeBackend
) -> None:
    backend.fake.failing["wait"] = TimedOutError("wait for domain", 3, "it still runs after 0 seconds")
    assert xentool("shutdown", "-w", "--timeout", "0", "web").code == 9
    assert backend.fake.calls == [("shutdown", 3), ("wait", 3, 0.0)]


@pytest.mark.parametrize("argv", [(), ("--all", "web")])
def test_shutdown_wants_a_domain_or_all(xentool: Callable[..., Outcome], argv: tuple[str, ...]) -> None:
    assert xentool("shutdown", *argv).code == 2


def test_changes_undo_killed_creates_first(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    backend.fake.undone = ["a-uuid"]
    assert xentool("pause", "web").err == "xentool: undone: a-uuid\n"
    assert xentool("list").err == ""
    assert xentool("gc").out == "undone: a-uuid\n"
    assert json.loads(xentool("gc", "--json").out) == {
        "undone": ["a-uuid"],
        "failed": [],
        "locked": [],
        "unlocked": [],
    }


def test_what_became_of_locks_is_told(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    backend.fake.relocked = (["vif7.0"], ["web0"])
    said = xentool("gc").out
    assert said == "locked again: vif7.0\nno longer locked, as there is no such lock on record: web0\n"
    assert json.loads(xentool("gc", "--json").out)["locked"] == ["vif7.0"]


@pytest.mark.parametrize(
    ("words", "defconfig", "expected"),
    [
        (["web.cfg"], None, ("web.cfg", [])),
        (["memory=1", "web.cfg", "x=2"], None, ("web.cfg", ["memory=1", "x=2"])),
        (["memory=1"], "a=b.cfg", ("a=b.cfg", ["memory=1"])),
    ],
)
def test_words_with_an_equals_sign_are_settings(
    words: list[str], defconfig: str | None, expected: tuple[str, list[str]]
) -> None:
    assert split_words(words, defconfig) == expected


@pytest.mark.parametrize(
    ("words", "defconfig"), [([], None), (["a", "b"], None), (["a"], "b"), (["x=1"], None)]
)
def test_create_wants_one_config(words: list[str], defconfig: str | None) -> None:
    with pytest.raises(UsageError):
        split_words(words, defconfig)


def test_version(xentool: Callable[..., Outcome]) -> None:
    from xentool import __version__

    assert xentool("version").out == f"xentool {__version__}\n"
    assert xentool("--version").out == f"xentool {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(xentool: Callable[..., Outcome], shell: str) -> None:
    outcome = xentool("completion", shell)
    assert outcome.code == 0
    assert "_XENTOOL_COMPLETE" in outcome.out


def test_no_command_shows_what_there_is_and_fails(xentool: Callable[..., Outcome]) -> None:
    outcome = xentool()
    assert (outcome.code, outcome.out) == (1, "")
    assert "destroy" in outcome.err


@pytest.mark.parametrize(
    "argv", [("--help",), ("create", "--help"), ("lab", "run", "-h"), ("list", "--json", "-h")]
)
def test_help_is_an_answer(xentool: Callable[..., Outcome], argv: tuple[str, ...]) -> None:
    outcome = xentool(*argv)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Usage: xentool")


def test_a_dry_run_of_what_has_none_does_nothing(
    xentool: Callable[..., Outcome], backend: FakeBackend
) -> None:
    outcome = xentool("--dry-run", "destroy", "web")
    assert outcome.code == 2
    assert "no dry run" in outcome.err
    assert backend.fake.calls == []
