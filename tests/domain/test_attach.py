"""Wherever plugging or unplugging a disk is cut short, by ^C or kill -9, nothing is left in the end."""

from __future__ import annotations

import json
import os
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mocked import MockedHost
from xentool.devices.nodes import device_nodes
from xentool.devices.vbd.device import disk_device
from xentool.devices.vbd.spec import parse_disk
from xentool.domain.create import create_domain
from xentool.domain.host import Host
from xentool.domain.lifecycle import destroy
from xentool.domain.recover import finish_undone
from xentool.domain.userdata import LOCK_NAME
from xentool.errors import HostError, InUseError, XentoolError
from xentool.mockhost.life import attach, store_socket
from xentool.store.client import StoreClient
from xentool.store.nodes import commit_nodes
from xentool.toolstack import devices as plugging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xentool.units import DomId

    Action = Callable[[Host, str], object]


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock") / "host") as host:
        yield host


@pytest.fixture
def domid(mocked: MockedHost) -> Iterator[DomId]:
    before = everything(mocked)
    domid = create_domain(mocked.host(), mocked.config("guest"))
    yield domid
    mocked.destroy(domid)
    assert everything(mocked) == before


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    return str(path)


def everything(mocked: MockedHost) -> dict[str, object]:
    """All but libxl's lock files: one that nobody holds does no harm, and goes with the domain."""
    state = mocked.state()
    files = state["userdata"]
    assert isinstance(files, list)
    return {
        **state,
        "userdata": [name for name in files if not name.endswith(LOCK_NAME)],
        "loops": mocked.dom0.blocks.loops(),
        "links": mocked.dom0.links.all(),
    }


class CutStore(StoreClient):
    """A client in whose `at`-th exchange something happens."""

    at = calls = 0

    def happen(self) -> None:
        raise KeyboardInterrupt

    def exchange(self, tx_id: int, requests: list[tuple[int, bytes]]) -> list[Any]:
        self.calls += 1
        if self.calls == self.at:
            self.happen()
        return super().exchange(tx_id, requests)


class KilledStore(CutStore):
    def happen(self) -> None:
        os._exit(9)


def cut(mocked: MockedHost, at: int, act: Action, domain: str) -> bool:
    """Whether ^C came in the `at`-th exchange."""
    with CutStore(store_socket(mocked.directory)) as store:
        store.at = at
        try:
            act(mocked.host(store=store), domain)
        except KeyboardInterrupt:
            return True
    return False


def killed(mocked: MockedHost, at: int, act: Action, domain: str) -> bool:
    """Whether a process of its own was killed in the `at`-th exchange."""
    pid = os.fork()
    if pid == 0:
        try:
            store = KilledStore(store_socket(mocked.directory))
            store.at = at
            act(mocked.host(store=store), domain)
        except BaseException:  # noqa: BLE001 - told by the exit code
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


def attached(image: str) -> Action:
    return lambda host, domain: plugging.attach_disk(host, domain, [f"{image},raw,xvdb,rw"])


def test_every_exchange_of_an_attach_may_be_interrupted(mocked: MockedHost, domid: DomId, image: str) -> None:
    before = everything(mocked)
    at = 1
    while cut(mocked, at, attached(image), str(domid)):
        assert everything(mocked) == before, f"exchange {at} leaves something"
        at += 1
    assert at > 8


def test_an_attach_may_be_killed_anywhere(mocked: MockedHost, domid: DomId, image: str) -> None:
    before = everything(mocked)
    at = 1
    while killed(mocked, at, attached(image), str(domid)):
        _, failed = finish_undone(mocked.host())
        assert failed == []
        assert everything(mocked) == before, f"exchange {at} leaves something"
        at += 1
    assert at > 8


@pytest.mark.parametrize("how", [cut, killed])
def test_a_detach_that_was_cut_short_can_be_done_again(
    mocked: MockedHost, domid: DomId, image: str, how: Callable[[MockedHost, int, Action, str], bool]
) -> None:
    before = everything(mocked)

    def detach(host: Host, domain: str) -> None:
        plugging.detach_disk(host, domain, "xvdb")

    at = 1
    while True:
        attached(image)(mocked.host(), str(domid))
        there = how(mocked, at, detach, str(domid))
        if there and everything(mocked) != before:
            detach(mocked.host(), str(domid))
        assert everything(mocked) == before, f"exchange {at} leaves something"
        if not there:
            break
        at += 1
    assert at > 8


@pytest.mark.parametrize("fails", ["add", "remove"])
def test_what_a_script_cannot_undo_is_no_device_of_the_domain_any_more(
    mocked: MockedHost, domid: DomId, tmp_path: Path, fails: str
) -> None:
    """Its nodes are gone, whatever the script says: libxl's record must not tell of it either."""
    script = tmp_path / "block-bad"
    script.write_text(f'#!/bin/sh\n[ "$1" = remove ] || [ "$1" = {fails} ] || exit 0\nexit 3\n')
    script.chmod(0o755)
    before = everything(mocked)
    (record,) = Path(mocked.paths.userdata).glob(f"userdata-d.{domid}.*")
    content = json.loads(record.read_bytes().rstrip(b"\0"))
    words = [f"script={script},vdev=xvdb,target=x"]
    if fails == "add":
        with pytest.raises(HostError, match="add failed"):
            plugging.attach_disk(mocked.host(), str(domid), words)
        finish_undone(mocked.host())
    else:
        plugging.attach_disk(mocked.host(), str(domid), words)
        assert json.loads(record.read_bytes().rstrip(b"\0")) != content
        with pytest.raises(HostError, match="remove failed"):
            plugging.detach_disk(mocked.host(), str(domid), "xvdb")
    assert json.loads(record.read_bytes().rstrip(b"\0")) == content
    assert everything(mocked) == before


class MeanwhileStore(CutStore):
    """In whose `at`-th exchange somebody else begins something, which may have to wait for us."""

    other: Thread

    def happen(self) -> None:
        self.other.start()
        self.other.join(0.05)


def test_a_number_that_another_takes_meanwhile_stays_anothers(
    mocked: MockedHost, domid: DomId, image: str, tmp_path: Path
) -> None:
    """Another that takes no lock, just before our nodes are committed: what it plugged is left alone."""
    theirs = tmp_path / "theirs.img"
    theirs.write_bytes(bytes(1 << 20))
    disk = disk_device(parse_disk(f"{theirs},raw,xvdb,rw"), "/nonexistent")
    address = disk.address(domid)
    refused = 0

    def take() -> None:
        if not mocked.store.exists(address.record):
            commit_nodes(mocked.store, device_nodes(disk, address))

    for at in range(1, 30):
        with MeanwhileStore(store_socket(mocked.directory)) as store:
            store.at = at
            store.other = Thread(target=take)
            try:
                attached(image)(mocked.host(store=store), str(domid))
            except InUseError:
                refused += 1
                assert mocked.store.read_text(f"{address.record}/params") == str(theirs)
        if mocked.store.exists(address.record):
            plugging.detach_disk(mocked.host(), str(domid), "xvdb", force=True)
    assert refused > 4


@pytest.mark.parametrize("first", ["attach", "destroy"])
def test_a_domain_that_is_destroyed_while_a_disk_is_plugged(
    mocked: MockedHost, image: str, first: str
) -> None:
    before = everything(mocked)
    at = 0
    while True:
        at += 1
        domid = create_domain(mocked.host(), mocked.config("guest"))

        def act(which: str, host: Host, domid: DomId = domid) -> None:
            with suppress(XentoolError):  # whoever comes too late
                if which == "attach":
                    attached(image)(host, str(domid))
                else:
                    destroy(host, domid)

        with (
            closing(attach(mocked.directory)) as hypervisor,
            mocked.open_store() as others_store,
            MeanwhileStore(store_socket(mocked.directory)) as store,
        ):
            other = mocked.host(hypervisor=hypervisor, store=others_store)
            store.at = at
            store.other = Thread(target=act, args=("destroy" if first == "attach" else "attach", other))
            act(first, mocked.host(store=store))
            was_other = store.other.ident is not None
            if was_other:
                store.other.join()
        act("destroy", mocked.host())
        assert everything(mocked) == before, f"exchange {at} leaves something"
        if not was_other:
            break
    assert at > 8


@pytest.mark.parametrize("how", [cut, killed])
def test_a_create_with_a_disk_may_be_cut_short_anywhere(
    mocked: MockedHost, image: str, how: Callable[[MockedHost, int, Action, str], bool]
) -> None:
    before = everything(mocked)
    config = mocked.config("cut", disks=(parse_disk(f"{image},raw,xvda,rw"),))

    def create(host: Host, _domain: str) -> None:
        with closing(attach(mocked.directory)) as hypervisor:  # a process's own
            create_domain(
                Host(lambda: hypervisor, lambda: host.store, mocked.paths, lambda: host.dom0), config
            )

    at = 1
    while how(mocked, at, create, ""):
        assert finish_undone(mocked.host())[1] == []
        assert everything(mocked) == before, f"exchange {at} leaves something"
        at += 1
    (domid,) = set(everything(mocked)["domains"]) - set(before["domains"])  # type: ignore[call-overload]
    mocked.destroy(domid)
    assert everything(mocked) == before
    assert at > 8
