"""Saving: there is no file and the guest runs on, or there is one and the guest is as it was to be left."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self, cast

import pytest

from xentool.abi.sched import SHUTDOWN_suspend
from xentool.domain.journal import Journal, unquoted
from xentool.errors import HostError, LibxlError, StoppedError
from xentool.toolstack.libxl import domains, saving
from xentool.toolstack.libxl.savefile import STREAM, header_of
from xentool.units import DomId, uuid_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xentool.domain.host import Host
    from xentool.toolstack.libxl.context import Context

DOMID = DomId(3)
UUID = "0f4c2b1a-0000-4000-8000-00000000abcd"
INFO = {"domid": 3, "uuid": UUID}
NODE = "/local/domain/3/control/shutdown"


class Played:
    """A context whose operations are noted, and do what `plays` has for them."""

    handle = 1

    def __init__(self, run_directory: Path) -> None:
        self.run_directory = run_directory
        self.left_to_the_next = False
        self.did: list[str] = []
        self.plays: dict[str, Callable[[], None]] = {}
        self.library = self
        self.reason: int | None = SHUTDOWN_suspend
        self.asked = b""
        """What is in the guest's control node."""
        self.events: list[Callable[[], None]] = []
        """What happens while an event is waited for."""
        self.written_out = 0
        """How often the kernel was told to begin to write the file to the disk."""

    @property
    def host(self) -> Host:
        """A host with that guest, which is its own store too."""
        calls = SimpleNamespace(
            domain_infos=lambda: [
                SimpleNamespace(domid=3, handle=uuid_bytes(UUID), shutdown_reason=self.reason, dying=False)
            ]
        )
        paths = SimpleNamespace(run=str(self.run_directory))
        return cast("Host", SimpleNamespace(paths=paths, hypercalls=calls, store=self))

    def watch(self, path: str) -> Watching:
        return Watching(self, path)

    def exists(self, path: str) -> bool:
        return path == NODE

    def run_transaction(self, body: Callable[[Played], bool]) -> bool:
        return body(self)

    def try_read(self, path: str) -> bytes | None:
        return self.asked if path == NODE else None

    def write(self, path: str, value: bytes) -> None:
        assert path == NODE
        self.asked = value

    def function(self, name: str) -> Callable[..., int]:
        def call(*arguments: object) -> int:
            if name == "sync_file_range":
                self.written_out += 1
                return 0
            if name == "libxl_domain_suspend":
                os.write(cast("int", arguments[2]), STREAM)
            self.did.append(name.removeprefix("libxl_domain_"))
            self.plays.get(self.did[-1], lambda: None)()
            return 0

        return call

    def run(self, action: str, _subject: object, start: Callable[[object], int], **more: object) -> None:
        assert more.get("sheltered", False) == (action == "save domain")
        start(None)
        if action == "save domain":
            cast("Callable[[str], None]", more["progress"])("half of it")


class Watching:
    """A watch: the first event comes at once, and then those that are played."""

    def __init__(self, played: Played, path: str) -> None:
        self.played = played
        self.path = path
        self.first = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def next(self, timeout_seconds: float | None = None) -> str | None:
        if self.first:
            self.first = False
            return self.path
        if timeout_seconds == 0:
            return self.path if self.played.asked or self.played.events else None
        if not self.played.events:
            return None
        self.played.events.pop(0)()
        return self.path

    def events(self, timeout_seconds: float) -> Iterator[str]:
        while (event := self.next(timeout_seconds)) is not None:
            yield event


def fail() -> None:
    raise LibxlError("do", "it", "it failed")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    monkeypatch.setattr(domains, "info", lambda _context, _domid: INFO)
    played = Played(tmp_path_factory.mktemp("run"))
    yield played
    assert played.left_to_the_next == bool(list((played.run_directory / "journal").glob("*")))


def save(played: Played, path: Path, after: str = "destroy", *, sync: bool = True) -> None:
    saving.save(played.host, cast("Context", played), DOMID, str(path), after=after, config=b"{}", sync=sync)


def entries(played: Played) -> list[dict[str, str]]:
    """What the journal has for the next command."""
    played.left_to_the_next = True
    found = list(Journal(str(played.run_directory)).abandoned())
    for entry in found:
        entry.close(finished=False)
    return [entry.facts for entry in found]


@pytest.mark.parametrize(
    ("after", "did"),
    [
        ("destroy", ["suspend", "destroy"]),
        ("run", ["suspend", "resume"]),
        ("pause", ["suspend", "pause", "resume"]),
    ],
)
def test_what_becomes_of_the_guest(played: Played, tmp_path: Path, after: str, did: list[str]) -> None:
    save(played, tmp_path / "file", after)
    assert played.did == did
    assert (tmp_path / "file").read_bytes() == header_of(b"{}") + STREAM


def test_what_cannot_be_saved_runs_on_and_leaves_no_file(played: Played, tmp_path: Path) -> None:
    played.plays["suspend"] = fail
    with pytest.raises(LibxlError):
        save(played, tmp_path / "file")
    assert played.did == ["suspend", "resume"]
    assert list(tmp_path.iterdir()) == []


def test_who_runs_is_not_resumed(played: Played, tmp_path: Path) -> None:
    played.plays["suspend"] = fail
    played.reason = None
    with pytest.raises(LibxlError):
        save(played, tmp_path / "file")
    assert played.did == ["suspend"]


def test_a_request_that_the_guest_has_not_taken_is_withdrawn(played: Played, tmp_path: Path) -> None:
    """As when ^C comes between the two: libxl leaves it there, and the guest would take it later."""
    played.plays["suspend"] = fail
    played.reason, played.asked = None, b"suspend"
    with pytest.raises(LibxlError):
        save(played, tmp_path / "file")
    assert (played.did, played.asked) == (["suspend"], b"")


def test_a_guest_that_has_taken_the_request_is_waited_for(played: Played, tmp_path: Path) -> None:
    def suspend() -> None:
        played.reason = SHUTDOWN_suspend

    played.plays["suspend"] = fail
    played.reason = None
    played.events = [lambda: None, suspend]
    with pytest.raises(LibxlError):
        save(played, tmp_path / "file")
    assert played.did == ["suspend", "resume"]


def test_who_cannot_be_resumed_is_left_to_the_next_command(played: Played, tmp_path: Path) -> None:
    played.plays["suspend"] = played.plays["resume"] = fail
    with pytest.raises(LibxlError) as failed:
        save(played, tmp_path / "file")
    assert "could not be resumed" in failed.value.__notes__[0]
    (facts,) = entries(played)
    assert (facts["uuid"], facts["save"]) == (UUID, "3 destroy")


def test_what_the_journal_says_meanwhile(played: Played, tmp_path: Path) -> None:
    """It is what a kill -9 would leave: the part's name before it is written to, the end before it begins."""
    path = tmp_path / "a b\n\udcff"
    seen: list[dict[str, str]] = []

    def look() -> None:
        (entry,) = (played.run_directory / "journal").iterdir()
        seen.append(dict(line.split(" ", 1) for line in entry.read_text().splitlines()))

    played.plays["suspend"] = played.plays["destroy"] = look
    save(played, path)
    assert [(facts["save"], "named" in facts) for facts in seen] == [
        ("3 destroy", False),
        ("3 destroy", True),
    ]
    part = unquoted(seen[0]["part"])
    assert part.startswith(f"{os.path.realpath(tmp_path)}/a b\n\udcff.")
    assert part.endswith(".part")


@pytest.mark.parametrize("sync", [True, False])
def test_the_guest_ends_when_the_disk_has_it_or_who_saves_does_not_wait(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: played.did.append("fsync"))
    save(played, tmp_path / "file", sync=sync)
    assert played.did == ["suspend", *(["fsync"] * 2 if sync else []), "destroy"]
    assert played.written_out == sync
    assert (tmp_path / "file").read_bytes() == header_of(b"{}") + STREAM


@pytest.mark.parametrize(("call", "times"), [("fsync", 1), ("rename", 2), ("fsync", 2)])
def test_a_disk_that_fails_at_the_end_is_no_saved_guest(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, times: int
) -> None:
    left = [None] * times

    real = getattr(os, call)

    def broken(*given: object) -> None:
        left.pop()
        if not left:
            raise OSError(5, "Input/output error")
        real(*given)

    monkeypatch.setattr(os, call, broken)
    with pytest.raises(HostError, match="Input/output error"):
        save(played, tmp_path / "file")
    assert played.did == ["suspend", "resume"]
    assert list(tmp_path.iterdir()) == []


def test_who_cannot_be_destroyed_does_not_run_on_beside_its_file(played: Played, tmp_path: Path) -> None:
    played.plays["destroy"] = fail
    with pytest.raises(LibxlError) as failed:
        save(played, tmp_path / "file")
    assert played.did == ["suspend", "destroy"]
    assert (tmp_path / "file").exists()
    assert failed.value.__notes__[0] == f"the domain is saved, whole, in {tmp_path}/file"
    (facts,) = entries(played)
    assert (facts["save"], "named" in facts) == ("3 destroy", True)


def test_who_cannot_be_paused_runs_on(played: Played, tmp_path: Path) -> None:
    played.plays["pause"] = fail
    with pytest.raises(LibxlError):
        save(played, tmp_path / "file", "pause")
    assert played.did == ["suspend", "pause", "resume"]
    assert entries(played)


@pytest.mark.parametrize(
    ("at", "did"), [("suspend", ["suspend", "resume"]), ("destroy", ["suspend", "destroy"])]
)
def test_a_stop_comes_before_the_file_has_its_name_or_after_the_guest_is_gone(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, did: list[str]
) -> None:
    def handler(_number: int, _frame: object) -> None:
        raise StoppedError("", "", "stopped")

    ended: list[str] = []

    def stopped() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ended.append(at)

    played.plays[at] = stopped
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(StoppedError) as error:
            save(played, tmp_path / "file")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert played.did == did
    assert (
        (tmp_path / "file").exists() == (at == "destroy") == bool(ended) == hasattr(error.value, "__notes__")
    )


def test_nobodys_memory_is_written_to_a_terminal(played: Played) -> None:
    ours, theirs = os.openpty()
    try:
        with pytest.raises(HostError, match="that is a terminal"):
            save(played, Path(os.ttyname(theirs)))
    finally:
        os.close(ours)
        os.close(theirs)
    assert played.did == []
