"""What any toolstack does with the devices of domains that run: whole or not there, and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.toolstack.conftest import changed
from tests.contract.toolstack.hosts import BRIDGE, image
from xentool.devices.vbd.spec import parse_disk
from xentool.errors import ConfigError, InUseError, NotFoundError, XentoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.toolstack.hosts import Place
    from xentool.toolstack.port import Toolstack
    from xentool.units import DomId

MAC = "00:16:3e:11:22:33"
GUEST = "ct-guest"


@pytest.fixture
def vif(place: Place, toolstack: Toolstack, guest: DomId) -> Iterator[int]:
    """The number of a network interface of the guest."""
    before = place.state()
    domid, devid = toolstack.attach_vif(GUEST, [f"bridge={BRIDGE}", f"mac={MAC}"])
    assert domid == guest
    yield devid
    if toolstack.vifs([GUEST]):
        toolstack.detach_vif(GUEST, str(devid), force=True)
    assert changed(place, before) == {}  # what netback made goes in its own time


@pytest.fixture
def disk(place: Place, guest: DomId) -> Iterator[str]:
    """The target of the guest's xvdb."""
    before = place.state()
    path = image(place, "xvdb.img")
    assert place.toolstack.attach_disk(GUEST, [f"{path},raw,xvdb,w"]) == (guest, 51728)
    yield path
    if place.toolstack.disks([GUEST]):
        place.toolstack.detach_disk(GUEST, "xvdb", force=True)
    assert changed(place, before) == {}  # as does the loop device


def test_a_vif_is_listed_as_it_was_attached_and_its_number_is_taken(
    toolstack: Toolstack, guest: DomId, vif: int
) -> None:
    (view,) = toolstack.vifs([GUEST])
    assert (view.domid, view.devid, view.backend, view.mac) == (guest, vif, 0, MAC)
    assert view.backend_path == f"/local/domain/0/backend/vif/{guest}/{vif}"
    assert view.record["bridge"] == BRIDGE
    assert (view.tx_ring_ref, view.event_channel) == (-1, -1)  # the guest has done nothing yet
    assert list(toolstack.vifs([str(guest)])[0].record) == list(view.record)
    assert list(toolstack.locked_vifs(guest)) == []  # one that is takes a firewall, and is native's
    with pytest.raises(InUseError):
        toolstack.attach_vif(GUEST, [f"bridge={BRIDGE}", f"devid={vif}"])
    assert toolstack.detach_vif(GUEST, str(vif), force=True) == (guest, vif)
    assert toolstack.vifs([GUEST]) == []


@pytest.mark.once
def test_a_vif_is_detached_by_its_mac(toolstack: Toolstack, guest: DomId, vif: int) -> None:
    assert toolstack.detach_vif(GUEST, MAC.upper(), force=True) == (guest, vif)
    assert toolstack.vifs([GUEST]) == []
    for word in (MAC, str(vif)):
        with pytest.raises(NotFoundError, match="nor any other"):
            toolstack.detach_vif(GUEST, word)


def test_a_disk_is_listed_as_it_was_attached_and_its_name_is_taken(
    place: Place, guest: DomId, disk: str
) -> None:
    toolstack = place.toolstack
    (view,) = toolstack.disks([GUEST])
    assert (view.domid, view.devid, view.backend, view.vdev, view.target) == (guest, 51728, 0, "xvdb", disk)
    assert (view.read_only, view.is_cdrom, view.ring_ref) == (False, False, -1)
    with pytest.raises(InUseError):
        toolstack.attach_disk(GUEST, [f"{image(place, 'second.img')},raw,xvdb,w"])
    with pytest.raises(NotFoundError, match="xvdb"):
        toolstack.detach_disk(GUEST, "xvdc")
    assert toolstack.detach_disk(GUEST, "xvdb", force=True) == (guest, 51728)
    assert toolstack.disks([GUEST]) == []


def test_what_cannot_be_attached_leaves_nothing(place: Place, guest: DomId) -> None:
    toolstack = place.toolstack
    before = place.state()
    with pytest.raises(XentoolError, match="ctsbr-none"):
        toolstack.attach_vif(GUEST, ["bridge=ctsbr-none"])
    with pytest.raises(XentoolError, match=r"missing\.img"):
        toolstack.attach_disk(GUEST, [f"{place.folder}/missing.img,raw,xvdd,w"])
    for attach, words in (
        (toolstack.attach_vif, ["mac=nonsense"]),
        (toolstack.attach_disk, ["vdev=nonsense"]),
    ):
        with pytest.raises(ConfigError):
            attach(GUEST, words)
    assert changed(place, before) == {}


def test_a_plan_says_what_would_be_written_and_writes_nothing(place: Place, guest: DomId) -> None:
    before = place.state()
    plan = place.toolstack.plan_vif(GUEST, [f"bridge={BRIDGE}"])
    assert (plan.title, plan.devid) == ("vif 0", 0)
    assert f"/libxl/{guest}/device/vif/0" in [path for path, _, _ in plan.nodes]
    plan = place.toolstack.plan_disk(GUEST, [f"{place.folder}/any.img,raw,xvdd,w"])
    assert plan.json["vdev"] == "xvdd"
    assert place.state() == before


def test_of_what_is_no_domain_every_operation_says_so(toolstack: Toolstack) -> None:
    acts: list[Callable[[str], object]] = [
        lambda domain: toolstack.vifs([domain]),
        lambda domain: toolstack.disks([domain]),
        lambda domain: toolstack.channels([domain]),
        lambda domain: toolstack.plan_vif(domain, []),
        lambda domain: toolstack.attach_vif(domain, []),
        lambda domain: toolstack.detach_vif(domain, "0"),
        lambda domain: toolstack.plan_disk(domain, ["/a,raw,xvdb,w"]),
        lambda domain: toolstack.attach_disk(domain, ["/a,raw,xvdb,w"]),
        lambda domain: toolstack.detach_disk(domain, "xvdb"),
        lambda domain: toolstack.plan_cd(domain, "xvdc", ""),
        lambda domain: toolstack.insert_cd(domain, "xvdc", ""),
    ]
    for act in acts:
        for domain in ("ct-nobody", "32000"):
            with pytest.raises(NotFoundError):
                act(domain)


@pytest.mark.once
def test_another_medium_in_a_drive(place: Place, make: Callable[..., DomId]) -> None:
    toolstack = place.toolstack
    make("ct-drive", disks=(parse_disk("vdev=xvdc,devtype=cdrom"),))
    (empty,) = toolstack.disks(["ct-drive"])
    assert (empty.vdev, empty.is_cdrom, empty.target) == ("xvdc", True, "")
    medium = image(place, "medium.iso")
    if place.name.startswith("libxl"):
        with pytest.raises(XentoolError, match="HVM guests alone"):
            toolstack.insert_cd("ct-drive", "xvdc", medium)
        return
    toolstack.insert_cd("ct-drive", "xvdc", medium)
    assert [disk.target for disk in toolstack.disks(["ct-drive"])] == [medium]
    toolstack.insert_cd("ct-drive", "xvdc", "")
    assert [disk.target for disk in toolstack.disks(["ct-drive"])] == [""]
