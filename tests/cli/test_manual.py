"""The manual says all that the table says, and man can read it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.test_agreement import LEAVES
from xentool.cli.manual import PAGES, command_page, manual_page, write_man_pages
from xentool.cli.markup import to_roff, to_text
from xentool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from xentool.cli.declare import Command


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: str(command.name))
def test_every_option_is_on_the_commands_page_and_on_the_big_one(command: Command) -> None:
    page, big = command_page(command.name.split()), manual_page()
    assert command.help.lower() in " ".join(page.lower().split())
    for option in command.options:
        for spelling in option.spellings:
            assert (spelling in page) is not option.hidden
            assert spelling in big or option.hidden


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: str(command.name))
def test_dry_runs_are_in_the_help_of_the_commands_that_have_them(
    xentool: Callable[..., Outcome], command: Command
) -> None:
    assert ("--dry-run" in xentool(*command.name.split(), "--help").out) is command.dry_run


def test_every_key_is_in_the_page_of_configs() -> None:
    from xentool.domain.config.keys import all_keys

    page = manual_page("xentool.cfg")
    for key in all_keys():
        assert f"       {key.name} (" in page


@pytest.mark.parametrize(
    "words", [("nonsense",), ("creat2",), ("do",), ("lab", "nonsense"), ("list", "list")]
)
def test_help_of_no_command(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        command_page(words)


def test_help_knows_groups_short_names_and_pages(xentool: Callable[..., Outcome]) -> None:
    assert "lab shell" in xentool("help", "lab").out
    assert xentool("help", "cre").out == xentool("help", "create").out
    assert "on_poweroff" in xentool("help", "xentool.cfg").out
    assert xentool("help", "nonsense").code == 1


def test_lines_fit_a_terminal() -> None:
    for name, _ in PAGES:
        for line in manual_page(name).splitlines():
            assert len(line) <= 80 or " " not in line.strip()


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff, which reads man pages")
def test_man_reads_the_pages_without_complaint(tmp_path: Path) -> None:
    for path in write_man_pages(str(tmp_path)):
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", path], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stderr == ""


@given(text=st.text(alphabet="ab .'\\-`*^#:\n", max_size=60))
def test_no_text_becomes_a_request_of_roff(text: str) -> None:
    known = (".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".RS", ".nf", ".fi", ".RE", ".IP", ".TP")
    for line in to_roff(text, "x", 1, "0").splitlines():
        assert not line.startswith("'")
        assert not line.startswith(".") or line.startswith(known)


@given(text=st.text(max_size=200))
def test_any_text_is_shown(text: str) -> None:
    to_text(text)
