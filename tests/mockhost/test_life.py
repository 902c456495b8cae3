"""How a mock host starts, is found, and ends; and what is left of it: nothing but logs."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from xentool.domain.paths import Paths
from xentool.errors import MockHostError
from xentool.hypervisor.calls import Hypercalls
from xentool.hypervisor.mock.remote import RemoteMock, connect
from xentool.mockhost.life import attach, default_directory, ensure_running, is_running, stop, store_socket
from xentool.store.client import StoreClient
from xentool.units import DomId


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[str]:
    where = str(tmp_path / "host")
    yield where
    stop(where)


def pid_of(directory: str) -> int:
    return int(Path(directory, "mockhost.pid").read_text())


def wait_for_end(pid: int) -> None:
    """Block until a process that is not our child has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(process) as descriptor:
        import select

        assert select.select([descriptor], [], [], 90)[0], "it still runs"


def test_commands_share_one_host(directory: str) -> None:
    assert ensure_running(directory) == directory
    pid = pid_of(directory)
    ensure_running(directory)
    with attach(directory) as first, attach(directory) as second:
        made = Hypercalls(first).create_domain(bytes(16))
        assert [info.domid for info in Hypercalls(second).domain_infos()] == [0, made]
    assert pid_of(directory) == pid


def test_two_that_start_at_once_get_one_host(directory: str) -> None:
    code = f"from xentool.mockhost.life import ensure_running; ensure_running({directory!r})"
    starters = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [starter.wait(90) for starter in starters] == [0, 0, 0]
    log = Path(directory, "mockhost.log").read_text()
    assert log.count(" mock host ") == 1


def test_stopping_leaves_only_logs(directory: str) -> None:
    ensure_running(directory)
    pid = pid_of(directory)
    assert stop(directory)
    wait_for_end(pid)
    assert sorted(os.listdir(directory)) == ["console", "mockhost.log"]
    assert not stop(directory)
    assert not is_running(directory)


def test_what_commands_wrote_about_domains_ends_with_the_host(directory: str) -> None:
    paths = Paths.under(ensure_running(directory))
    for folder in (paths.run, paths.userdata, paths.console_logs, paths.kernel_cache):
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "of-a-domain").write_text("x")
    Path(paths.domid_history).write_text("1 2\n")
    pid = pid_of(directory)
    stop(directory)
    wait_for_end(pid)
    left = {str(path.relative_to(directory)) for path in Path(directory).rglob("*") if path.is_file()}
    assert left - {"lock"} == {"mockhost.log", "console/of-a-domain", "kernels/of-a-domain"}


def test_sigterm_ends_it_as_stopping_does(directory: str) -> None:
    ensure_running(directory)
    pid = pid_of(directory)
    os.kill(pid, signal.SIGTERM)
    wait_for_end(pid)
    assert sorted(os.listdir(directory)) == ["console", "mockhost.log"]


def test_an_idle_host_ends_by_itself(directory: str) -> None:
    ensure_running(directory, idle_seconds=0.5)
    with attach(directory):  # so long it is not idle
        pid = pid_of(directory)
    wait_for_end(pid)
    assert not is_running(directory)
    assert "idle" in Path(directory, "mockhost.log").read_text()


def test_domains_and_clients_keep_it_alive(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENTOOL_MOCK_IDLE", "1")
    with attach(directory) as hypervisor:
        calls = Hypercalls(hypervisor)
        pid = pid_of(directory)
        domid = calls.create_domain(bytes(16))
    with StoreClient(store_socket(directory)) as store:
        store.watch("/never")
        events = store.next_event(90)
        assert events is not None
        assert store.next_event(1.5) is None  # longer than it lives idle
    with attach(directory) as hypervisor:
        assert pid_of(directory) == pid
        Hypercalls(hypervisor).destroy_domain(domid)
    wait_for_end(pid)


def test_a_host_ends_with_its_owner(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as owner:
        monkeypatch.setenv("XENTOOL_MOCK_OWNER", str(owner.pid))
        with attach(directory) as hypervisor:
            Hypercalls(hypervisor).create_domain(bytes(16))
            pid = pid_of(directory)
            assert is_running(directory)
            owner.kill()
            wait_for_end(pid)
    assert sorted(os.listdir(directory)) == ["console", "mockhost.log"]
    assert f"process {owner.pid}, its owner, has ended" in Path(directory, "mockhost.log").read_text()
    with pytest.raises(MockHostError, match="no process that lives"):
        ensure_running(directory)


@pytest.mark.parametrize("name", ["hypervisor.sock", "dom0.sock"])
def test_without_descriptors_who_comes_is_turned_away_and_nothing_spins(directory: str, name: str) -> None:
    ensure_running(directory)
    pid = pid_of(directory)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_ones = os.listdir(f"/proc/{pid}/fd")
    limit = max(map(int, open_ones)) + 3
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limits[1]))
    with ExitStack() as stack:
        coming = [
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            for _ in range(limit - len(open_ones) + 10)
        ]
        for caller in coming:
            caller.connect(os.path.join(directory, name))
            caller.settimeout(90)
        # Before they were, they stayed in the queue, and it ready for ever.
        assert [caller.recv(1) for caller in coming[-10:]] == [b""] * 10
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert ": Too many open files: a caller was turned away" in Path(directory, "mockhost.log").read_text()
    with attach(directory) as hypervisor:
        assert Hypercalls(hypervisor).version() == (4, 17)


def test_a_killed_host_is_replaced(directory: str) -> None:
    ensure_running(directory)
    client = connect(directory)
    mapping = client.map_frames(DomId(0), array("Q", [0x2000]))
    events = client.event_channels()
    pid = pid_of(directory)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    mapping.close()
    events.close()
    for _ in range(2):
        with pytest.raises(MockHostError, match="went away"):
            Hypercalls(client).version()
    with pytest.raises(MockHostError, match="nobody answers"):
        connect(directory)
    old_log = Path(directory, "console", "guest-old.log")
    old_log.write_text("from the last one")
    with attach(directory) as fresh:
        assert not old_log.exists()
        assert len(Hypercalls(fresh).domain_infos()) == 1
    assert pid_of(directory) != pid


def test_a_host_that_does_not_answer_is_named(directory: str) -> None:
    ensure_running(directory)
    os.unlink(Path(directory, "hypervisor.sock"))
    with pytest.raises(MockHostError, match=f"process {pid_of(directory)}"):
        ensure_running(directory)
    pid = pid_of(directory)
    os.kill(pid, signal.SIGTERM)
    wait_for_end(pid)


def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(MockHostError, match="alone"):
        ensure_running(str(tmp_path))


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(MockHostError, match="alone"):
        ensure_running(str(tmp_path / "link"))


def test_bad_settings_are_told(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENTOOL_MOCK_XEN", "3.4")
    with pytest.raises(MockHostError, match=r"not 3\.4"):
        ensure_running(directory)


def test_the_machine_can_be_chosen(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENTOOL_MOCK_XEN", "4.20")
    monkeypatch.setenv("XENTOOL_MOCK_MEMORY", "512")
    monkeypatch.setenv("XENTOOL_MOCK_CPUS", "3")
    with attach(directory) as hypervisor:
        calls = Hypercalls(hypervisor)
        assert calls.version() == (4, 20)
        assert (calls.physinfo().total_pages, calls.physinfo().nr_cpus) == (512 << 8, 3)


def test_the_default_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XENTOOL_MOCK_DIR", str(tmp_path / "x"))
    assert default_directory() == str(tmp_path / "x")
    monkeypatch.delenv("XENTOOL_MOCK_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_directory() == str(tmp_path / "xentool-mock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_directory() == f"/tmp/xentool-mock-{os.getuid()}"


def test_a_client_that_dies_gives_everything_back(directory: str) -> None:
    with attach(directory) as hypervisor:
        calls = Hypercalls(hypervisor)
        domid = calls.create_domain(bytes(16))
        calls.max_mem(domid, 4096)
        code = (
            "import os, sys\n"
            "from array import array\n"
            "from xentool.hypervisor.mock.remote import connect\n"
            "from xentool.hypervisor.calls import Hypercalls\n"
            f"gate = connect({directory!r}); calls = Hypercalls(gate)\n"
            f"frames = calls.populate_physmap({domid}, array('Q', range(4)), 0)\n"
            f"mapping = gate.map_frames({domid}, frames); events = gate.event_channels()\n"
            f"events.bind_interdomain({domid}, calls.alloc_unbound({domid}, 0))\n"
            "os.kill(os.getpid(), 9)\n"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
        # The host notices before it serves anybody else, because the connection broke before we ask.
        calls.destroy_domain(domid)
        assert [info.domid for info in calls.domain_infos()] == [0]


def test_an_interrupted_call_does_not_confuse_the_next(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with attach(directory) as hypervisor:
        receive = socket.recv_fds

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(socket, "recv_fds", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hypervisor.event_channels()
        monkeypatch.setattr(socket, "recv_fds", receive)
        assert Hypercalls(hypervisor).version() == (4, 17)


def test_nonsense_on_the_socket_ends_only_that_connection(directory: str) -> None:
    with attach(directory) as hypervisor:
        for packet in (b"?", bytes(80), bytes(200)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(os.path.join(directory, "hypervisor.sock"))
                client.send(packet)
                client.recv(100)
        assert Hypercalls(hypervisor).version() == (4, 17)


def test_a_remote_caller_is_told_the_same(directory: str) -> None:
    """Errors, buffers, scattered frames and event channels come through as in one process."""
    from tests.support.mockguest import HandMade, errno_of

    with attach(directory) as hypervisor:
        assert isinstance(hypervisor, RemoteMock)
        guest = HandMade(Hypercalls(hypervisor))
        guest.pin()
        assert errno_of(guest.pin) == 22
        scattered = array("Q", [guest.frames[5], guest.frames[2], guest.frames[3]])
        with hypervisor.map_frames(guest.domid, scattered) as mapping:
            mapping.view[4096] = 9
        assert guest.peek(2, 0) == 9
        remote = guest.calls.alloc_unbound(guest.domid, 0)  # type: ignore[arg-type]
        with hypervisor.event_channels() as events:
            port = events.bind_interdomain(guest.domid, remote)
            assert events.pending() == port
        guest.destroy()
        assert [info.domid for info in guest.calls.domain_infos()] == [0]
