"""Vifs that a script ties to Domain-0's network: run as libxl runs it, and believed in nothing."""

from __future__ import annotations

import pytest

from tests.devices.vif.fakedom0 import GUEST, UUID, FakeHost
from xentool.devices.device import Address
from xentool.devices.vif.hotplug import VifHotplug, disconnect
from xentool.devices.vif.spec import parse_vif
from xentool.errors import HostError, NotFoundError
from xentool.units import DomId

MAC = "00:16:3e:01:02:03"
ADDRESS = Address(DomId(GUEST), "vif", 0)
BACK = f"/local/domain/0/backend/vif/{GUEST}/0"
SCRIPTS = "/etc/xen/scripts"
PATH = f"{SCRIPTS}/vif-own"


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def hotplug(text: str) -> VifHotplug:
    return VifHotplug(parse_vif(f"mac={MAC},devid=0,{text}"), UUID)


def answer(host: FakeHost, code: int = 0, said: str = "", **nodes: str) -> None:
    def run() -> tuple[int, str]:
        for name, value in nodes.items():
            host.store.write(f"{BACK}/{name.replace('_', '-')}", value)
        return code, said

    host.dom0.programs.answers[PATH] = run


def online(host: FakeHost, text: str = "") -> dict[str, str]:
    plug = hotplug(f"script=vif-own,{text}")
    plug.check(host)
    host.vif_came()
    return dict(plug.connect(host, ADDRESS))


def test_as_libxl_runs_it(host: FakeHost) -> None:
    answer(host, hotplug_status="connected")
    assert online(host, "gatewaydev=eth3") == {}
    assert host.done == [f"run {PATH} online type_if=vif"]
    environment = {
        "script": PATH,
        "XENBUS_TYPE": "vif",
        "XENBUS_PATH": f"backend/vif/{GUEST}/0",
        "XENBUS_BASE_PATH": "backend",
        "netdev": "eth3",
        "vif": f"vif{GUEST}.0",
    }
    assert host.dom0.programs.environments == [environment]
    disconnect(host, ADDRESS, {"script": PATH})
    assert host.done == [f"run {PATH} offline type_if=vif"]
    assert host.dom0.programs.environments[1] == environment | {"netdev": ""}


def test_one_that_is_not_there(host: FakeHost) -> None:
    with pytest.raises(NotFoundError, match="its script /etc/xen/scripts/vif-own is not there") as caught:
        hotplug("script=vif-own").check(host)
    assert "vif-nat" in caught.value.hint


def test_one_that_fails(host: FakeHost) -> None:
    answer(
        host,
        3,
        "one\ntwo\n\nthree\x1b[2J\nfour\n",
        hotplug_error="no such\nnetwork",
        hotplug_status="error",
    )
    with pytest.raises(HostError) as caught:
        online(host)
    assert caught.value.reason == (
        f"{PATH} online failed (exit code 3): no such network; two; three [2J; four"
    )
    assert caught.value.detail == "one\ntwo\nthree [2J\nfour"


def test_one_that_fails_without_a_word(host: FakeHost) -> None:
    answer(host, 1)
    with pytest.raises(HostError, match=r"vif-own online failed \(exit code 1\)$"):
        online(host)


def test_one_that_ends_well_but_says_error(host: FakeHost) -> None:
    answer(host, 0, hotplug_error="bad", hotplug_status="error")
    with pytest.raises(HostError, match="vif-own online says that it failed: bad"):
        online(host)


def test_one_that_does_not_connect(host: FakeHost) -> None:
    answer(host)
    with pytest.raises(HostError, match="did not set hotplug-status to connected"):
        online(host)


def test_locked(host: FakeHost) -> None:
    """Nobody knows what the script will make of it, so the guard is at the interface, before."""
    answer(host, hotplug_status="connected")
    online(host, "lock,vifname=web0")
    assert host.done == [
        f"guard vif7.0 {MAC}  alone",
        f"guard web0 {MAC}  awaited",
        f"run {PATH} online type_if=vif",
    ]
    host.links.vifs[GUEST, 0] = "web0"
    host.links.all["web0"] = host.links.all.pop("vif7.0")
    disconnect(host, ADDRESS, {"script": PATH, "lock": "", "vifname": "web0"})
    done = host.done
    assert done[:2] == [f"run {PATH} offline type_if=vif", "down web0"]
    assert sorted(done[2:]) == ["unguard vif7.0", "unguard web0"]


def test_locked_and_renamed_by_the_script(host: FakeHost) -> None:
    def run() -> tuple[int, str]:
        host.store.write(f"{BACK}/hotplug-status", "connected")
        host.links.vifs[GUEST, 0] = "own7"
        return 0, ""

    host.dom0.programs.answers[PATH] = run
    with pytest.raises(HostError, match="has renamed it to own7, and so out of its lock"):
        online(host, "lock,vifname=web0")
    assert online(host, "vifname=web0") == {}  # without a lock that is the script's affair
    assert online(host, "lock,vifname=own7") == {}


def test_xens_own_by_its_path(host: FakeHost) -> None:
    path = f"{SCRIPTS}/vif-bridge"
    host.dom0.programs.answers[path] = (0, "")
    host.store.write(f"{BACK}/hotplug-status", "connected")
    plug = hotplug(f"script={path}")
    plug.check(host)
    host.vif_came()
    plug.connect(host, ADDRESS)
    assert host.done == [f"run {path} online type_if=vif"]
    disconnect(host, ADDRESS, {"script": path, "run-script": "1"})
    assert host.done == [f"run {path} offline type_if=vif"]


def test_xens_own_where_there_are_hooks(host: FakeHost) -> None:
    path = f"{SCRIPTS}/vif-bridge"
    host.dom0.hooked = ["tune.hook"]
    host.dom0.programs.answers[path] = (0, "")
    host.store.write(f"{BACK}/hotplug-status", "connected")
    host.vif_came()
    hotplug("").connect(host, ADDRESS)
    assert host.done == [f"run {path} online type_if=vif"]
