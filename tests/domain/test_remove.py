"""Destroying goes through to the end whatever is in the way, and touches nothing that is not ours."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mocked import MockedHost
from xentool.domain.create import create_domain
from xentool.domain.journal import UNNAMED_SECONDS, Journal
from xentool.domain.lifecycle import destroy
from xentool.domain.names import resolve
from xentool.domain.recover import finish_undone
from xentool.errors import HostError, NotFoundError, UnsupportedError, XentoolError
from xentool.hypervisor.calls import Hypercalls
from xentool.toolstack.native import NativeToolstack
from xentool.units import DomId, uuid_text


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock")) as host:
        yield host


def made(mocked: MockedHost, name: str) -> DomId:
    return create_domain(mocked.host(), mocked.config(name), paused=True)


def test_a_file_in_the_way_leaves_no_nameless_domain(mocked: MockedHost) -> None:
    domid = made(mocked, "obstructed")
    obstacle = Path(f"{mocked.paths.domid_history}.lock")
    obstacle.mkdir()
    try:
        with pytest.raises(HostError, match=r"Is a directory \(.*domid-history.lock\)"):
            mocked.destroy(domid)
    finally:
        obstacle.rmdir()
    assert domid not in [info.domid for info in mocked.host().hypercalls.domain_infos()]
    assert f"/libxl/{domid}" not in mocked.store.tree("/")


def test_an_unfinished_userdata_file_goes_too(mocked: MockedHost) -> None:
    domid = made(mocked, "unsaved")
    (saved,) = Path(mocked.paths.userdata).glob(f"userdata-d.{domid}.*")
    (saved.parent / saved.name.replace("userdata-d", "userdata-n")).touch()
    mocked.destroy(domid)
    assert not list(saved.parent.glob(f"userdata-*.{domid}.*"))


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (["/libxl/{}/device/pci/0"], "devices of kind pci$"),
        (["/libxl/{}/device/9pfs/0", "/libxl/{}/device/vtpm/3"], "devices of kind 9pfs, vtpm$"),
        (
            ["/local/domain/0/device-model/{}", "/local/domain/{}/image/device-model-kill-uid"],
            "a QEMU without privileges$",
        ),
    ],
)
def test_what_we_cannot_take_away_is_left_whole(mocked: MockedHost, nodes: list[str], why: str) -> None:
    domid = made(mocked, "foreign")
    paths = [node.format(domid) for node in nodes]
    for path in paths:
        mocked.store.write(path, "")
    before = mocked.state()
    with pytest.raises(UnsupportedError, match=why) as caught:
        mocked.destroy(domid)
    assert "libxl" in caught.value.hint
    assert mocked.state() == before
    for path in paths:
        mocked.store.rm(path)
    mocked.destroy(domid)


def test_one_bad_entry_keeps_no_other_back(mocked: MockedHost) -> None:
    folder = Path(mocked.paths.run) / "journal"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.1.create").write_text("creating x\n")
    (folder / "b.1.create").write_text("creating x\nuuid nonsense\n")
    domid = made(mocked, "orphan")
    uuid = next(info.handle.hex() for info in mocked.host().hypercalls.domain_infos() if info.domid == domid)
    (folder / "c.1.create").write_text(f"uuid {uuid}\ncreating orphan\ndomid {domid}\n")
    undone, failed = finish_undone(mocked.host())
    assert undone == [uuid]
    assert len(failed) == 2
    assert all("no entry of ours" in sentence for sentence in failed)
    for name in ("a", "b"):
        (folder / f"{name}.1.create").unlink()


def test_one_that_dies_with_the_same_uuid_is_not_the_one_to_undo(mocked: MockedHost) -> None:
    """It was destroyed, saved say, and was to be made again: the new one has no number on record yet."""
    xen = mocked.host().hypercalls
    before = mocked.state()
    old = made(mocked, "again")
    uuid = xen.domain_info(old).handle
    with mocked.hypervisor.map_grants(old, array("I", [0])):
        mocked.destroy(old)
        new = xen.create_domain(
            uuid, max_vcpus=1, max_evtchn_port=63, max_grant_frames=4, max_maptrack_frames=4
        )
        folder = Path(mocked.paths.run) / "journal"
        (folder / "killed.1.create").write_text(f"uuid {uuid.hex()}\ncreating again\n")
        assert finish_undone(mocked.host()) == ([uuid.hex()], [])
        assert [info.domid for info in xen.domain_infos()] == [0, old]
        assert new not in (0, old)
    assert mocked.state() == before


def test_once_it_is_destroyed_its_uuid_may_be_anothers(
    mocked: MockedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, domid = mocked.host(), made(mocked, "leaving")
    before = {info.domid for info in host.hypercalls.domain_infos()} - {domid}
    uuid = uuid_text(host.hypercalls.domain_info(domid).handle)
    really = Hypercalls.destroy_domain

    def destroy_and_make_another(hypercalls: Hypercalls, domid: DomId) -> None:
        monkeypatch.undo()
        really(hypercalls, domid)
        create_domain(host, mocked.config("another", uuid=uuid), paused=True)
        mocked.store.write(f"/local/domain/{domid}/console/tty", "/dev/pts/7")  # xenconsoled's last word

    monkeypatch.setattr(Hypercalls, "destroy_domain", destroy_and_make_another)
    mocked.destroy(domid)
    assert mocked.store.read(f"/vm/{uuid}/name") == b"another"
    assert not mocked.store.exists(f"/local/domain/{domid}")
    (another,) = {info.domid for info in host.hypercalls.domain_infos()} - before
    mocked.destroy(DomId(another))
    assert not mocked.store.exists(f"/vm/{uuid}")


def test_what_is_left_of_a_destroyed_domain_is_destroyed_again_without_its_successor(
    mocked: MockedHost,
) -> None:
    """By a user who sees it in the list; by an entry of the journal, also when Xen is done with it. What is
    called by the uuid alone has become the new one's."""
    before, folder = mocked.state(), Path(mocked.paths.run) / "journal"
    old = made(mocked, "again")
    uuid = uuid_text(mocked.host().hypercalls.domain_info(old).handle)
    entry = f"uuid {uuid}\ncreating again\ndomid {old}\n"
    with mocked.hypervisor.map_grants(old, array("I", [0])):
        mocked.destroy(old)
        new = create_domain(mocked.host(), mocked.config("again", uuid=uuid), paused=True)
        whole = mocked.store.tree(f"/vm/{uuid}")
        mocked.destroy(old)
        assert mocked.store.tree(f"/vm/{uuid}") == whole
        (folder / "killed.1.create").write_text(entry)
        assert finish_undone(mocked.host()) == ([uuid], [])
        assert mocked.store.tree(f"/vm/{uuid}") == whole
    (folder / "killed.1.create").write_text(entry)
    assert finish_undone(mocked.host()) == ([uuid], [])
    assert mocked.store.tree(f"/vm/{uuid}") == whole
    mocked.destroy(new)
    assert mocked.state() == before


def test_an_entry_without_a_name_is_swept_only_when_old(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.begin("u").close()
    unnamed = tmp_path / "journal" / ".u.1"
    unnamed.touch()
    assert journal.is_empty()
    assert list(journal.abandoned()) == []
    assert unnamed.exists()
    old = unnamed.stat().st_mtime - UNNAMED_SECONDS - 1
    os.utime(unnamed, (old, old))
    assert list(journal.abandoned()) == []
    assert not unnamed.exists()


@pytest.mark.parametrize("number", ["32752", "70000", "99999", "1" * 5000])
def test_numbers_that_no_domain_can_have(mocked: MockedHost, number: str) -> None:
    with pytest.raises(NotFoundError):
        resolve(mocked.host(), number)


def test_domain_0_is_refused(mocked: MockedHost) -> None:
    with pytest.raises(XentoolError, match="host's own domain"):
        destroy(mocked.host(), DomId(0))


def test_a_host_without_pools_has_pool_0(mocked: MockedHost) -> None:
    assert NativeToolstack(mocked.host()).cpupool_names() == {0: "Pool-0"}
