"""A toolstack without a host, for tests of the command line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from xentool.errors import NotFoundError, XentoolError
from xentool.toolstack.deviceviews import ChannelView, DevicePlan, DeviceView, DiskView, VifView
from xentool.toolstack.views import DomainView, HostView
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.plan import Plan

UUID = "5a3c1f60-8a1c-4e6b-9d2f-0123456789ab"


def view(domid: int, name: str | None, **changes: object) -> DomainView:
    facts: dict[str, object] = {
        "uuid": UUID,
        "memory_kib": 262_144,
        "max_memory_kib": 263_168,
        "vcpus_online": 1,
        "vcpus_max": 2,
        "state": "-b----",
        "shutdown_reason": None,
        "cpu_time_ns": 1_234_567_890,
        "cpupool": 0,
        "ssidref": 0,
        "is_pv": True,
    }
    return DomainView(DomId(domid), name, **{**facts, **changes})  # type: ignore[arg-type]


def some_domains() -> list[DomainView]:
    zero = "00000000-0000-0000-0000-000000000000"
    return [
        view(
            0,
            "Domain-0",
            uuid=zero,
            memory_kib=1_572_864,
            vcpus_online=2,
            state="r-----",
            cpu_time_ns=98_760_000_000,
        ),
        view(3, "web"),
        view(12, "a-name-that-is-longer-than-forty-characters-is-not-cut", state="--p---", cpupool=7),
        view(17, None, state="---sc-", shutdown_reason=3, memory_kib=8_191, ssidref=42),
    ]


MAC, ODD_MAC = "00:16:3e:0a:0b:0c", "00:16:3e:ff:00:01"


def device(
    kind: str, domid: int, devid: int, state: int, port: int, backend: int = 0, **record: str
) -> DeviceView:
    path = f"/local/domain/{backend}/backend/{kind}/{domid}/{devid}"
    facts = {name.replace("_", "-"): value for name, value in record.items()}
    return DeviceView(DomId(domid), devid, backend, path, state, port, facts)


def some_vifs() -> list[VifView]:
    """A connected one; one of a driver domain, whose guest has no driver; one with a broken record."""
    broken = DeviceView(DomId(12), 7, -1, "", -1, -1, {})
    return [
        VifView(device("vif", 3, 0, 4, 12, mac=MAC, bridge="xenbr0", ip="10.0.0.5"), MAC, 768, 769),
        VifView(device("vif", 3, 11, 1, -1, 5, mac=ODD_MAC, lock="10.0.0.5 2001:db8::5"), ODD_MAC, -1, -1),
        VifView(broken, "00:00:00:00:00:00", -1, -1),
    ]


def some_disks() -> list[DiskView]:
    drive = device("qdisk", 3, 5632, 4, 19, type="qdisk", mode="r", device_type="cdrom")
    return [
        DiskView(device("vbd", 3, 51712, 4, 17, type="phy", mode="w"), "xvda", "/img/web.raw", 8),
        DiskView(device("vbd", 3, 268441856, 3, -1, 12, type="phy", mode="w"), "xvdz", "/dev/vg/z", -1),
        DiskView(drive, "hdc", "", 9),
    ]


def some_channels() -> list[ChannelView]:
    return [
        ChannelView(device("console", 3, 0, 4, 21), "org.one", "pty", "/dev/pts/4", 10),
        ChannelView(device("console", 3, 1, 1, -1), "org.two", "pty", "/NO-SUCH-PATH", -1),
        ChannelView(device("console", 3, 2, 1, 23), "org.three", "socket", "/run/three", 12),
    ]


class FakeToolstack:
    """Domains in a list; what is asked of it is written down in `calls`."""

    name = "fake"

    def __init__(self, domains: Sequence[DomainView] | None = None) -> None:
        self.views = list(some_domains() if domains is None else domains)
        self.calls: list[tuple[object, ...]] = []
        self.undone: list[str] = []
        self.relocked: tuple[list[str], list[str]] = ([], [])
        self.log = "/nowhere"
        self.failing: dict[str, XentoolError] = {}
        self.facts = {
            "host": "dom0",
            "nr_cpus": "2",
            "virt_caps": "pv hvm",
            "free_memory": "512",
            "free_cpus": "0",
            "xen_caps": "xen-3.0-x86_64 ",
            "xen_commandline": "",
        }

    def _do(self, what: str, *details: object) -> None:
        self.calls.append((what, *details))
        if what in self.failing:
            raise self.failing[what]

    def resolve(self, name_or_domid: str) -> DomId:
        for domain in self.views:
            if name_or_domid in (str(domain.domid), domain.name):
                return domain.domid
        raise NotFoundError(
            "find domain", name_or_domid, "no such domain", hint="`xentool list` shows those there are"
        )

    def domains(self) -> Sequence[DomainView]:
        self._do("domains")
        return self.views

    def domain(self, domid: DomId) -> DomainView:
        return next(domain for domain in self.views if domain.domid == domid)

    def plan(self, config: DomainConfig) -> Plan:
        raise NotImplementedError

    def create(
        self, config: DomainConfig, *, paused: bool = False, progress: Callable[[str], None] | None = None
    ) -> DomId:
        self._do("create", config.name, paused)
        if progress is not None:
            progress("reading the kernel")
            progress("starting it")
        self.views.append(view(20, config.name))
        return DomId(20)

    def destroy(self, domid: DomId) -> None:
        self._do("destroy", domid)

    def pause(self, domid: DomId) -> None:
        self._do("pause", domid)

    def unpause(self, domid: DomId) -> None:
        self._do("unpause", domid)

    def shutdown(self, domid: DomId, *, acpi: bool = False) -> None:
        self._do("shutdown", domid, *(["acpi"] if acpi else []))

    def save(
        self,
        domid: DomId,
        path: str,
        *,
        after: str = "destroy",
        config: bytes | None = None,
        sync: bool = True,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._do("save", domid, path, after, config, *([] if sync else ["no sync"]))
        if progress is not None:
            progress("writing its memory")

    def restore(
        self,
        path: str,
        config: DomainConfig | None = None,
        *,
        paused: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> DomId:
        self._do("restore", path, config and config.name, paused)
        if progress is not None:
            progress("reading its memory")
        self.views.append(view(21, "again"))
        return DomId(21)

    def resume(self, domid: DomId) -> None:
        self._do("resume", domid)

    def wait_for_shutdown(self, domid: DomId, timeout_seconds: float | None = None) -> None:
        self._do("wait", domid, timeout_seconds)

    def console_path(
        self, domid: DomId, timeout_seconds: float = 10, *, number: int = 0, kind: str = ""
    ) -> str:
        self._do("console_path", domid, *([number] if number else []), *([kind] if kind else []))
        return "/nowhere"

    def console_log(self, domain: str) -> str:
        self._do("console_log", domain)
        return self.log

    def config_of(self, domid: DomId) -> dict[str, object]:
        if domid == 17:
            raise NotFoundError("read the config of domain", domid, "it has none")
        return {"c_info": {"type": "pv", "name": "x"}, "disks": [], "on_reboot": "restart", "b_info": {}}

    def vifs(self, domains: Sequence[str]) -> Sequence[VifView]:
        wanted = [self.resolve(domain) for domain in domains]
        return [vif for domid in wanted for vif in some_vifs() if vif.domid == domid]

    def locked_vifs(self, domid: DomId) -> Sequence[int]:
        return [vif.devid for vif in some_vifs() if vif.domid == domid and vif.lock is not None]

    def disks(self, domains: Sequence[str]) -> Sequence[DiskView]:
        wanted = [self.resolve(domain) for domain in domains]
        return [disk for domid in wanted for disk in some_disks() if disk.domid == domid]

    def channels(self, domains: Sequence[str]) -> Sequence[ChannelView]:
        wanted = [self.resolve(domain) for domain in domains]
        return [channel for domid in wanted for channel in some_channels() if channel.domid == domid]

    def plan_vif(self, domain: str, words: Sequence[str]) -> DevicePlan:
        return self._plan("plan_vif", domain, *words)

    def plan_disk(self, domain: str, words: Sequence[str]) -> DevicePlan:
        return self._plan("plan_disk", domain, *words)

    def plan_cd(self, domain: str, which: str, target: str) -> DevicePlan:
        return self._plan("plan_cd", domain, which, target)

    def _plan(self, what: str, domain: str, *details: str) -> DevicePlan:
        self._do(what, domain, *details)
        nodes = [("/local/domain/3/device/vif/0", "", "n3,r0"), ("/local/domain/3/device/vif/0/mac", MAC, "")]
        return DevicePlan("vif 0", 0, nodes, {"devid": 0, "mac": MAC})

    def attach_vif(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        self._do("attach_vif", domain, *words)
        return self.resolve(domain), 0

    def detach_vif(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        self._do("detach_vif", domain, which, force)
        return self.resolve(domain), 0

    def attach_disk(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        self._do("attach_disk", domain, *words)
        return self.resolve(domain), 51712

    def detach_disk(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        self._do("detach_disk", domain, which, force)
        return self.resolve(domain), 51712

    def insert_cd(self, domain: str, which: str, target: str) -> tuple[DomId, int]:
        self._do("insert_cd", domain, which, target)
        return self.resolve(domain), 51744

    def cpupool_names(self) -> dict[int, str]:
        return {0: "Pool-0", 7: "quiet"}

    def host(self) -> HostView:
        return HostView(dict(self.facts))

    def finish_undone(self) -> tuple[list[str], list[str]]:
        return self.undone, []

    def relock(self) -> tuple[list[str], list[str]]:
        return self.relocked


class FakeBackend:
    """Stands where `xentool.cli.backends.Backend` does."""

    def __init__(self, toolstack: FakeToolstack | None = None, lock_directory: str = "/nonexistent") -> None:
        self.fake = toolstack or FakeToolstack()
        self.lock_directory = lock_directory
        self.closed = False
        self.chosen = ""
        self.say: Callable[[str], None] | None = None
        self.host = SimpleNamespace(release=(4, 20))

    @property
    def toolstack(self) -> FakeToolstack:
        return self.fake

    @property
    def planner(self) -> FakeToolstack:
        return self.fake

    def choose(
        self,
        toolstack: str,
        say: Callable[[str], None] | None = None,
        verbosity: int = 1,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.chosen = toolstack
        self.say = say

    def collect(self) -> tuple[list[str], list[str]]:
        return self.fake.finish_undone()

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
