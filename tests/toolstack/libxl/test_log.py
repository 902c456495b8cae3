"""libxl's log as lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.toolstack.libxl import log as log_module
from xentool.toolstack.libxl.log import LEVELS, PROGRESS, WARNING, Line, Log, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.toolstack.libxl.library import Library


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def log(library: Library, heard: list[str]) -> Iterator[Log]:
    log = Log(library, level=LEVELS.index("info"), listener=lambda line: heard.append(str(line)))
    yield log
    log.close()


def say(log: Log, text: bytes) -> None:
    os.write(log._descriptor, text)
    os.lseek(log._descriptor, 0, os.SEEK_END)


@pytest.mark.parametrize(
    ("raw", "level", "text"),
    [
        ("libxl: error: libxl_x.c:1:f: Domain 1:no", "error", "libxl: libxl_x.c:1:f: Domain 1:no"),
        ("xc: detail: a: b: c", "detail", "xc: a: b: c"),
        ("and more", "progress", "and more"),
        ("libxl: loud: x", "progress", "libxl: loud: x"),
        ("", "progress", ""),
        ("libxl: error: \x1b[31mred\r", "error", "libxl: ?[31mred?"),
    ],
)
def test_parse_line(raw: str, level: str, text: str) -> None:
    line = parse_line(raw)
    assert (LEVELS[line.level], line.text) == (level, text)


@given(st.text())
def test_any_line_is_some_line_that_a_terminal_can_show(raw: str) -> None:
    line = parse_line(raw)
    assert 0 <= line.level < len(LEVELS)
    assert all(letter.isprintable() for letter in str(line))


def test_lines_come_as_they_are_said(log: Log, heard: list[str]) -> None:
    say(log, b"libxl: error: one\nlibxl: debug: two\nlibxl: warn")
    log.drain()
    assert heard == ["error: libxl: one"]
    say(log, b"ing: three\n")
    log.drain()
    assert heard == ["error: libxl: one", "warning: libxl: three"]


def test_a_line_without_a_level_goes_on_with_the_one_before(log: Log) -> None:
    mark = log.count
    say(log, b"libxl: error: one\n  two\nxc: progress: three\n  four\n")
    assert [line.text for line in log.since(mark)] == ["libxl: one", "  two"]


def test_what_was_said_since(log: Log) -> None:
    say(log, b"libxl: error: old\n")
    log.drain()
    mark = log.count
    assert log.since(mark) == []
    say(log, b"libxl: info: quiet\nlibxl: critical: new\n")
    assert [line.text for line in log.since(mark)] == ["libxl: new"]


@pytest.mark.parametrize("level", [b"error", b"debug"])
def test_what_is_kept_is_bounded_and_begins_with_the_cause(log: Log, level: bytes) -> None:
    say(log, b"libxl: error: of the operation before\n" * 300)
    log.begin()
    mark = log.count
    say(log, b"libxl: error: the cause\n")
    for _ in range(5):
        say(log, b"libxl: %s: again\n" % level * 1000)
        log.drain()
    say(log, b"libxl: error: what came of it\n")
    log.begin()
    log.end()  # of a part of the operation
    said = log.since(mark)
    log.end()
    assert len(said) <= log_module.KEPT
    assert [said[0].text, said[-1].text] == ["libxl: the cause", "libxl: what came of it"]
    log.begin()
    assert log.since(0) == []
    log.end()


def test_the_memory_of_what_was_read_is_given_back(log: Log) -> None:
    line = b"libxl: debug: " + b"x" * 1000 + b"\n"
    for _ in range(40):
        say(log, line * 100)
        log.drain()
    assert os.fstat(log._descriptor).st_size < 3 * log_module.ROOM
    mark = log.count
    say(log, b"libxl: error: still here\n")
    assert [line.text for line in log.since(mark)] == ["libxl: still here"]


def test_who_asks_for_steps_hears_them_until_another_does(log: Log) -> None:
    first: list[str] = []
    assert log.steps_to(first.append) is None
    say(log, b"xc: progress: Frames: 1/2  50%\nxc: error: x\n")
    log.drain()
    assert log.steps_to(None) == first.append
    say(log, b"xc: progress: Frames: 2/2  100%\n")
    log.drain()
    assert first == ["Frames: 1/2  50%"]


def test_levels() -> None:
    assert str(Line(WARNING, "x")) == "warning: x"
    assert LEVELS[PROGRESS] == "progress"
