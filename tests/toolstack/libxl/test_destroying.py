"""What goes with a domain that libxl takes away; and a destroy that is stopped goes to its end first, because
half of a domain nobody would take away."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from xentool.cli.stopping import Stopping
from xentool.devices.vif import locks
from xentool.errors import StoppedError
from xentool.toolstack.libxl import domains, saving
from xentool.toolstack.libxl.toolstack import LibxlToolstack
from xentool.units import DomId

if TYPE_CHECKING:
    from xentool.domain.host import Host
    from xentool.toolstack.libxl.library import Library


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_waits_until_the_domain_is_gone(
    library: Library, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    did: list[str] = []

    def destroy(_context: object, domid: DomId) -> None:
        did.append(f"begun {domid}")
        os.kill(os.getpid(), number)
        did.append("ended")

    monkeypatch.setattr(domains, "destroy", destroy)
    monkeypatch.setattr(locks, "locked_names", lambda _host, _domid: ["vif3.0"])
    monkeypatch.setattr(locks, "unlock", lambda _host, names: did.append(f"unlocked {names}"))
    monkeypatch.setattr(LibxlToolstack, "context", None)
    toolstack = LibxlToolstack(cast("Host", SimpleNamespace()), lambda _release: library)
    with pytest.raises(StoppedError), Stopping():
        toolstack.destroy(DomId(3))
    assert did == ["begun 3", "ended", "unlocked ['vif3.0']"]


@pytest.mark.parametrize(("after", "unlocked"), [("destroy", ["vif3.0"]), ("run", []), ("pause", [])])
def test_the_locks_of_a_saved_domain_go_with_it(
    library: Library, monkeypatch: pytest.MonkeyPatch, after: str, unlocked: list[str]
) -> None:
    did: list[str] = []
    monkeypatch.setattr(saving, "save", lambda *_words, **_named: did.append("saved"))
    monkeypatch.setattr(locks, "locked_names", lambda _host, _domid: ["vif3.0"])
    monkeypatch.setattr(locks, "unlock", lambda _host, names: did.extend(names))
    monkeypatch.setattr(LibxlToolstack, "context", None)
    toolstack = LibxlToolstack(cast("Host", SimpleNamespace()), lambda _release: library)
    toolstack.save(DomId(3), "/nowhere", after=after)
    assert did == ["saved", *unlocked]
