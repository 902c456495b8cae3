"""Which toolstack does what: the table, the words that say so, and what happens where there is no libxl."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xentool.devices.vbd.spec import parse_disk
from xentool.devices.vif.spec import parse_vif
from xentool.domain.config.model import DomainConfig, GuestType
from xentool.domain.host import Host
from xentool.errors import (
    ConfigError,
    HostError,
    NoLibxlError,
    NotFoundError,
    UnsupportedError,
    XentoolError,
)
from xentool.toolstack import choice
from xentool.toolstack.choice import TABLE, AutoToolstack
from xentool.toolstack.libxl.library import Library
from xentool.toolstack.libxl.plugging import attach_disk, plan_disk, plan_vif
from xentool.toolstack.libxl.savefile import STREAM, header_of
from xentool.toolstack.libxl.toolstack import LibxlToolstack
from xentool.toolstack.native import NativeToolstack
from xentool.toolstack.port import Toolstack
from xentool.toolstack.views import RecordPlan
from xentool.units import DomId

DECIDED = {operation: rule.decides for rule in TABLE for operation in rule.operations}
NOWHERE: Host = None  # type: ignore[assignment] # native's own code is not reached
DOMID = DomId(7)


class Recorder:
    """libxl's place: every operation is written down, with what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __getattr__(self, operation: str) -> Callable[..., str]:
        def called(*given: object, **named: object) -> str:
            self.calls.append((operation, given, named))
            return f"libxl's {operation}"

        return called


class World:
    """An AutoToolstack, what it says, and what is asked of libxl."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.libxl = Recorder()
        self.opened = 0
        self.toolstack = AutoToolstack(NOWHERE, self._open, self.said.append)

    def _open(self) -> Toolstack:
        self.opened += 1
        return self.libxl  # type: ignore[return-value]


def without_libxl() -> LibxlToolstack:
    """libxl's toolstack, on a host that has none."""

    def missing(_release: object) -> Library:
        raise NoLibxlError(
            "load", "libxl", "there is no libxenlight", hint="install xen-utils", detail="looked"
        )

    return LibxlToolstack(SimpleNamespace(release=(4, 17)), missing)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


def operations() -> set[str]:
    """What the port has to do with domains and the host."""
    own = {name for name in dir(NativeToolstack) if not name.startswith("_")} - {"close"}
    return {name for name, member in inspect.getmembers(Toolstack) if inspect.isfunction(member)} & own


def pv(**changes: Any) -> DomainConfig:
    return DomainConfig(**{"name": "web", "kernel": "/k", **changes})


def hvm() -> DomainConfig:
    return pv(type=GuestType.HVM, kernel="")


# How each operation that is not always native's is called, in the same words on every toolstack.
CALLS: dict[str, tuple[tuple[object, ...], dict[str, object]]] = {
    "destroy": ((DOMID,), {}),
    "unpause": ((DOMID,), {}),
    "shutdown": ((DOMID,), {"acpi": True}),
    "save": ((DOMID, "/file"), {"after": "run", "config": b"{}", "sync": False, "progress": None}),
    "restore": (("/file", None), {"paused": True, "progress": None}),
    "resume": ((DOMID,), {}),
    "plan_vif": (("web", ["bridge=x"]), {}),
    "attach_vif": (("web", ["bridge=x"]), {}),
    "detach_vif": (("web", "0"), {"force": True}),
    "plan_disk": (("web", ["/a,raw,xvda"]), {}),
    "attach_disk": (("web", ["/a,raw,xvda"]), {}),
    "detach_disk": (("web", "xvda"), {"force": True}),
    "plan_cd": (("web", "hdc", "/iso"), {}),
    "insert_cd": (("web", "hdc", "/iso"), {}),
}


def test_every_operation_of_the_port_is_in_the_table_once() -> None:
    listed = [operation for rule in TABLE for operation in rule.operations]
    assert len(listed) == len(set(listed))
    assert set(listed) == operations()


def test_what_is_not_always_natives_is_chosen_and_nothing_else() -> None:
    chosen = {name for name in vars(AutoToolstack) if name in operations()}
    chosen.add("finish_undone")  # in which the taking away is chosen: see below
    assert chosen == {operation for operation, decides in DECIDED.items() if decides != "native"}
    assert chosen == set(CALLS) | {"create", "plan", "finish_undone"}


def test_libxl_leaves_to_native_only_what_both_share() -> None:
    """An operation of the port that `LibxlToolstack` forgets would be native's, of HVM guests too."""
    shared = {
        "resolve", "vifs", "locked_vifs", "disks", "channels", "console_path", "console_log", "cpupool_names",
        "wait_for_shutdown", "relock",
    }  # fmt: skip
    assert operations() - set(vars(LibxlToolstack)) <= shared


@pytest.mark.parametrize("operation", CALLS)
def test_what_native_refuses_libxl_does_with_the_same_words(
    world: World, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, named = CALLS[operation]
    signature = inspect.signature(getattr(NativeToolstack, operation))

    def refuse(_self: object, *words: object, **options: object) -> None:
        signature.bind(None, *words, **options)  # as native has it
        raise UnsupportedError("do", "it", "it is too much")

    monkeypatch.setattr(NativeToolstack, operation, refuse)
    answer = getattr(world.toolstack, operation)(*given, **named)
    if answer is not None:
        assert answer == f"libxl's {operation}"
    assert world.libxl.calls == [(operation, given, named)]
    assert world.said == ["toolstack libxl: it is too much"]


@pytest.mark.parametrize("operation", [operation for operation in CALLS if DECIDED[operation] == "domain"])
def test_what_native_does_no_libxl_hears_of(
    world: World, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, object]] = []

    def does(_self: object, *words: object, **options: object) -> str:
        bound = inspect.signature(getattr(Toolstack, operation)).bind(None, *words, **options)
        seen.append(dict(bound.arguments))
        return "done"

    monkeypatch.setattr(NativeToolstack, operation, does)
    given, named = CALLS[operation]
    getattr(world.toolstack, operation)(*given, **named)
    named = {name: value for name, value in named.items() if name != "acpi"}  # a button that only HVM has
    expected = inspect.signature(getattr(Toolstack, operation)).bind(None, *given, **named)
    assert seen == [dict(expected.arguments)]
    assert (world.opened, world.libxl.calls) == (0, [])
    assert world.said == [f"toolstack native: complete for {choice.native_does(operation)}"]


def test_another_error_of_native_is_no_reason_to_ask_libxl(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: object, domid: DomId) -> None:
        raise NotFoundError("find domain", domid, "it is gone")

    monkeypatch.setattr(NativeToolstack, "destroy", fail)
    with pytest.raises(NotFoundError):
        world.toolstack.destroy(DOMID)
    assert world.opened == 0
    assert world.said == ["toolstack native: complete for PV and PVH guests, whoever made them"]


@pytest.mark.parametrize("config", [pv(), pv(vifs=(parse_vif("bridge=x"),))])
def test_a_config_that_native_does_is_natives(
    world: World, config: DomainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NativeToolstack, "create", lambda _self, _config, **_: DOMID)
    assert world.toolstack.create(config) == DOMID
    assert world.opened == 0
    assert world.said == [
        "toolstack native: complete for PV guests, with network interfaces, disks and channels"
    ]


def test_a_config_that_native_does_not_do_is_libxls(world: World) -> None:
    config = hvm()
    answer: object = world.toolstack.create(config, paused=True)
    assert answer == "libxl's create"
    assert world.libxl.calls == [("create", (config,), {"paused": True, "progress": None})]
    assert world.said == ['toolstack libxl: type="hvm"']


def test_libxl_is_opened_once(world: World) -> None:
    world.toolstack.create(hvm())
    world.toolstack.save(DOMID, "/file")
    assert world.opened == 1


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (
            lambda toolstack, _file: toolstack.create(hvm()),
            'create domain web: that takes libxl (type="hvm"), and',
        ),
        (
            lambda toolstack, file: toolstack.save(DOMID, file),
            "save domain 7: that takes libxl (saved domains are in libxl's own format), and",
        ),
        (
            lambda toolstack, file: toolstack.restore(file),
            "restore a domain from FILE: that takes libxl (saved domains are in libxl's own format), and",
        ),
    ],
)
def test_without_libxl_the_error_says_what_was_asked_and_what_is_missing(
    act: Callable[[Toolstack, str], object], what: str, tmp_path: Path
) -> None:
    file = tmp_path / "f"
    file.write_bytes(header_of(b'{"c_info": {"name": "web"}}') + STREAM)
    with pytest.raises(NoLibxlError) as caught:
        act(AutoToolstack(NOWHERE, without_libxl), str(file))
    assert str(caught.value) == f"{what.replace('FILE', str(file))} there is no libxenlight"
    assert (caught.value.hint, caught.value.detail) == ("install xen-utils", "looked")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "there is no such file"), (b"#!/bin/sh\n" * 20, "that is no saved domain")]
)
def test_a_file_that_nobody_can_restore_comes_before_the_want_of_libxl(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "f"
    if content is not None:
        path.write_bytes(content)
    for toolstack in (AutoToolstack(NOWHERE, without_libxl), without_libxl()):
        with pytest.raises(XentoolError, match=why):
            toolstack.restore(str(path))


class WithoutXen:
    """A machine that runs no Xen."""

    @property
    def hypercalls(self) -> None:
        raise HostError("use", "Xen on this machine", "there is none")

    @property
    def release(self) -> None:
        return self.hypercalls


def test_a_plan_for_libxl_is_its_record_and_takes_neither_libxl_nor_xen() -> None:
    def never() -> Toolstack:
        raise AssertionError("a plan asks no libxl")

    def no_library(_release: object) -> Library:
        raise AssertionError("a plan takes no library")

    auto = AutoToolstack(WithoutXen(), never)  # type: ignore[arg-type]
    libxl = LibxlToolstack(WithoutXen(), no_library)  # type: ignore[arg-type]
    for toolstack, why in ((auto, 'type="hvm"'), (libxl, "")):
        plan = toolstack.plan(hvm())
        assert isinstance(plan, RecordPlan)
        assert plan.record["c_info"]["type"] == "hvm"  # type: ignore[index]
        assert plan.why == why


def test_a_plan_for_libxl_too_refuses_what_libxl_would_leave_out() -> None:
    held = hvm().replace(vifs=(parse_vif("bridge=x,lock").replace(devid=2),))
    toolstack = AutoToolstack(WithoutXen(), lambda: pytest.fail("a plan asks no libxl"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="vif 2: libxl holds no interface") as caught:
        toolstack.plan(held)
    assert "leave out lock and ips" in caught.value.hint
    with pytest.raises(ConfigError, match="libxl holds no interface"):
        plan_vif(NOWHERE, "web", ["bridge=x", "lock"])


def test_no_disk_of_several_writers_becomes_one_of_a_single_writer() -> None:
    shared = hvm().replace(disks=(parse_disk("/dev/vg/x,raw,xvda,w!"),))
    toolstack = AutoToolstack(WithoutXen(), without_libxl)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="disk xvda: libxl gives a disk to one writer at a time") as caught:
        toolstack.plan(shared)
    assert "write access=w" in caught.value.hint
    for plug in (plan_disk, lambda host, *words: attach_disk(host, None, *words)):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="one writer at a time"):
            plug(NOWHERE, "web", ["/dev/vg/x,raw,xvda,w!"])


@pytest.mark.parametrize(
    "act", [lambda native: native.save(DOMID, "/f"), lambda native: native.restore("/f")]
)
def test_native_alone_says_where_to_turn(act: Callable[[Toolstack], object]) -> None:
    with pytest.raises(UnsupportedError, match="the native toolstack does not do that") as caught:
        act(NativeToolstack(NOWHERE))
    assert "--toolstack libxl" in caught.value.hint  # which holds where $XENTOOL_TOOLSTACK chose native


def test_of_what_a_killed_create_left_too_libxl_takes_away_what_native_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_host: Host, domid: DomId, _uuid: str) -> None:
        raise UnsupportedError("destroy domain", domid, "it is an HVM guest, with a QEMU")

    monkeypatch.setattr("xentool.domain.remove.remove_domain", refuse)
    world.toolstack._take_away(NOWHERE, DOMID, "a-uuid")
    assert world.libxl.calls == [("destroy", (DOMID,), {})]
    assert world.said == ["toolstack libxl: it is an HVM guest, with a QEMU"]


def test_closing_closes_libxl_if_it_was_opened(world: World) -> None:
    world.toolstack.close()
    assert world.libxl.calls == []
    world.toolstack.save(DOMID, "/file")
    world.toolstack.close()
    assert [operation for operation, _, _ in world.libxl.calls] == ["save", "close"]
