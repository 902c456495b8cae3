"""What only a terminal gets to see."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_process import PRELUDE

if TYPE_CHECKING:
    from collections.abc import Iterator


def on_terminal(code: str, **environment: str) -> tuple[int, str]:
    """Run with a terminal for all three streams; exit code and what was on the screen."""
    master, slave = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "XENTOOL"))}
    variables |= {"TERM": "xterm", "COLUMNS": "100"} | environment
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE.replace("COUNT", "1") + code],
        stdin=slave, stdout=slave, stderr=slave, env=variables,
    ) as process:  # fmt: skip
        os.close(slave)
        screen = b"".join(_chunks(master))
        code_of_process = process.wait(60)
    os.close(master)
    return code_of_process, screen.decode()


def _chunks(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:  # the other end was closed
            return
        if not chunk:
            return
        yield chunk


LIST = "sys.exit(main.run(['list'], lambda name: Backend()))"
XL_ROW = "Domain-0                                     0     1     1     r-----       0.0"


def test_a_terminal_gets_a_table() -> None:
    code, screen = on_terminal(LIST)
    assert code == 0
    assert XL_ROW not in screen
    assert "Domain-0" in screen
    assert "running" in screen
    assert "\x1b[" in screen


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_can_do_nothing_gets_xls_text(environment: dict[str, str]) -> None:
    code, screen = on_terminal(LIST, **environment)
    assert code == 0
    assert XL_ROW in screen
    assert "\x1b" not in screen


def test_no_color_is_respected() -> None:
    _, screen = on_terminal(LIST, NO_COLOR="1")
    assert "running" in screen
    assert "\x1b[32m" not in screen


def test_json_is_json_on_a_terminal_too() -> None:
    code, screen = on_terminal("sys.exit(main.run(['list', '--json'], lambda name: Backend()))")
    assert code == 0
    assert screen.startswith("[\r\n")


def test_progress_is_one_line_that_goes_away() -> None:
    steps = "from xentool.cli.progress import on_one_line as show\nshow('a'); show('b'); show('')"
    _, screen = on_terminal(steps)
    assert screen.index("a …") < screen.index("b …")
    assert screen.endswith("\r\x1b[2K")
    assert "\n" not in screen
