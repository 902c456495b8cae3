"""What a config asks for: one frozen value, whichever syntax it was written in.

The words (guest types, actions, TSC modes) are closed sets of strings rather
than `enum.Enum`, and `DomainConfig` is written by hand rather than a dataclass,
because `create` imports this module and enum and dataclasses cost more than
reading the config does.

Source: xl.cfg(5); tools/libs/light/libxl_types.idl (domain_create_info, domain_build_info, domain_config).
"""

from __future__ import annotations

from xentool.values import Frozen, FrozenMap, Word, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

    from xentool.devices.channel.spec import Channel
    from xentool.devices.vbd.spec import Disk
    from xentool.devices.vif.spec import Vif
    from xentool.domain.config.affinity import Affinity


class GuestType(Word):
    """How a guest is run (libxl_domain_type)."""

    __slots__ = ()
    WORDS = ("hvm", "pv", "pvh")
    HVM: ClassVar[GuestType]
    PV: ClassVar[GuestType]
    PVH: ClassVar[GuestType]


GuestType.HVM, GuestType.PV, GuestType.PVH = map(GuestType, GuestType.WORDS)


class Action(Word):
    """What becomes of a domain when it stops (libxl_action_on_shutdown), in xl.cfg's words."""

    __slots__ = ()
    WORDS = (
        "destroy", "restart", "rename-restart", "preserve",
        "coredump-destroy", "coredump-restart", "soft-reset",
    )  # fmt: skip
    DESTROY: ClassVar[Action]
    RESTART: ClassVar[Action]
    RENAME_RESTART: ClassVar[Action]
    PRESERVE: ClassVar[Action]
    COREDUMP_DESTROY: ClassVar[Action]
    COREDUMP_RESTART: ClassVar[Action]
    SOFT_RESET: ClassVar[Action]


(
    Action.DESTROY, Action.RESTART, Action.RENAME_RESTART, Action.PRESERVE,
    Action.COREDUMP_DESTROY, Action.COREDUMP_RESTART, Action.SOFT_RESET,
) = map(Action, Action.WORDS)  # fmt: skip


class TscMode(Word):
    """How the guest's time stamp counter is provided (libxl_tsc_mode; its number is the word's index)."""

    __slots__ = ()
    WORDS = ("default", "always_emulate", "native", "native_paravirt")
    DEFAULT: ClassVar[TscMode]
    ALWAYS_EMULATE: ClassVar[TscMode]
    NATIVE: ClassVar[TscMode]
    NATIVE_PARAVIRT: ClassVar[TscMode]


TscMode.DEFAULT, TscMode.ALWAYS_EMULATE, TscMode.NATIVE, TscMode.NATIVE_PARAVIRT = map(TscMode, TscMode.WORDS)


class Source(Frozen):
    """Where a config came from.

    `path` names the file for people ("-" for standard input), `syntax` is ``"xl"`` or
    ``"yaml"``, and `raw` is the whole config, the command line's overrides included, as
    xl.cfg text: what `xl` keeps as the domain's userdata ``xl``.
    """

    __slots__ = ("path", "raw", "syntax")
    path: str
    raw: bytes
    syntax: str

    def __init__(self, path: str, raw: bytes = b"", syntax: str = "xl") -> None:
        set_slots(self, locals())


class DomainConfig(Frozen):
    """A domain, as its config asks for it. Defaults are filled in; nothing is resolved against a host.

    `beyond` has what only libxl does: the keys of xl.cfg of status "libxl" (`keys`) that the config
    gives and that concern such a guest, each with its value, checked (`further`).
    `kernel` is "" in a guest that brings its own: an HVM guest boots as a PC does, and a bootloader
    or firmware finds the kernel of others.
    Memory is in KiB. `uuid` is canonical text, or None: `create` makes one. `cpus` and
    `cpus_soft` are None where the config says nothing. `pool` is a name or a number as
    text, None for Pool-0. None in `cpu_weight`, `cap`, `max_grant_frames`,
    `max_maptrack_frames` and `max_grant_version` means: the host's default.
    `rtc_timeoffset` is in seconds. Each of `vifs` has its `devid`; a channel's number is its
    place, from 1. `given` has the keys that the config sets: libxl's record of a domain
    (`userdata`) tells a default from the same value written out.
    """

    __slots__ = (
        "beyond",
        "cap",
        "channels",
        "cmdline",
        "cpu_weight",
        "cpus",
        "cpus_soft",
        "disks",
        "driver_domain",
        "given",
        "kernel",
        "localtime",
        "max_event_channels",
        "max_grant_frames",
        "max_grant_version",
        "max_maptrack_frames",
        "max_memory_kib",
        "max_vcpus",
        "memory_kib",
        "name",
        "nomigrate",
        "on_crash",
        "on_poweroff",
        "on_reboot",
        "on_soft_reset",
        "on_watchdog",
        "pool",
        "ramdisk",
        "rtc_timeoffset",
        "source",
        "tsc_mode",
        "type",
        "uuid",
        "vcpus",
        "vifs",
    )  # fmt: skip

    name: str
    type: GuestType
    uuid: str | None
    memory_kib: int
    max_memory_kib: int
    vcpus: int
    max_vcpus: int
    cpus: Affinity | None
    cpus_soft: Affinity | None
    pool: str | None
    cpu_weight: int | None
    cap: int | None
    kernel: str
    ramdisk: str | None
    cmdline: str
    disks: tuple[Disk, ...]
    channels: tuple[Channel, ...]
    on_poweroff: Action
    on_reboot: Action
    on_watchdog: Action
    on_crash: Action
    on_soft_reset: Action
    max_grant_frames: int | None
    max_maptrack_frames: int | None
    max_grant_version: int | None
    max_event_channels: int
    localtime: bool
    rtc_timeoffset: int
    tsc_mode: TscMode
    nomigrate: bool
    driver_domain: bool
    vifs: tuple[Vif, ...]
    beyond: Mapping[str, object]
    given: frozenset[str]
    source: Source

    def __init__(
        self,
        *,
        name: str,
        kernel: str = "",
        type: GuestType = GuestType.PV,  # noqa: A002 - xl.cfg's own name for it
        uuid: str | None = None,
        memory_kib: int = 32 << 10,
        max_memory_kib: int | None = None,
        vcpus: int = 1,
        max_vcpus: int | None = None,
        cpus: Affinity | None = None,
        cpus_soft: Affinity | None = None,
        pool: str | None = None,
        cpu_weight: int | None = None,
        cap: int | None = None,
        ramdisk: str | None = None,
        cmdline: str = "",
        disks: tuple[Disk, ...] = (),
        channels: tuple[Channel, ...] = (),
        on_poweroff: Action = Action.DESTROY,
        on_reboot: Action = Action.RESTART,
        on_watchdog: Action = Action.DESTROY,
        on_crash: Action = Action.DESTROY,
        on_soft_reset: Action = Action.SOFT_RESET,
        max_grant_frames: int | None = None,
        max_maptrack_frames: int | None = None,
        max_grant_version: int | None = None,
        max_event_channels: int = 1023,
        localtime: bool = False,
        rtc_timeoffset: int = 0,
        tsc_mode: TscMode = TscMode.DEFAULT,
        nomigrate: bool = False,
        driver_domain: bool = False,
        vifs: tuple[Vif, ...] = (),
        beyond: Mapping[str, object] = FrozenMap(),
        given: frozenset[str] = frozenset(),
        source: Source = Source(""),  # noqa: B008 - frozen
    ) -> None:
        if max_memory_kib is None:
            max_memory_kib = memory_kib
        if max_vcpus is None:
            max_vcpus = vcpus
        beyond = FrozenMap(beyond)
        set_slots(self, locals())
