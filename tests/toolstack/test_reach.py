"""Native refuses domains that take more than it does, before it touches anything; which console is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from tests.support.mocked import MockedHost
from xentool.domain.reach import check_no_hvm
from xentool.errors import UnsupportedError
from xentool.toolstack.native import NativeToolstack
from xentool.units import DomId


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock")) as host:
        yield host


@pytest.fixture(scope="module")
def native(mocked: MockedHost) -> NativeToolstack:
    return NativeToolstack(mocked.host())


@pytest.fixture
def hvm(mocked: MockedHost, native: NativeToolstack) -> Iterator[DomId]:
    """A domain that the toolstacks' record calls an HVM guest."""
    domid = native.create(mocked.config("windows"), paused=True)
    mocked.store.write(f"/libxl/{domid}/type", "hvm")
    yield domid
    mocked.store.write(f"/libxl/{domid}/type", "pv")
    native.destroy(domid)


ACTS: dict[str, Callable[[NativeToolstack, DomId], object]] = {
    "destroy": lambda native, domid: native.destroy(domid),
    "attach a vif": lambda native, _: native.attach_vif("windows", ["bridge=xenbr0"]),
    "plan a vif": lambda native, _: native.plan_vif("windows", ["bridge=xenbr0"]),
    "detach a vif": lambda native, _: native.detach_vif("windows", "0", force=True),
    "attach a disk": lambda native, _: native.attach_disk("windows", ["/a.img,raw,xvda,w"]),
    "plan a disk": lambda native, _: native.plan_disk("windows", ["/a.img,raw,xvda,w"]),
    "detach a disk": lambda native, _: native.detach_disk("windows", "xvda"),
    "change a CD": lambda native, _: native.insert_cd("windows", "hdc", "/a.iso"),
    "plan a CD": lambda native, _: native.plan_cd("windows", "hdc", "/a.iso"),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_hvm_guest_is_refused_and_left_as_it_was(
    mocked: MockedHost, native: NativeToolstack, hvm: DomId, act: str
) -> None:
    before = mocked.state()
    with pytest.raises(UnsupportedError, match="HVM guest") as caught:
        ACTS[act](native, hvm)
    assert caught.value.why == "it is an HVM guest, with a QEMU"
    assert mocked.state() == before


@pytest.mark.parametrize(
    ("hvm_guest", "kind", "refused"),
    [(False, b"hvm", False), (True, b"pvh", False), (True, None, False), (True, b"hvm", True)],
)
def test_what_steers_vcpus_refuses_hvm_guests_and_reads_nothing_for_a_pv_guest(
    hvm_guest: bool, kind: bytes | None, refused: bool
) -> None:
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return kind

    host = SimpleNamespace(
        hypercalls=SimpleNamespace(domain_info=lambda _domid: SimpleNamespace(hvm_guest=hvm_guest)),
        store=SimpleNamespace(try_read=read),
    )
    try:
        check_no_hvm(host, "shut down domain", DomId(7))  # type: ignore[arg-type]
    except UnsupportedError:
        assert refused
    else:
        assert not refused
    assert asked == (["/libxl/7/type"] if hvm_guest else [])


@pytest.mark.parametrize(
    ("serial", "kind", "number", "expected"),
    [
        ("/dev/pts/77", "", 0, "/dev/pts/77"),  # as with xl, an HVM guest's first
        ("/dev/pts/77", "serial", 0, "/dev/pts/77"),
        ("/dev/pts/77", "pv", 0, "pv"),
        ("", "", 0, "pv"),
        ("", "serial", 0, "pv"),
        ("/etc/shadow", "serial", 0, "pv"),  # no terminal, so nobody's console
        ("/dev/pts/../../etc/shadow", "", 0, "pv"),
    ],
)
def test_which_console_is_meant(
    mocked: MockedHost,
    native: NativeToolstack,
    hvm: DomId,
    serial: str,
    kind: str,
    number: int,
    expected: str,
) -> None:
    node = f"/local/domain/{hvm}/serial/{number}/tty"
    if serial:
        mocked.store.write(node, serial)
    path = native.console_path(hvm, number=number, kind=kind)
    mocked.store.rm(f"/local/domain/{hvm}/serial")
    if expected == "pv":
        expected = mocked.store.read(f"/local/domain/{hvm}/console/tty").decode()
    assert path == expected


def test_of_a_pv_guest_a_serial_port_is_only_attached_to_if_asked_for(
    mocked: MockedHost, native: NativeToolstack
) -> None:
    domid = native.create(mocked.config("odd"), paused=True)
    mocked.store.write(f"/local/domain/{domid}/serial/1/tty", "/dev/pts/78")
    assert native.console_path(domid, number=1, kind="serial") == "/dev/pts/78"
    assert native.console_path(domid) != "/dev/pts/78"
    native.destroy(domid)
