"""A domain's QEMU: started once, awaited, found again, ended; on a store, with no process anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.devices.world import GUEST, World
from tests.support.fakedaemons import FakeDaemons
from xentool.devices import plug, unplug
from xentool.devices.channel.device import channel_device
from xentool.devices.channel.spec import parse_channel
from xentool.devices.device import Device
from xentool.devices.qemu import model
from xentool.devices.record import recorded
from xentool.errors import HostError, TimedOutError, XentoolError
from xentool.units import DOMAIN0, DomId

if TYPE_CHECKING:
    from xentool.dom0.port import Dom0

DOMID = DomId(GUEST)
PID = f"/local/domain/{GUEST}/image/device-model-pid"
TOP = f"/local/domain/0/device-model/{GUEST}"


class Daemons:
    """The Domain-0 of these tests: daemons, and nothing else."""

    def __init__(self, daemons: FakeDaemons) -> None:
        self.daemons = daemons


class QemuWorld(World):
    def __init__(self) -> None:
        super().__init__()
        self.daemons = FakeDaemons(self.runs)
        self.admin.write(f"/local/domain/{GUEST}/name", "web")
        self.admin.write(f"/local/domain/{GUEST}/memory/static-max", str(64 << 10))

    @property
    def dom0(self) -> Dom0:
        return cast("Dom0", Daemons(self.daemons))

    def runs(self, words: list[str], pid: int) -> None:
        """What QEMU writes once it is there."""
        assert self.admin.exists(TOP), "a killed create would leave a QEMU that nobody finds"
        self.admin.write(f"{TOP}/state", "running")

    def words(self) -> list[str]:
        (words,) = self.daemons.running.values()
        return words


@pytest.fixture
def world() -> QemuWorld:
    return QemuWorld()


def disk(devid: int = 51712) -> Device:
    return Device("vbd", devid, f"disk {devid}", front={}, back={"params": "qcow2:/a"}, backend_kind="qdisk")


def after(words: list[str], option: str) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def test_what_needs_qemu_starts_it_and_is_taken(world: QemuWorld) -> None:
    plug.check(world, [disk()])
    plug.place(world, DOMID, [disk()])
    assert len(world.daemons.running) == 1
    plug.connect(world, DOMID, [disk()])
    (pid,) = world.daemons.running
    assert world.admin.read(PID) == str(pid).encode()
    assert [str(word) for word in world.admin.get_perms(PID)] == ["n0", f"r{GUEST}"]
    assert world.daemons.logs == ["/nonexistent/log/qemu-dm-web.log"]
    words = world.words()
    assert words[:3] == ["/usr/bin/qemu", "-xen-domid", str(GUEST)]
    assert after(words, "-m") == ["64"]
    assert after(words, "-name") == ["web"]
    assert all(daemon.closed for daemon in world.daemons.held)


def test_what_needs_none_starts_none(world: QemuWorld) -> None:
    world.daemons.program = None
    vif = Device("vif", 0, "vif 0", front={}, back={})
    elsewhere = Device("vbd", 1, "disk", front={}, back={}, backend_kind="qdisk", backend=DomId(3))
    plug.check(world, [vif, elsewhere])
    plug.place(world, DOMID, [vif, elsewhere])
    assert world.daemons.logs == []


def test_a_second_device_finds_it_running(world: QemuWorld) -> None:
    for devid in (51712, 51728):
        plug.place(world, DOMID, [disk(devid)])
        plug.connect(world, DOMID, [disk(devid)])
    assert len(world.daemons.logs) == 1
    assert model.is_running(world, DOMID)
    assert world.daemons.looked_at_all == 0


def test_channels_are_given_to_it_from_the_record(world: QemuWorld) -> None:
    channels = [
        channel_device(parse_channel("connection=pty,name=one"), 1),
        channel_device(parse_channel("connection=socket,name=two,path=/run/t"), 2),
        channel_device(parse_channel("connection=pty,name=three,backend=drv"), 3, DomId(3)),
    ]
    plug.place(world, DOMID, channels)
    ends = [end for end in after(world.words(), "-chardev") if "channel" in end]
    assert ends == ["pty,id=libxl-channel1", "socket,id=libxl-channel2,path=/run/t,server=on,wait=off"]


def test_no_comma_is_an_option_of_qemu_s(world: QemuWorld) -> None:
    world.admin.write(f"/local/domain/{GUEST}/name", "a,process=x")
    model.start(world, DOMID)
    assert after(world.words(), "-name") == ["a,,process=x"]


def test_no_name_leads_out_of_the_log_s_folder(world: QemuWorld) -> None:
    world.admin.write(f"/local/domain/{GUEST}/name", "../../etc/x")
    model.start(world, DOMID)
    assert world.daemons.logs == ["/nonexistent/log/qemu-dm-.._.._etc_x.log"]


def test_where_there_is_no_qemu(world: QemuWorld) -> None:
    world.daemons.program = None
    with pytest.raises(HostError, match="none that knows Xen") as caught:
        plug.check(world, [disk()])
    assert "qemu-system-xen" in caught.value.hint


def test_one_that_ends_at_once_says_why(world: QemuWorld) -> None:
    world.daemons.text = "first\nxen be core: can't open store\n"
    world.daemons.on_spawn = lambda _words, pid: world.daemons.die(pid)
    plug.place(world, DOMID, [disk()])
    with pytest.raises(HostError, match="can't open store") as caught:
        plug.connect(world, DOMID, [disk()])
    assert "first" in caught.value.detail


def test_one_that_never_runs(world: QemuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "START_SECONDS", 0.01)
    world.daemons.on_spawn = lambda _words, _pid: None
    model.start(world, DOMID)
    with pytest.raises(TimedOutError, match="does not run"):
        model.await_running(world, DOMID)


def test_one_that_runs_when_the_time_is_over(world: QemuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    def stand_still(*_arguments: object) -> None:
        waited.append(1)
        world.admin.write(f"{TOP}/state", "running")
        monkeypatch.setattr(model, "monotonic", lambda: float("inf"))

    world.daemons.on_spawn = lambda _words, _pid: None
    monkeypatch.setattr(model, "_wait", stand_still)
    model.start(world, DOMID)
    model.await_running(world, DOMID)
    assert waited == [1]


def test_an_old_state_is_not_believed(world: QemuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "START_SECONDS", 0.01)
    world.admin.write(f"{TOP}/state", "running")
    world.daemons.on_spawn = lambda _words, _pid: None
    model.start(world, DOMID)
    with pytest.raises(TimedOutError):
        model.await_running(world, DOMID)


def test_one_that_does_not_take_a_disk_is_quoted(world: QemuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plug, "READY_SECONDS", 0.01)
    world.drivers.backend = False
    world.daemons.text = "xen be: qdisk-51712: Could not open '/a': No such file\n"
    plug.place(world, DOMID, [disk()])
    with pytest.raises(TimedOutError, match="Could not open '/a'"):
        plug.connect(world, DOMID, [disk()])


def test_its_end_leaves_nothing(world: QemuWorld) -> None:
    before = world.tree()
    model.start(world, DOMID)
    world.admin.write(f"/local/domain/0/backend/qdisk/{GUEST}", "")
    model.stop(world, DOMID)
    assert world.daemons.ended == [100]
    assert world.daemons.running == {}
    assert world.tree() == before
    model.stop(world, DOMID)
    assert all(daemon.closed for daemon in world.daemons.held)


def another(world: QemuWorld) -> int:
    """A program of somebody else's, with a pid that a QEMU once had."""
    world.daemons.running[55] = ["/bin/sleep", "-xen-domid", "77"]
    return 55


@pytest.mark.parametrize("pid", ["55", "56", "0", "-1", "x", "", "1" * 30])
def test_a_pid_of_another_s_is_left_alone(world: QemuWorld, pid: str) -> None:
    another(world)
    model.start(world, DOMID)
    world.admin.write(PID, pid)
    assert model.is_running(world, DOMID)
    model.stop(world, DOMID)
    assert world.daemons.ended == [100]
    assert list(world.daemons.running) == [55]


def test_one_without_its_pid_is_found_while_its_node_is_there(world: QemuWorld) -> None:
    model.start(world, DOMID)
    world.admin.rm(PID)
    model.stop(world, DOMID)
    assert world.daemons.ended == [100]


def test_a_start_that_cannot_be_recorded_leaves_no_qemu(world: QemuWorld) -> None:
    def store_goes(_words: list[str], _pid: int) -> None:
        world.connect(faults=0)

    world.daemons.on_spawn = store_goes
    with pytest.raises(XentoolError):
        model.start(world, DOMID)
    assert world.daemons.running == {}


def test_one_without_privileges_is_left_to_libxl(world: QemuWorld) -> None:
    model.start(world, DOMID)
    world.admin.write(f"/local/domain/{GUEST}/image/device-model-kill-uid", "65000")
    with pytest.raises(XentoolError, match="65000") as caught:
        model.stop(world, DOMID)
    assert f"xl destroy {GUEST}" in caught.value.hint
    assert world.daemons.ended == []


def test_it_ends_with_the_last_that_it_serves(world: QemuWorld) -> None:
    for devid in (51712, 51728):
        plug.place(world, DOMID, [disk(devid)])
        plug.connect(world, DOMID, [disk(devid)])
    for left in (1, 0):
        unplug.detach(world, recorded(world.store, DOMID)[0], "disk")
        model.stop_if_idle(world, DOMID)
        assert len(world.daemons.running) == left


def test_domain_0_s_own_stays(world: QemuWorld) -> None:
    """Its QEMU is started with the host, by Xen's own init script: xl starts none."""
    world.admin.write("/local/domain/0/device-model/0/state", "running")
    world.daemons.running[99] = ["qemu", "-xen-domid", "0"]
    model.stop_if_idle(world, DOMAIN0)
    assert world.daemons.running


@pytest.mark.parametrize("kind", ["console", "vfb", "9pfs"])
def test_it_stays_for_what_else_it_may_serve(world: QemuWorld, kind: str) -> None:
    model.start(world, DOMID)
    record = f"/libxl/{GUEST}/device/{kind}/1/backend"
    world.admin.write(record, f"/local/domain/0/backend/{kind}/{GUEST}/1")
    model.stop_if_idle(world, DOMID)
    assert world.daemons.running
    world.admin.rm(f"/libxl/{GUEST}/device/{kind}")
    world.admin.write(f"/libxl/{GUEST}/type", "hvm")
    model.stop_if_idle(world, DOMID)
    assert world.daemons.running
    world.admin.write(f"/libxl/{GUEST}/type", "pv")
    model.stop_if_idle(world, DOMID)
    assert not world.daemons.running


@pytest.mark.parametrize("by", ["detach", "remove"])
def test_what_a_dead_one_served_goes_without_waiting(
    world: QemuWorld, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    waited: list[object] = []
    monkeypatch.setattr(unplug, "await_state", lambda *_arguments: waited.append(1))
    plug.place(world, DOMID, [disk()])
    plug.connect(world, DOMID, [disk()])
    world.drivers.backend = False
    world.daemons.running.clear()
    (device,) = recorded(world.store, DOMID)
    world.admin.write(f"/local/domain/0/backend/qdisk/{GUEST}/51712/state", "4")
    if by == "detach":
        unplug.detach(world, device, "disk")
    else:
        unplug.remove(world, [device])
    assert waited == []
    assert recorded(world.store, DOMID) == []


def test_its_successor_can_take_up_consoles(world: QemuWorld) -> None:
    plug.place(world, DOMID, [channel_device(parse_channel("connection=pty,name=one"), 1)])
    plug.connect(world, DOMID, [channel_device(parse_channel("connection=pty,name=one"), 1)])
    state = f"/local/domain/0/backend/console/{GUEST}/1/state"
    assert world.admin.read(state) != b"1"
    world.daemons.running.clear()
    found = []
    world.daemons.on_spawn = lambda words, pid: found.append(world.admin.read(state))
    model.start(world, DOMID)
    assert found == [b"1"]


def test_a_guest_can_write_nothing_that_is_believed(world: QemuWorld) -> None:
    plug.place(world, DOMID, [disk()])
    guest = world.guest()
    for path in (PID, f"{TOP}/state", f"/local/domain/{GUEST}/name", f"/libxl/{GUEST}/device/console/1"):
        with pytest.raises(XentoolError):
            guest.write(path, "1")
