"""Simulated guests: they boot from what the builder made, show it on a console, and obey."""

from __future__ import annotations

import os
import subprocess
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mockhost.terminal import Terminal
from tests.support.mocked import MockedHost
from tests.support.mockguest import HandMade
from xentool.abi.sched import SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot
from xentool.abi.start_info import start_info
from xentool.domain.create import create_domain
from xentool.hypervisor.calls import Hypercalls
from xentool.units import DomId


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock") / "host") as host:
        yield host


def wait_for_shutdown(mocked: MockedHost, domid: DomId) -> int | None:
    calls = Hypercalls(mocked.hypervisor)
    with mocked.open_store() as store:
        store.watch("@releaseDomain")
        while not calls.domain_info(domid).shutdown:
            assert store.next_event(90) is not None
    return calls.domain_info(domid).shutdown_reason


def test_a_guest_boots_and_answers(mocked: MockedHost) -> None:
    domid = create_domain(
        mocked.host(), mocked.config("talker", vcpus=2, max_vcpus=2, cmdline="quiet root=/dev/xvda")
    )
    terminal = Terminal(mocked, domid)
    banner = terminal.expect("mock# ")
    assert "Command line: quiet root=/dev/xvda" in banner
    assert "16M available, 2 of 2 vcpus" in banner
    assert "xenbus: connected" in banner
    terminal.type("xenstore-read name")
    assert "talker" in terminal.expect("mock# ")
    terminal.type("cat /proc/cmdline")
    assert "quiet root=/dev/xvda" in terminal.expect("mock# ")
    terminal.type("help")
    assert "poweroff" in terminal.expect("mock# ")
    terminal.type("poweroff")
    assert wait_for_shutdown(mocked, domid) == SHUTDOWN_poweroff
    terminal.close()
    log = Path(mocked.directory, "console", "guest-talker.log").read_text()
    assert "mock# xenstore-read name" in log
    mocked.destroy(domid)


@pytest.mark.parametrize(
    ("command", "reason"),
    [("poweroff", SHUTDOWN_poweroff), ("halt", SHUTDOWN_poweroff), ("reboot", SHUTDOWN_reboot)],
)
def test_a_guest_obeys(mocked: MockedHost, command: str, reason: int) -> None:
    domid = create_domain(mocked.host(), mocked.config(f"obedient-{command}"))
    mocked.store.write(f"/local/domain/{domid}/control/shutdown", command)
    assert wait_for_shutdown(mocked, domid) == reason
    assert mocked.store.read(f"/local/domain/{domid}/control/shutdown") == b""
    assert mocked.store.read(f"/local/domain/{domid}/control/feature-poweroff") == b"1"
    mocked.destroy(domid)


def test_a_guest_refuses_to_suspend(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("awake"))
    terminal = Terminal(mocked, domid)
    terminal.expect("mock# ")
    mocked.store.write(f"/local/domain/{domid}/control/shutdown", "suspend")
    terminal.expect("cannot suspend")
    terminal.close()
    assert mocked.store.read(f"/local/domain/{domid}/control/shutdown") == b""
    mocked.destroy(domid)


def test_a_deaf_guest_does_not_obey(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("deaf", cmdline="mock.ignore-shutdown"))
    terminal = Terminal(mocked, domid)
    terminal.expect("mock# ")
    mocked.store.write(f"/local/domain/{domid}/control/shutdown", "poweroff")
    terminal.type("uname")
    terminal.expect("Linux")
    assert mocked.store.read(f"/local/domain/{domid}/control/shutdown") == b"poweroff"
    assert not Hypercalls(mocked.hypervisor).domain_info(domid).shutdown
    terminal.close()
    mocked.destroy(domid)


def test_a_paused_guest_does_nothing_until_it_runs_again(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("sleeper"))
    calls = Hypercalls(mocked.hypervisor)
    calls.pause_domain(domid)
    mocked.store.write(f"/local/domain/{domid}/control/shutdown", "poweroff")
    assert not calls.domain_info(domid).shutdown
    calls.unpause_domain(domid)
    assert wait_for_shutdown(mocked, domid) == SHUTDOWN_poweroff
    mocked.destroy(domid)


def test_a_vcpu_that_shall_be_offline_is(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("half", vcpus=1, max_vcpus=2))
    assert Hypercalls(mocked.hypervisor).domain_info(domid).nr_online_vcpus == 1
    mocked.destroy(domid)


def test_without_a_start_info_a_guest_crashes(mocked: MockedHost) -> None:
    guest = HandMade(Hypercalls(mocked.hypervisor))
    guest.pin()
    guest.calls.set_vcpu_context(guest.domid, 0, guest.context(rsi=0x3000))
    guest.calls.unpause_domain(guest.domid)
    info = guest.calls.domain_info(guest.domid)
    assert (info.shutdown, info.shutdown_reason) == (True, SHUTDOWN_crash)
    guest.destroy()


@pytest.mark.parametrize(
    "fields",
    [
        {"magic": b"xen-2.0"},
        {"shared_info": 0x1000},
        {"nr_pages": 1 << 30},
        {"pt_base": 0x5000},
        {"console_mfn": 0x2000},
        {"store_mfn": 5},
    ],
)
def test_a_bad_start_info_crashes_the_guest(mocked: MockedHost, fields: dict[str, bytes | int]) -> None:
    domid = create_domain(mocked.host(), mocked.config("broken"), paused=True)
    calls = Hypercalls(mocked.hypervisor)
    from xentool.abi.vcpu import USER_REGS, cpu_user_regs, vcpu_guest_context

    context = calls.vcpu_context(domid, 0)
    mfn = vcpu_guest_context.get(context, "ctrlreg")[3] >> 12
    vaddr = cpu_user_regs.get(context, "rsi", USER_REGS)
    for shift in (39, 30, 21, 12):
        with mocked.hypervisor.map_frames(domid, array("Q", [mfn]), writable=False) as table:
            at = 8 * (vaddr >> shift & 511)
            mfn = (int.from_bytes(table.view[at : at + 8], "little") & (1 << 52) - 1) >> 12
    with mocked.hypervisor.map_frames(domid, array("Q", [mfn])) as page:
        start_info.pack_into(page.view, **fields)
    calls.unpause_domain(domid)
    assert calls.domain_info(domid).shutdown_reason == SHUTDOWN_crash
    mocked.destroy(domid)


def test_nothing_is_left_of_a_guest(mocked: MockedHost) -> None:
    before = mocked.state()
    for number in range(3):
        mocked.destroy(create_domain(mocked.host(), mocked.config(f"brief-{number}")))
    assert mocked.state() == before


def test_xens_own_tools_read_the_store(mocked: MockedHost) -> None:
    from shutil import which

    if which("xenstore-ls") is None:
        pytest.skip("xenstore-ls is not installed")
    environment = {**os.environ, "XENSTORED_PATH": f"{mocked.directory}/store.sock"}
    said = subprocess.run(
        ["xenstore-ls", "/local/domain/0"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert 'name = "Domain-0"' in said
