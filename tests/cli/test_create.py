"""create: from a config file to what the toolstack is asked, attached or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from xentool.errors import NoMemoryError, XenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.cli.fakes import FakeBackend


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "web.cfg"
    path.write_text('name = "web2"\nkernel = "/boot/kernel"\nmemory = 64\n')
    return str(path)


@pytest.mark.parametrize(("flags", "paused"), [((), False), (("-p",), True), (("-q", "memory=8"), False)])
def test_create_is_silent_in_a_pipe(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str, flags: tuple[str, ...], paused: bool
) -> None:
    outcome = xentool("create", config, *flags)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert backend.fake.calls == [("create", "web2", paused)]


def test_create_says_its_steps_if_asked(xentool: Callable[..., Outcome], config: str) -> None:
    assert xentool("create", "-v", config).err == "xentool: reading the kernel\nxentool: starting it\n"


def test_create_answers_in_json(xentool: Callable[..., Outcome], config: str) -> None:
    outcome = xentool("create", "--json", config, 'name="other"')
    assert json.loads(outcome.out) == {"domid": 20, "name": "other", "paused": False}


def test_warnings_of_the_config_are_said_unless_quiet(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str
) -> None:
    outcome = xentool("create", config, "memroy=3")
    assert outcome.code == 0
    assert outcome.err.startswith("xentool: warning: ")
    assert "memory" in outcome.err
    assert xentool("create", "-q", config, "memroy=3").err == ""


def test_a_broken_config_asks_nothing_of_the_host(
    xentool: Callable[..., Outcome], backend: FakeBackend, tmp_path: Path
) -> None:
    path = tmp_path / "broken.cfg"
    path.write_text("name = \n")
    assert xentool("create", str(path)).code == 1
    assert xentool("create", str(tmp_path / "none.cfg")).code == 1
    assert backend.fake.calls == []


def test_killed_creates_are_undone_first(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str
) -> None:
    backend.fake.undone = ["a-uuid"]
    assert xentool("create", config).err == "xentool: undone: a-uuid\n"


def test_too_little_memory_is_exit_code_5(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str
) -> None:
    backend.fake.failing["create"] = NoMemoryError("create domain", "web2", "too little memory")
    assert xentool("create", config).code == 5


def test_attached_create_starts_the_domain_only_when_the_console_is_there(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def attach(path: str, domid: int, *, lock_directory: str, ready: Callable[[], None]) -> str:
        seen.append((path, domid, lock_directory))
        seen.append(list(backend.fake.calls))
        ready()
        seen.append(backend.fake.calls[-1])
        return "ended"

    monkeypatch.setattr("xentool.devices.console.attach", attach)
    assert xentool("create", "-c", config).code == 0
    assert seen == [
        ("/nowhere", 20, backend.lock_directory),
        [("create", "web2", True), ("console_path", 20)],
        ("unpause", 20),
    ]


def test_attached_and_paused_is_not_started(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xentool.devices.console.attach", lambda *_, ready, **__: ready())
    assert xentool("create", "-cp", config).code == 0
    assert backend.fake.calls == [("create", "web2", True), ("console_path", 20)]


def test_a_domain_that_cannot_be_attached_to_or_started_is_taken_away(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str
) -> None:
    outcome = xentool("create", "-c", config)  # its console's path does not exist
    assert outcome.code == 1
    assert backend.fake.calls == [("create", "web2", True), ("console_path", 20), ("destroy", 20)]


def test_a_failed_undo_is_told_beside_the_cause(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str
) -> None:
    backend.fake.failing["destroy"] = XenError("destroy domain", 20, 16)
    outcome = xentool("create", "-c", config)
    assert outcome.code == 1
    assert "cannot lock the console" in outcome.err
    assert "could not be taken away again: destroy domain 20" in outcome.err


def test_json_and_console_exclude_each_other(xentool: Callable[..., Outcome], config: str) -> None:
    assert xentool("create", "-c", "--json", config).code == 2
