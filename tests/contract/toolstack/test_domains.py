"""What any toolstack does with domains: made, found, steered and destroyed alike, refused alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.toolstack.conftest import changed
from xentool.domain.config.model import Action
from xentool.errors import InUseError, KernelError, NoMemoryError, NotFoundError, XentoolError
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.toolstack.hosts import Place
    from xentool.toolstack.port import Toolstack

UUID = "0b7a5a8c-5f0e-4f0c-9d47-3f9c1f0e0a11"
ABSENT = DomId(32_000)


def test_domains_are_listed_with_domain_0_first(toolstack: Toolstack, guest: DomId) -> None:
    views = list(toolstack.domains())
    assert [view.domid for view in views] == sorted(view.domid for view in views)
    assert (views[0].domid, views[0].name) == (0, "Domain-0")
    (view,) = [view for view in views if view.domid == guest]
    assert (view.name, view.state, view.is_pv, view.shutdown_reason) == ("ct-guest", "--p---", True, None)
    assert (view.vcpus_online, view.vcpus_max, view.cpupool, view.memory_kib) == (1, 1, 0, 8 << 10)


def test_one_domain_is_as_in_the_list(toolstack: Toolstack, guest: DomId) -> None:
    alone = toolstack.domain(guest)
    (listed,) = [view for view in toolstack.domains() if view.domid == guest]
    for name in type(alone).__slots__:
        assert getattr(alone, name) == getattr(listed, name), name


def test_names_and_numbers_are_found(toolstack: Toolstack, guest: DomId) -> None:
    assert toolstack.resolve("ct-guest") == guest
    assert toolstack.resolve(str(guest)) == guest
    assert toolstack.resolve("0") == 0
    for word in ("ct-nobody", str(ABSENT), "32752", "99999"):
        with pytest.raises(NotFoundError):
            toolstack.resolve(word)


def test_of_what_is_no_domain_every_operation_says_so(toolstack: Toolstack) -> None:
    acts: list[Callable[[DomId], object]] = [
        toolstack.domain, toolstack.destroy, toolstack.pause, toolstack.unpause, toolstack.shutdown,
        toolstack.config_of, toolstack.console_path,
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(NotFoundError):
            act(ABSENT)
    with pytest.raises(NotFoundError):
        toolstack.console_log("ct-nobody")


def test_domain_0_is_neither_destroyed_nor_shut_down(toolstack: Toolstack) -> None:
    for act in (toolstack.destroy, toolstack.shutdown):
        with pytest.raises(XentoolError, match="host's own domain"):
            act(DomId(0))


def test_pausing_and_going_on(toolstack: Toolstack, make: Callable[..., DomId]) -> None:
    domid = make("ct-pausing")
    toolstack.unpause(domid)
    assert toolstack.domain(domid).state[2] == "-"
    toolstack.pause(domid)
    assert toolstack.domain(domid).state[2] == "p"


def test_the_record_is_what_was_asked_for(toolstack: Toolstack, guest: DomId) -> None:
    record = toolstack.config_of(guest)
    created, built = record["c_info"], record["b_info"]
    assert isinstance(created, dict)
    assert isinstance(built, dict)
    assert (created["type"], created["name"]) == ("pv", "ct-guest")
    assert created["uuid"] == toolstack.domain(guest).uuid
    assert (built["max_memkb"], built["target_memkb"]) == (8 << 10, 8 << 10)
    assert built["kernel"]


def test_a_console_is_a_terminal(toolstack: Toolstack, guest: DomId) -> None:
    path = toolstack.console_path(guest)
    assert path.startswith("/dev/pts/")
    assert toolstack.console_path(guest, kind="pv") == path
    assert toolstack.console_path(guest, kind="serial") == path  # a PV guest has no serial port


def test_a_guest_that_is_asked_powers_off_and_goes(place: Place) -> None:
    toolstack = place.toolstack
    before = place.state()
    steps: list[str] = []
    domid = toolstack.create(place.config("ct-obeying"), progress=steps.append)
    assert steps
    toolstack.shutdown(domid, acpi=True)
    toolstack.wait_for_shutdown(domid, 150)
    assert changed(place, before) == {}  # the last of a domain may take a moment to go
    with pytest.raises(NotFoundError):
        toolstack.domain(domid)


def test_what_its_config_says_becomes_of_it(toolstack: Toolstack, make: Callable[..., DomId]) -> None:
    domid = make("ct-kept", on_poweroff=Action.PRESERVE)
    toolstack.unpause(domid)
    toolstack.shutdown(domid)
    toolstack.wait_for_shutdown(domid, 150)
    assert toolstack.domain(domid).state[3:5] == "s-"


def test_a_name_and_a_uuid_are_one_domains(place: Place, guest: DomId) -> None:
    before = place.state()
    with pytest.raises(InUseError, match="has that name"):
        place.toolstack.create(place.config("ct-guest"))
    uuid = place.toolstack.domain(guest).uuid
    with pytest.raises(InUseError, match=uuid):
        place.toolstack.create(place.config("ct-other", uuid=uuid))
    assert changed(place, before) == {}


def test_who_is_destroyed_but_for_a_mapped_page_has_neither_name_nor_uuid(
    place: Place, make: Callable[..., DomId]
) -> None:
    toolstack, before = place.toolstack, place.state()
    old = make("ct-again", uuid=UUID)
    toolstack.console_path(old, 90)
    with place.with_its_console_mapped(old):
        toolstack.destroy(old)
        assert toolstack.domain(old).state.endswith("d")
        with pytest.raises(KernelError):
            toolstack.create(place.config("ct-again", uuid=UUID, kernel=str(place.folder / "missing")))
        new = make("ct-again", uuid=UUID)
        assert toolstack.resolve("ct-again") == new
        assert toolstack.domain(old).state.endswith("d")
        toolstack.console_path(new, 90)
        toolstack.destroy(new)
    assert changed(place, before) == {}


def test_what_cannot_be_built_leaves_nothing(place: Place) -> None:
    before = place.state()
    (place.folder / "no-kernel").write_bytes(b"this is no kernel" * 1000)
    for kernel in ("missing", "no-kernel"):
        with pytest.raises(KernelError):
            place.toolstack.create(place.config("ct-unbootable", kernel=str(place.folder / kernel)))
    huge = 64 << 20  # 64 GiB
    with pytest.raises(NoMemoryError):
        place.toolstack.create(place.config("ct-huge").replace(memory_kib=huge, max_memory_kib=huge))
    assert changed(place, before) == {}


def test_a_uuid_that_is_asked_for_is_had(toolstack: Toolstack, make: Callable[..., DomId]) -> None:
    assert toolstack.domain(make("ct-known", uuid=UUID)).uuid == UUID


def test_the_host_is_described_in_xls_words(toolstack: Toolstack) -> None:
    facts = toolstack.host().facts
    for key in ("host", "nr_cpus", "total_memory", "free_memory", "xen_version", "xen_caps", "virt_caps"):
        assert key in facts
    assert int(facts["free_memory"]) < int(facts["total_memory"])
    assert toolstack.cpupool_names()[0] == "Pool-0"
