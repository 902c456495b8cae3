"""What libxl says of domains and devices, as commands see it."""

from __future__ import annotations

import pytest

from tests.support.fakelibxl import library_of
from xentool.errors import ConfigError, UsageError
from xentool.toolstack.libxl.creating import ANY_DOMID
from xentool.toolstack.libxl.domains import reason_of, view_of
from xentool.toolstack.libxl.kinds import KINDS, kind_of
from xentool.toolstack.libxl.restoring import _record_in
from xentool.toolstack.libxl.savefile import SaveFile
from xentool.toolstack.libxl.signatures import DEVICE_FAMILIES, signature
from xentool.toolstack.views import DomainView

RUNNING = {
    "uuid": "c875770c-640a-4730-9759-6c447fa974d5",
    "domid": 3,
    "running": True,
    "current_memkb": 4096,
    "outstanding_memkb": 24,
    "max_memkb": 5120,
    "cpu_time": 7,
    "vcpu_max_id": 1,
    "vcpu_online": 2,
    "domain_type": "pvh",
}


def test_a_domain_as_libxl_says_it() -> None:
    view = view_of(RUNNING, "web")
    assert {name: getattr(view, name) for name in DomainView.__slots__} == {
        "domid": 3,
        "name": "web",
        "uuid": "c875770c-640a-4730-9759-6c447fa974d5",
        "memory_kib": 4120,
        "max_memory_kib": 5120,
        "vcpus_online": 2,
        "vcpus_max": 2,
        "state": "r-----",
        "shutdown_reason": None,
        "cpu_time_ns": 7,
        "cpupool": 0,
        "ssidref": 0,
        "is_pv": False,
    }


def test_domain0_of_which_libxl_leaves_out_all_that_is_zero() -> None:
    view = view_of({"running": True, "domain_type": "pv"}, None)
    assert (view.domid, view.is_pv, view.vcpus_max) == (0, True, 1)
    assert set(view.uuid) == {"0", "-"}


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        ({"blocked": True}, "-b----", None),
        ({"paused": True, "dying": True}, "--p--d", None),
        ({"shutdown": True}, "---s--", 0),
        ({"shutdown": True, "shutdown_reason": "poweroff"}, "---s--", 0),
        ({"shutdown": True, "shutdown_reason": "reboot"}, "---sr-", 1),
        ({"shutdown": True, "shutdown_reason": "suspend"}, "---ss-", 2),
        ({"shutdown": True, "shutdown_reason": "crash"}, "---sc-", 3),
        ({"shutdown": True, "shutdown_reason": "watchdog"}, "---sw-", 4),
        ({"shutdown": True, "shutdown_reason": "soft_reset"}, "---sS-", 5),
        ({"shutdown": True, "shutdown_reason": "unknown"}, "---s?-", None),
        ({"shutdown_reason": "crash"}, "------", None),
    ],
)
def test_states_are_xls_letters(facts: dict[str, object], state: str, reason: int | None) -> None:
    view = view_of(facts, None)
    assert (view.state, view.shutdown_reason) == (state, reason)


def test_a_reason_that_later_libxls_may_have_is_none_of_ours() -> None:
    assert reason_of({"shutdown_reason": "nova"}) is None


@pytest.mark.parametrize(
    ("name", "kind"), [("vif", "nic"), ("block", "disk"), ("pci", "pci"), ("9pfs", "p9")]
)
def test_kinds_have_the_names_that_people_use(name: str, kind: str) -> None:
    assert kind_of(name) is KINDS[kind]


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="floppy") as unknown:
        kind_of("floppy")
    assert "disk" in unknown.value.hint


def test_which_device_is_meant() -> None:
    nic, pci, usb = KINDS["nic"], KINDS["pci"], KINDS["usbdev"]
    device = {"devid": 1, "mac": "00:16:3e:00:00:01"}
    assert nic.is_it(device, {"devid": 1})
    assert nic.is_it(device, {"mac": "00:16:3e:00:00:01", "devid": 7})
    assert not nic.is_it(device, {"devid": 0})
    assert nic.is_it({"mac": "x"}, {"devid": 0})  # libxl leaves out a zero
    assert not nic.is_it(device, {"bridge": "br0"})
    assert pci.is_it({"bus": 3, "dev": 0, "func": 1}, {"domain": 0, "bus": 3, "dev": 0, "func": 1})
    assert not pci.is_it({"bus": 3}, {"bus": 3})  # which of its functions is not said
    assert usb.is_it({"ctrl": 0, "port": 2}, {"ctrl": 0, "port": 2})


def test_every_function_of_every_kind_is_declared() -> None:
    for kind in KINDS.values():
        for ending, _result, _arguments in DEVICE_FAMILIES:
            assert signature(kind.function(ending[1:]))


def test_what_a_libxl_can_do_is_what_functions_it_has(fake: object) -> None:
    library = library_of(fake)  # type: ignore[arg-type]
    assert not KINDS["p9"].can(library, "add")
    assert KINDS["disk"].struct == "device_disk"


def record(config: bytes, *, is_json: bool = True) -> dict[str, object]:
    return _record_in(SaveFile(config, is_json=is_json, stream_version=2), "/saved")


def test_a_saved_domain_gets_any_number_unless_it_kept_its_own() -> None:
    uuid = "0f4c2b1a-0000-4000-8000-00000000abcd"
    assert record(b'{"c_info": {"name": "web", "uuid": "%s"}}' % uuid.encode())["c_info"] == {
        "name": "web",
        "uuid": uuid,
        "domid": ANY_DOMID,
    }
    kept = record(b'{"c_info": {"name": "web", "domid": 5}}')["c_info"]
    assert isinstance(kept, dict)
    assert kept["domid"] == 5
    assert len(kept["uuid"]) == 36


@pytest.mark.parametrize(
    ("config", "is_json", "why"),
    [
        (b"", True, "no config in it"),
        (b"name='old'", False, "a config in xl.cfg's words"),
        (b"{}", True, "no name"),
        (b'{"c_info": 7}', True, "no name"),
        (b"{", True, "not JSON"),
    ],
)
def test_a_saved_domain_without_a_config_takes_another(config: bytes, is_json: bool, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        record(config, is_json=is_json)
