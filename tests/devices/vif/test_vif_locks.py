"""Locks that others have taken away, or left behind."""

from __future__ import annotations

import pytest

from tests.devices.vif.fakedom0 import GUEST, OTHER, FakeHost
from xentool.devices.vif.locks import locked_devids, locked_names, relock, unlock
from xentool.errors import HostError
from xentool.units import DomId

MAC = "00:16:3e:01:02:03"


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def record(host: FakeHost, devid: int, domid: int = GUEST, backend: int = 0, **nodes: str) -> None:
    back = f"/local/domain/{backend}/backend/vif/{domid}/{devid}"
    for name, value in {
        "backend": back,
        "mac": MAC,
        "script": "/etc/xen/scripts/vif-bridge",
        **nodes,
    }.items():
        host.store.write(f"/libxl/{domid}/device/vif/{devid}/{name.replace('_', '-')}", value)


def test_which_are_locked_is_what_is_on_record(host: FakeHost) -> None:
    assert locked_devids(host.store, DomId(GUEST)) == []
    record(host, 10, lock="10.0.0.5")
    record(host, 9)
    record(host, 2, lock="", backend=3)
    record(host, 1, domid=OTHER, lock="")
    for none in ("x", "007", "12345678901"):
        host.store.write(f"/libxl/{GUEST}/device/vif/{none}/lock", "")
    assert locked_devids(host.store, DomId(GUEST)) == [2, 10]


def test_what_is_on_record_is_guarded_again(host: FakeHost) -> None:
    record(host, 0, lock="10.0.0.5 2001:db8::5")
    record(host, 1, lock="", script="/etc/xen/scripts/vif-route")
    record(host, 2, lock="", run_script="1", vifname="web2")
    record(host, 3)
    for devid, name in enumerate(("vif7.0", "vif7.1", "web2", "vif7.3")):
        host.vif_came(devid, name)
    host.dom0.firewall.there = {"vif7.1": ()}
    assert relock(host) == (["vif7.0", "web2"], [])
    assert host.done == [
        f"guard vif7.0 {MAC} 10.0.0.5+2001:db8::5 bridged",
        f"guard vif7.1 {MAC}  alone",
        f"guard web2 {MAC}  alone",
    ]


def test_what_others_left_behind_goes(host: FakeHost) -> None:
    record(host, 0, lock="")
    host.vif_came(0)
    record(host, 1, vifname="bare")  # it has the name that a locked one had before
    record(host, 2, lock="", vifname="coming")
    host.vif_came(1, "bare")
    host.dom0.firewall.there = {"vif7.0": (), "bare": (), "gone": ("10.0.0.1",), "coming": ()}
    assert relock(host) == ([], ["bare", "gone"])
    assert host.done[1:] == ["unguard bare", "unguard gone"]


def test_one_that_was_renamed_is_guarded_by_its_name_of_now(host: FakeHost) -> None:
    record(host, 0, lock="", vifname="web0")
    host.vif_came(0, "renamed")
    host.dom0.firewall.there = {"web0": ()}
    assert relock(host) == (["renamed"], [])


def test_what_is_not_ours_to_guard(host: FakeHost) -> None:
    record(host, 0, domid=OTHER, backend=3, lock="")
    host.links.vifs[OTHER, 0] = "vif8.0"
    host.store.write(f"/libxl/{OTHER}/device/vif/1/lock", "")  # and nothing else
    host.store.write("/libxl/nobody/device/vif/0/lock", "")
    assert relock(host) == ([], [])
    assert host.done == []


def test_without_a_firewall(host: FakeHost) -> None:
    host.dom0.firewall.works = False
    assert relock(host) == ([], [])
    record(host, 0, lock="")
    with pytest.raises(HostError, match="nftables"):
        relock(host)


def test_locks_go_with_interfaces_that_another_takes_away(host: FakeHost) -> None:
    record(host, 0, lock="10.0.0.5")
    record(host, 1)
    record(host, 2, lock="", vifname="web2")
    assert locked_names(host, DomId(GUEST)) == ["vif7.0", "web2", "vif7.2"]
    assert locked_names(host, DomId(GUEST), 0) == ["vif7.0"]
    assert locked_names(host, DomId(GUEST), 1) == locked_names(host, DomId(OTHER)) == []
    unlock(host, locked_names(host, DomId(GUEST), 2))
    assert host.done == ["unguard web2", "unguard vif7.2"]
