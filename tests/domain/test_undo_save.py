"""A save that was killed: its guest goes on, unless its file had its name; and no part of a file is left."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mocked import MockedHost
from xentool.abi.sched import SHUTDOWN_poweroff, SHUTDOWN_suspend
from xentool.domain.create import create_domain
from xentool.domain.journal import quoted
from xentool.domain.lifecycle import destroy
from xentool.domain.recover import finish_undone
from xentool.domain.suspension import SUSPENDS_WITHIN
from xentool.errors import LibxlError
from xentool.toolstack.native import NativeToolstack
from xentool.units import DomId, uuid_text


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock")) as host:
        yield host


class Killed:
    """What is left of a save that was killed, and what is done about it."""

    def __init__(self, mocked: MockedHost, folder: Path, reason: int | None = SHUTDOWN_suspend) -> None:
        self.host = mocked.host()
        self.domid = create_domain(self.host, mocked.config("saved"), paused=True)
        self.uuid = uuid_text(self.host.hypercalls.domain_info(self.domid).handle)
        if reason is not None:
            self.host.hypercalls.shutdown_domain(self.domid, reason)
        self.part = folder / "a b\n\udcff.part"
        self.part.touch()
        self.entry = Path(mocked.paths.run) / "journal" / "save.1.create"
        self.entry.parent.mkdir(parents=True, exist_ok=True)
        self.resumed: list[DomId] = []

    def note(self, after: str = "destroy", *, named: bool = False, uuid: str = "", part: bool = True) -> None:
        path = quoted(str(self.part)) if part else ""
        lines = [f"uuid {uuid or self.uuid}", f"part {path}", f"save {self.domid} {after}"]
        self.entry.write_text("\n".join(lines + ["named x"] * named) + "\n")

    def there(self) -> bool:
        return self.domid in [info.domid for info in self.host.hypercalls.domain_infos()]


@pytest.fixture
def killed(mocked: MockedHost, tmp_path: Path) -> Iterator[Killed]:
    left = Killed(mocked, tmp_path)
    yield left
    if left.there():
        mocked.destroy(left.domid)
    left.entry.unlink(missing_ok=True)


@pytest.fixture
def running(mocked: MockedHost, tmp_path: Path) -> Iterator[Killed]:
    """One whose guest has not suspended yet."""
    left = Killed(mocked, tmp_path, None)
    yield left
    if left.there():
        mocked.destroy(left.domid)
    left.entry.unlink(missing_ok=True)


@pytest.mark.parametrize("named", [False, True])
def test_a_guest_without_a_file_goes_on(killed: Killed, named: bool) -> None:
    killed.note(named=named)  # it was about to have its name
    assert finish_undone(killed.host, resume=killed.resumed.append) == ([f"{killed.uuid} (its save)"], [])
    assert killed.resumed == [killed.domid]
    assert not killed.part.exists()
    assert not killed.entry.exists()


@pytest.mark.parametrize(("after", "goes_on"), [("destroy", False), ("run", True), ("pause", True)])
@pytest.mark.parametrize("part", [False, True])
def test_of_a_guest_with_a_file_becomes_what_was_to(
    killed: Killed, after: str, goes_on: bool, part: bool
) -> None:
    killed.part.unlink()
    killed.note(after, named=True, part=part)
    finish_undone(killed.host, resume=killed.resumed.append)
    assert (killed.resumed == [killed.domid]) == killed.there() == goes_on


def test_another_guest_of_that_number_is_not_touched(killed: Killed) -> None:
    killed.note(uuid="0f4c2b1a-0000-4000-8000-00000000abcd", named=True, part=False)
    assert finish_undone(killed.host, resume=killed.resumed.append) == ([], [])
    assert killed.there()
    assert killed.resumed == []


@pytest.mark.parametrize("reason", [None, SHUTDOWN_poweroff])
def test_who_is_not_suspended_is_not_resumed(mocked: MockedHost, tmp_path: Path, reason: int | None) -> None:
    left = Killed(mocked, tmp_path, reason)
    left.note()
    os.utime(left.part, (0, 0))  # it was killed long ago
    assert finish_undone(left.host, resume=left.resumed.append)[1] == []
    assert left.resumed == []
    assert not left.part.exists()
    mocked.destroy(left.domid)


def node(left: Killed) -> str:
    return f"/local/domain/{left.domid}/control/shutdown"


def test_a_request_that_the_guest_has_not_taken_is_withdrawn(running: Killed) -> None:
    running.host.store.write(node(running), "suspend")
    running.note()
    began = time.monotonic()
    assert finish_undone(running.host, resume=running.resumed.append) == ([f"{running.uuid} (its save)"], [])
    assert running.host.store.read(node(running)) == b""
    assert time.monotonic() - began < SUSPENDS_WITHIN
    assert running.resumed == []


@pytest.mark.parametrize("reason", [SHUTDOWN_suspend, SHUTDOWN_poweroff])
def test_a_guest_that_has_taken_the_request_is_waited_for(
    mocked: MockedHost, running: Killed, reason: int
) -> None:
    """As when the save is killed between the two, and the next command is quicker than the guest."""

    def suspend() -> None:
        with mocked.another_s() as host:
            host.hypercalls.shutdown_domain(running.domid, reason)

    running.note()
    timer = threading.Timer(0.3, suspend)
    timer.start()
    finish_undone(running.host, resume=running.resumed.append)
    timer.join()
    assert running.resumed == [running.domid] * (reason == SHUTDOWN_suspend)


def test_a_guest_that_goes_meanwhile_is_not_waited_for(mocked: MockedHost, running: Killed) -> None:
    def go() -> None:
        with mocked.another_s() as host:
            destroy(host, running.domid)

    running.note()
    timer = threading.Timer(0.3, go)
    timer.start()
    began = time.monotonic()
    finish_undone(running.host, resume=running.resumed.append)
    timer.join()
    assert time.monotonic() - began < SUSPENDS_WITHIN
    assert running.resumed == []


@pytest.mark.parametrize("reason", [None, SHUTDOWN_suspend])
def test_who_was_destroyed_but_for_a_mapped_page_neither_goes_on_nor_suspends(
    mocked: MockedHost, tmp_path: Path, reason: int | None
) -> None:
    left = Killed(mocked, tmp_path, reason)
    left.note()
    began = time.monotonic()
    with mocked.hypervisor.map_grants(left.domid, array("I", [0])):
        destroy(left.host, left.domid)
        assert left.there()
        assert finish_undone(left.host, resume=left.resumed.append)[1] == []
    assert time.monotonic() - began < SUSPENDS_WITHIN
    assert left.resumed == []
    assert not left.part.exists()


def test_who_cannot_be_resumed_is_tried_again(killed: Killed) -> None:
    def fail(_domid: DomId) -> None:
        raise LibxlError("resume", "it", "it failed")

    killed.note()
    done, (failed,) = finish_undone(killed.host, resume=fail)
    assert done == []
    assert "it failed" in failed
    _, (failed,) = NativeToolstack(killed.host).finish_undone()
    assert "--toolstack" not in failed
    assert "native toolstack does not do that" in failed
    assert killed.entry.exists()
    assert killed.part.exists()
    assert finish_undone(killed.host, resume=killed.resumed.append)[1] == []
    assert killed.resumed == [killed.domid]


@pytest.mark.parametrize("words", ["7", "seven destroy", "7 destroy now"])
def test_an_entry_that_is_none_of_ours_is_left(killed: Killed, words: str) -> None:
    killed.entry.write_text(f"uuid {killed.uuid}\nsave {words}\n")
    assert "no entry of ours" in finish_undone(killed.host)[1][0]
    assert killed.entry.exists()
