"""The mock host's loop: deadlines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xentool.mockhost.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_a_deadline_can_be_taken_back_by_one_that_is_due_with_it(loop: Loop) -> None:
    called = []

    def first() -> None:
        called.append("first")
        loop.set_deadline("second", None, loop.stop)
        loop.set_deadline("end", 0.01, loop.stop)

    loop.set_deadline("first", 0, first)
    loop.set_deadline("second", 0, lambda: called.append("second"))
    loop.run()
    assert called == ["first"]


def test_a_deadline_can_be_put_off_by_one_that_is_due_with_it(loop: Loop) -> None:
    called = []

    def first() -> None:
        called.append("first")
        loop.set_deadline("second", 0.01, second)

    def second() -> None:
        called.append("second")
        loop.stop()

    loop.set_deadline("first", 0, first)
    loop.set_deadline("second", 0, loop.stop)
    loop.run()
    assert called == ["first", "second"]
