"""What is asked of libxl before it makes a domain, and what is taken away of one that it could not make."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from xentool.domain.locks import xl_lock
from xentool.errors import LibxlError, NoMemoryError, NotFoundError
from xentool.toolstack.libxl import creating, domains
from xentool.toolstack.libxl.creating import _check_memory
from xentool.toolstack.libxl.struct import Struct

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xentool.domain.host import Host
    from xentool.toolstack.libxl.context import Context
    from xentool.units import DomId

NEEDED_KIB = 3 << 10
UUID = "0a2b9c2e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(("free_kib", "enough"), [(NEEDED_KIB, True), (NEEDED_KIB - 1024, False)])
def test_a_copy_of_the_record_is_held_against_the_free_memory(
    context: Context, monkeypatch: pytest.MonkeyPatch, free_kib: int, enough: bool
) -> None:
    """libxl fills in what it looks at, and what it fills in it would take for the config's wish."""
    find = context.library.function
    asked: list[tuple[int, dict[str, object]]] = []

    def need_memory(_context: int, config: int, _domid: int, need: Any) -> int:
        asked.append((config, context.read("domain_config", config)))
        need._obj.value = NEEDED_KIB
        return 0

    def get_free_memory(_context: int, free: Any) -> int:
        free._obj.value = free_kib
        return 0

    played: dict[str, Callable[..., int]] = {
        "libxl_domain_need_memory": need_memory,
        "libxl_get_free_memory": get_free_memory,
    }
    monkeypatch.setattr(context.library, "function", lambda name: played.get(name) or find(name))
    with Struct(context, "domain_config") as wanted:
        wanted.fill({"name": "web"})
        if enough:
            _check_memory(context, wanted, "web")
        else:
            with pytest.raises(NoMemoryError, match="the host has 2 MiB free, and the domain needs 3 MiB"):
                _check_memory(context, wanted, "web")
        ((address, record),) = asked
        assert address != wanted.address
    assert record == {"name": "web"}


class Made:
    """What is asked of libxl when "web" is made, as domain 7; and whether xl's lock is held then."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = cast(
            "Host", SimpleNamespace(paths=SimpleNamespace(run=f"{folder}/run", lock=f"{folder}/xl"))
        )
        self.there: list[dict[str, object]] = []
        self.fails = False
        self.locked = False
        self.destroyed: list[tuple[int, bool]] = []
        made = self

        class Lock(xl_lock):
            def __enter__(self) -> None:
                super().__enter__()
                made.locked = True

            def __exit__(self, *cause: object) -> None:
                made.locked = False
                super().__exit__(*cause)

        monkeypatch.setattr(creating, "xl_lock", Lock)
        monkeypatch.setattr(creating, "_check_memory", lambda *_: None)
        monkeypatch.setattr(domains, "infos", lambda _context: list(self.there))
        monkeypatch.setattr(domains, "name_of", lambda _context, _domid: "other")
        monkeypatch.setattr(domains, "unpause", self.unpause)
        monkeypatch.setattr(domains, "destroy", lambda _, domid: self.destroyed.append((domid, self.locked)))

    def make(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        def run(_action: str, _subject: object, begin: Callable[[object], int], **_words: object) -> None:
            if begin(None):
                raise LibxlError("create domain", "web", "it failed")

        monkeypatch.setattr(context, "run", run)
        creating.make(
            self.host, context, {"name": "web"}, "web", UUID, self.start, paused=False, progress=None
        )

    def start(self, _wanted: int, domid: Any, _how: object) -> int:
        self.there.append({"domid": 7, "uuid": UUID})
        domid._obj.value = 7
        return -3 if self.fails else 0

    def unpause(self, _context: Context, domid: DomId) -> None:
        raise NotFoundError("unpause domain", domid, "there is no such domain")


def test_what_could_not_be_built_goes_before_another_can_have_its_uuid(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, monkeypatch)
    made.fails = True
    with pytest.raises(LibxlError, match="it failed"):
        made.make(context, monkeypatch)
    assert made.destroyed == [(7, True)]
    assert list((tmp_path / "run" / "journal").iterdir()) == []


@pytest.mark.parametrize("destroyed", [False, True])
def test_what_cannot_be_started_goes_and_no_other_with_its_uuid(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destroyed: bool
) -> None:
    made = Made(tmp_path, monkeypatch)

    def unpause(context: Context, domid: DomId) -> None:
        if destroyed:  # by somebody else, who made it anew
            made.there[:] = [{"domid": 9, "uuid": UUID}]
        made.unpause(context, domid)

    monkeypatch.setattr(domains, "unpause", unpause)
    with pytest.raises(NotFoundError):
        made.make(context, monkeypatch)
    assert made.destroyed == ([] if destroyed else [(7, False)])
    assert list((tmp_path / "run" / "journal").iterdir()) == []
