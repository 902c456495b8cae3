"""Lists of devices: what toolstacks recorded, with the live figures of guests that write anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.host import Host
from xentool.domain.paths import Paths
from xentool.errors import NotFoundError
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.server import Server
from xentool.toolstack import devicelists
from xentool.toolstack.devicelists import MAX_FIGURE, channel_views, disk_views, vif_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.store.codec import Message

MAC = "00:16:3E:0A:0B:0C"


class CountingClient(StoreClient):
    exchanges = 0

    def exchange(self, tx_id: int, requests: list[tuple[int, bytes]]) -> list[Message]:
        self.exchanges += 1
        return super().exchange(tx_id, requests)

    def is_introduced(self, domid: int) -> bool:
        return domid in (3, 5)


@pytest.fixture
def store() -> CountingClient:
    client = CountingClient(transport=LocalTransport(Server().connect()))
    for domid in (3, 5):
        client.write(f"/local/domain/{domid}/name", f"guest{domid}")
        client.write(f"/local/domain/{domid}/vm", f"/vm/{domid}")
        client.write(f"/libxl/{domid}/device", "")
    return client


@pytest.fixture
def host(store: StoreClient) -> Host:
    def nothing() -> None:
        raise AssertionError("lists ask the store alone")

    return Host(nothing, lambda: store, Paths.under("/nowhere"), nothing)  # type: ignore[arg-type]


def plug(store: StoreClient, kind: str, domid: int, devid: int, **record: str) -> str:
    top = f"/libxl/{domid}/device/{kind}/{devid}"
    back = f"/local/domain/0/backend/{kind}/{domid}/{devid}"
    store.write(f"{top}/backend", back)
    for name, value in record.items():
        store.write(f"{top}/{name.replace('_', '-')}", value)
    return f"/local/domain/{domid}/device/{kind}/{devid}"


def write(store: StoreClient, front: str, **values: str | bytes) -> None:
    for name, value in values.items():
        store.write(f"{front}/{name.replace('_', '-')}", value)


def test_a_vif_is_what_was_recorded_and_its_figures_what_the_guest_says(
    host: Host, store: CountingClient
) -> None:
    front = plug(store, "vif", 3, 0, mac=MAC, bridge="xenbr0")
    write(
        store, front, state="4", event_channel="12", tx_ring_ref="8", rx_ring_ref="9", mac="11:22:33:44:55:66"
    )
    (vif,) = vif_views(host, ["guest3"])
    assert (vif.domid, vif.devid, vif.backend, vif.mac) == (3, 0, 0, MAC.lower())
    assert (vif.state, vif.event_channel, vif.tx_ring_ref, vif.rx_ring_ref) == (4, 12, 8, 9)
    assert (vif.backend_path, vif.record["bridge"]) == ("/local/domain/0/backend/vif/3/0", "xenbr0")


def test_what_a_guest_invents_or_takes_away_is_no_device_and_hides_none(
    host: Host, store: CountingClient
) -> None:
    plug(store, "vif", 3, 0, mac=MAC)
    write(store, "/local/domain/3/device/vif/1", backend="/local/domain/0/backend/vif/5/0", state="4")
    (vif,) = vif_views(host, ["3"])
    figures = (vif.state, vif.event_channel, vif.tx_ring_ref, vif.rx_ring_ref)
    assert (vif.mac, figures) == (MAC.lower(), (-1, -1, -1, -1))


@pytest.mark.parametrize(
    "path",
    ["/local/domain/0/backend/vif/5/0", "/local/domain/3/x/y/z/3/0", "x", "/local/domain/00/backend/vif/3/0"],
)  # fmt: skip
def test_a_backend_that_cannot_be_is_none(host: Host, store: CountingClient, path: str) -> None:
    plug(store, "vif", 3, 0)
    store.write("/libxl/3/device/vif/0/backend", path)
    (vif,) = vif_views(host, ["3"])
    assert (vif.backend, vif.backend_path, vif.mac) == (-1, path, "00:00:00:00:00:00")


@given(value=st.binary(max_size=60))
def test_a_figure_is_a_number_or_minus_one(value: bytes) -> None:
    number = devicelists._figure(value)
    assert -1 <= number <= MAX_FIGURE
    assert number == -1 or number == int(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"0", 0), (b"2147483647", MAX_FIGURE), (b"2147483648", -1), (b"-5", -1), (b"", -1), (b"4 ", -1),
     (b"9" * 4000, -1), (b"\xd9\xa3", -1), (None, -1)],
)  # fmt: skip
def test_figures(value: bytes | None, number: int) -> None:
    assert devicelists._figure(value) == number


def test_disks_have_their_names_and_what_is_behind_them(host: Host, store: CountingClient) -> None:
    plug(store, "vbd", 3, 51712, dev="xvda", params="/img/a:b.raw", type="phy", mode="w")
    plug(store, "vbd", 3, 51728, params="qcow2:/img/b.qcow2", mode="r")
    plug(store, "vbd", 3, 51760, dev="xvdd", params="/img/cluster.raw", mode="w!")
    plug(store, "vbd", 3, 51744, dev="xvdc", params="/run/x/empty-cdrom", mode="r", device_type="cdrom")
    disks = disk_views(host, ["3"])
    assert [(disk.vdev, disk.target, disk.read_only, disk.is_cdrom) for disk in disks] == [
        ("xvda", "/img/a:b.raw", False, False),
        ("xvdb", "/img/b.qcow2", True, False),
        ("xvdd", "/img/cluster.raw", False, False),
        ("xvdc", "", True, True),
    ]


def test_channels_are_the_consoles_that_have_names(host: Host, store: CountingClient) -> None:
    store.write("/libxl/3/device/console/0/backend", "/local/domain/0/backend/console/3/0")
    for number, tty in ((1, b"/dev/pts/7"), (2, b"/etc/shadow"), (3, b"/dev/pts/7\x1b[2J")):
        front = plug(store, "console", 3, number, name=f"org.{number}", connection="pty")
        write(store, front, port="4", tty=tty)
    plug(store, "console", 3, 4, name="org.4", connection="socket", path="/run/agent")
    channels = channel_views(host, ["3"])
    assert [(each.devid, each.name, each.path) for each in channels] == [
        (0, "org.1", "/dev/pts/7"),
        (1, "org.2", "/NO-SUCH-PATH"),
        (2, "org.3", "/NO-SUCH-PATH"),
        (3, "org.4", "/run/agent"),
    ]
    assert channels[0].event_channel == 4


def names(views: Sequence[object]) -> list[tuple[int, int]]:
    return [(view.domid, view.devid) for view in views]  # type: ignore[attr-defined]


def test_many_domains_take_as_many_exchanges_as_one(host: Host, store: CountingClient) -> None:
    for domid in (3, 5):
        for devid in range(4):
            plug(store, "vif", domid, devid)
    store.exchanges = 0
    assert len(vif_views(host, ["3"])) == 4
    one = store.exchanges
    assert names(vif_views(host, ["5", "3"])) == [(d, n) for d in (5, 3) for n in range(4)]
    resolving = 1
    assert store.exchanges - one == one + resolving
    assert one <= 3 + resolving


def test_one_unknown_domain_spoils_the_list(host: Host) -> None:
    with pytest.raises(NotFoundError):
        vif_views(host, ["3", "4"])
