"""Guests that spoil their nodes or keep their devices: the toolstack does with them what it does with any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.mocked import MockedHost
from xentool.devices import unplug
from xentool.domain.create import create_domain
from xentool.errors import TimedOutError
from xentool.toolstack.native import NativeToolstack
from xentool.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

MAC = "00:16:3e:01:02:03"


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock") / "host") as host:
        yield host


@pytest.fixture(autouse=True)
def nothing_left(mocked: MockedHost) -> Iterator[None]:
    before = _everything(mocked)
    yield
    assert _everything(mocked) == before


def _everything(mocked: MockedHost) -> object:
    dom0 = mocked.dom0
    return mocked.state(), dom0.links.all(), dict(dom0.blocks.loops()), dom0.firewall.guards()


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(MIB)
    return str(path)


def _attach(toolstack: NativeToolstack, name: str, image: str) -> None:
    toolstack.attach_vif(name, ["bridge=xenbr0", f"mac={MAC}", "ip=192.0.2.7"])
    toolstack.attach_disk(name, [f"{image},raw,xvdb,w"])


def _listed(toolstack: NativeToolstack, name: str) -> object:
    """What is listed of its devices but for what the drivers say, and the domain's number."""
    (vif,), (disk,) = toolstack.vifs([name]), toolstack.disks([name])
    records = [
        {
            key: value
            for key, value in view.record.items()
            if key not in ("frontend", "backend", "frontend-id")
        }
        for view in (vif, disk)
    ]
    return vif.devid, vif.mac, vif.backend, disk.devid, disk.vdev, disk.target, disk.backend, records


@pytest.mark.parametrize("how", ["rewrite", "delete"])
def test_spoiled_nodes_change_nothing(mocked: MockedHost, image: str, how: str) -> None:
    """Listed, detached and destroyed: as with a guest that does nothing of the kind.

    The guest starts when its devices are there: else it might spoil them before their backends are ready,
    and an attach fails.
    """
    toolstack = NativeToolstack(mocked.host())
    for detach_first in (True, False):
        seen = []
        for cmdline in ("", f"mock.hostile-devices={how}"):
            domid = create_domain(mocked.host(), mocked.config("guest", cmdline=cmdline), paused=True)
            _attach(toolstack, "guest", image)
            toolstack.unpause(domid)
            front = f"/local/domain/{domid}/device/vif/0"
            if cmdline:
                _await(mocked, f"{front}/backend", b"/local/domain/0" if how == "rewrite" else None)
            else:
                _await(mocked, f"{front}/state", b"4")
            seen.append(_listed(toolstack, "guest"))
            if detach_first:
                toolstack.detach_vif("guest", "0")
                toolstack.detach_disk("guest", "xvdb")
                assert (*toolstack.vifs(["guest"]), *toolstack.disks(["guest"])) == ()
                assert dict(mocked.dom0.blocks.loops()) == {}
            mocked.destroy(domid)
        assert seen[0] == seen[1]


def test_a_guest_that_keeps_its_devices(
    mocked: MockedHost, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolstack = NativeToolstack(mocked.host())
    domid = create_domain(mocked.host(), mocked.config("guest", cmdline="mock.ignore-unplug"))
    _attach(toolstack, "guest", image)
    _await(mocked, f"/local/domain/0/backend/vif/{domid}/0/state", b"4")
    with monkeypatch.context() as short:
        short.setattr(unplug, "CLOSE_SECONDS", 0.2)
        with pytest.raises(TimedOutError, match="did not let go"):
            toolstack.detach_vif("guest", "0")
    assert len(toolstack.vifs(["guest"])) == 1
    toolstack.detach_vif("guest", "0", force=True)
    assert mocked.dom0.links.find(f"vif{domid}.0") is None
    toolstack.detach_disk("guest", "xvdb", force=True)
    mocked.destroy(domid)


def _await(mocked: MockedHost, path: str, value: bytes | None) -> None:
    with mocked.open_store() as store, store.watch(path) as watch:
        while store.try_read(path) != value:
            assert watch.next(90) is not None
