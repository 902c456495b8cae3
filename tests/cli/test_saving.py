"""save and restore: xl's words in, what the toolstack is asked, what is said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from xentool.errors import HostError

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


@pytest.mark.parametrize(
    ("flags", "after"),
    [((), "destroy"), (("-c",), "run"), (("-p",), "pause"), (("-cp",), "pause"), (("-p", "-q"), "pause")],
)
def test_save_is_silent_in_a_pipe(
    xentool: Callable[..., Outcome], backend: FakeBackend, flags: tuple[str, ...], after: str
) -> None:
    outcome = xentool(
        "save", *flags, "a-name-that-is-longer-than-forty-characters-is-not-cut", "/img/web.save"
    )
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert backend.fake.calls == [("save", 12, "/img/web.save", after, None)]


def test_who_does_not_wait_for_the_disk(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    assert xentool("save", "--no-sync", "web", "/f").code == 0
    assert [call[-1] for call in backend.fake.calls] == ["no sync"]


def test_save_with_a_config_puts_that_into_the_file(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str
) -> None:
    assert xentool("save", "web", "/f", config).code == 0
    _, _, _, _, record = backend.fake.calls[0]
    assert isinstance(record, bytes)
    assert json.loads(record)["c_info"]["name"] == "web2"


def test_save_can_keep_the_domid(xentool: Callable[..., Outcome], backend: FakeBackend, config: str) -> None:
    assert xentool("save", "-D", "web", "/f").code == 0
    assert xentool("save", "-D", "web", "/f", config).code == 0
    records = [call[4] for call in backend.fake.calls]
    own, given = (json.loads(record)["c_info"] for record in records if isinstance(record, bytes))
    assert own == {"type": "pv", "name": "x", "domid": 3}
    assert (given["name"], given["domid"]) == ("web2", 3)


def test_save_warns_of_what_no_file_keeps(xentool: Callable[..., Outcome]) -> None:
    assert xentool("save", "web", "/f").err == (
        "xentool: warning: vif 11 of domain 3 is held to its addresses (lock); "
        "restored from a file it will not be\n"
    )


def test_save_answers_in_json(xentool: Callable[..., Outcome]) -> None:
    outcome = xentool("save", "-c", "web", "/f", "--json")
    assert json.loads(outcome.out) == {"domid": 3, "file": "/f", "done": "saved", "domain": "running"}


def test_save_and_restore_say_their_steps_if_asked(xentool: Callable[..., Outcome]) -> None:
    assert xentool("save", "-v", "12", "/f").err == "xentool: writing its memory\n"
    assert xentool("restore", "-v", "/f").err == "xentool: reading its memory\n"
    assert xentool("restore", "-vq", "/f").err == ""


def test_a_failed_save_is_an_error(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    backend.fake.failing["save"] = HostError("save domain", 3, "no space left on the device (/f)")
    outcome = xentool("save", "12", "/f")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "xentool: cannot save domain 3: no space left on the device (/f)\n"


@pytest.mark.parametrize(("flags", "paused"), [((), False), (("-p",), True), (("-e", "-d"), False)])
def test_restore_takes_a_file(
    xentool: Callable[..., Outcome], backend: FakeBackend, flags: tuple[str, ...], paused: bool
) -> None:
    outcome = xentool("restore", *flags, "/img/web.save")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert backend.fake.calls == [("restore", "/img/web.save", None, paused)]


def test_restore_takes_a_config_before_the_file(
    xentool: Callable[..., Outcome], backend: FakeBackend, config: str
) -> None:
    assert xentool("restore", config, "/f").code == 0
    assert backend.fake.calls == [("restore", "/f", "web2", False)]


def test_restore_answers_in_json(xentool: Callable[..., Outcome]) -> None:
    outcome = xentool("restore", "-p", "/f", "--json")
    assert json.loads(outcome.out) == {"domid": 21, "name": "again", "paused": True}


@pytest.mark.parametrize("argv", [(), ("a", "b", "c"), ("-c", "--json", "f")])
def test_restore_of_anything_else_is_a_mistake(
    xentool: Callable[..., Outcome], backend: FakeBackend, argv: tuple[str, ...]
) -> None:
    outcome = xentool("restore", *argv)
    assert (outcome.code, backend.fake.calls) == (2, [])


def test_a_restored_console_is_attached_to_before_the_guest_goes_on(
    xentool: Callable[..., Outcome], backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xentool.devices.console.attach", lambda *_, ready, **__: ready())
    assert xentool("restore", "-c", "/f").code == 0
    assert backend.fake.calls == [("restore", "/f", None, True), ("console_path", 21), ("unpause", 21)]


@pytest.mark.parametrize(
    ("argv", "environment", "chosen"),
    [
        (("list",), "", "auto"),
        (("list",), "libxl", "libxl"),
        (("list", "--toolstack", "native"), "libxl", "native"),
        (("--toolstack=libxl", "list"), "", "libxl"),
    ],
)
def test_the_toolstack_is_chosen_by_option_then_by_environment(
    xentool: Callable[..., Outcome],
    backend: FakeBackend,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    environment: str,
    chosen: str,
) -> None:
    monkeypatch.setenv("XENTOOL_TOOLSTACK", environment)
    assert xentool(*argv).code == 0
    assert (backend.chosen, backend.say) == (chosen, None)
    assert xentool("-v", *argv).code == 0
    assert backend.say is not None


@pytest.mark.parametrize(
    ("name", "choices"),
    [("XENTOOL_TOOLSTACK", "auto, native or libxl"), ("XENTOOL_BACKEND", "auto, xen or mock")],
)
def test_a_wrong_word_in_the_environment_is_named(
    xentool: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, name: str, choices: str
) -> None:
    monkeypatch.setenv(name, "xm")
    outcome = xentool("list")
    assert outcome.code == 2
    assert f"{name} is 'xm'" in outcome.err
    assert f"hint: set it to {choices}, or unset it" in outcome.err
