"""The toolstack port: what commands need, in the words of a sysadmin.

A toolstack carries out create, list, destroy and the rest on one host. What
one of them made, all of them (and xl, and virsh) can list and stop, because
they share the store, the domain's userdata and the rules, never private state.

Every method raises `xentool.errors.XentoolError` and nothing else on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.plan import Plan
    from xentool.toolstack.deviceviews import ChannelView, DevicePlan, DiskView, VifView
    from xentool.toolstack.views import DomainView, HostView, RecordPlan
    from xentool.units import DomId


class Devices(Protocol):
    """Devices of domains that run; a domain is its name or number.

    What a guest can write decides nothing here, but the live figures that a view shows.
    What attaches leaves the device whole, its backend ready for the guest's driver, or
    nothing of it. Lists are by domain, as asked for, and then in the store's order; what
    attaches or detaches says which device of which domain it was.

    All raise NotFoundError where there is no such domain.
    """

    def vifs(self, domains: Sequence[str]) -> Sequence[VifView]: ...

    def disks(self, domains: Sequence[str]) -> Sequence[DiskView]: ...

    def channels(self, domains: Sequence[str]) -> Sequence[ChannelView]: ...

    def plan_vif(self, domain: str, words: Sequence[str]) -> DevicePlan:
        """What `attach_vif` would do; changes nothing, and asks no bridge, script or driver."""

    def attach_vif(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        """Plug a network device, given as xl's ``network-attach`` has it (``bridge=br0 mac=…``).

        Raises:
            ConfigError: it is no such device.
        """

    def detach_vif(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        """Unplug the network device of that number or MAC; by `force` without asking the guest.

        Raises:
            NotFoundError: there is none; says which there are.
            TimedOutError: the guest keeps it. Nothing was taken away.
        """

    def plan_disk(self, domain: str, words: Sequence[str]) -> DevicePlan: ...

    def attach_disk(self, domain: str, words: Sequence[str]) -> tuple[DomId, int]:
        """Plug a disk, given as xl's ``block-attach`` has it (``/img,raw,xvdb,w``, in one word or many)."""

    def detach_disk(self, domain: str, which: str, *, force: bool = False) -> tuple[DomId, int]:
        """Unplug the disk of that name ("xvda") or number; raises as `detach_vif`."""

    def plan_cd(self, domain: str, which: str, target: str) -> DevicePlan: ...

    def insert_cd(self, domain: str, which: str, target: str) -> tuple[DomId, int]:
        """Put the image `target` into the domain's CD-ROM drive, in place of what is there; "" empties it."""


class Toolstack(Devices, Protocol):
    """Something that can carry out xentool's commands on a host."""

    @property
    def name(self) -> str:
        """``"native"``, ``"libxl"``, or ``"auto"``: both, each for what is its own."""

    def resolve(self, name_or_domid: str) -> DomId:
        """The domain of that name or number.

        Like xl, a string of digits is a domid. A name is matched against running
        domains only, never against what a dead domain left in the store.

        Raises:
            NotFoundError: there is none.
        """

    def domains(self) -> Sequence[DomainView]:
        """All domains, by domid, Domain-0 first."""

    def domain(self, domid: DomId) -> DomainView: ...

    def plan(self, config: DomainConfig) -> Plan | RecordPlan:
        """What `create` would do, of which nothing is done: where domains are built by our own code pure
        arithmetic on the config, the kernel and the ramdisk; of libxl the record that it would be given."""

    def create(
        self, config: DomainConfig, *, paused: bool = False, progress: Callable[[str], None] | None = None
    ) -> DomId:
        """Build the domain and start it, unless `paused`. Either it is whole afterwards, or nothing is left.

        `progress` is told each step's name as it begins.
        """

    def destroy(self, domid: DomId) -> None: ...

    def pause(self, domid: DomId) -> None: ...

    def unpause(self, domid: DomId) -> None: ...

    def shutdown(self, domid: DomId, *, acpi: bool = False) -> None:
        """Ask the guest to power off; returns when it was asked.

        By `acpi` the ACPI power button is pressed of a guest that has no PV drivers to ask
        (``xl shutdown -F``).
        """

    def wait_for_shutdown(self, domid: DomId, timeout_seconds: float | None = None) -> None:
        """Wait until the domain is gone or has shut down; then carry out its on_poweroff action.

        Raises:
            TimedOutError: it still runs after `timeout_seconds`.
        """

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
        """Write the domain, its memory and its config into a file that `restore` and ``xl restore`` take.

        `after` says what becomes of it then: "destroy", "run" (``xl save -c``) or "pause" (``xl save -p``).
        `config` is kept in the file in the place of the domain's own. The file is whole or it is not
        there, and the guest runs on where saving fails; so it is with ^C. Unless `sync`, what is written may
        still be in the kernel's memory alone when the guest ends, as with xl.

        Raises:
            UnsupportedError: this toolstack saves no domains.
            HostError: the file cannot be written.
        """

    def restore(
        self,
        path: str,
        config: DomainConfig | None = None,
        *,
        paused: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> DomId:
        """Make a domain of a file that `save` or ``xl save`` wrote, and let it run on, unless `paused`.

        `config` replaces the one in the file. Either the domain is whole afterwards, or nothing is left.

        Raises:
            UnsupportedError: this toolstack restores no domains.
            ConfigError: the file is none that was saved, or not whole.
        """

    def resume(self, domid: DomId) -> None:
        """Have a suspended domain go on where it was: one whose save was cut off.

        Raises:
            UnsupportedError: this toolstack saves no domains.
        """

    def console_path(
        self, domid: DomId, timeout_seconds: float = 10, *, number: int = 0, kind: str = ""
    ) -> str:
        """The path of the terminal (a pty) that carries a console of the domain.

        `kind` "pv" is its PV console, or channel `number` - 1; "serial" its serial port `number`, where it
        has one (else its PV console, as with xl); "" the one that xl attaches to: the first serial port of
        an HVM domain, the PV console of others.
        """

    def console_log(self, domain: str) -> str:
        """The path of the console daemon's log of a domain, which may be gone by now.

        Raises:
            NotFoundError: there is none; says how logging is turned on.
        """

    def config_of(self, domid: DomId) -> dict[str, object]:
        """The domain's config as libxl's JSON has it (``list -l``)."""

    def locked_vifs(self, domid: DomId) -> Sequence[int]:
        """The numbers of the domain's network devices that are held to their addresses, in their order.

        Empty where there is no such domain.
        """

    def cpupool_names(self) -> dict[int, str]:
        """The names of the cpupools that have one, by the pool's number."""

    def host(self) -> HostView: ...

    def finish_undone(self) -> tuple[list[str], list[str]]:
        """Undo killed creates, attaches and saves: the uuids of what that was, and sentences on what
        could not be undone."""

    def relock(self) -> tuple[list[str], list[str]]:
        """Set the locks of network interfaces again where somebody else has taken them away, and take away
        those that outlived their interface: the names of the former, and of the latter."""

    def close(self) -> None:
        """Let go of what is the toolstack's own; the host and its connections are not."""
