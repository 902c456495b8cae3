"""From settings to a `DomainConfig`: every key read, checked, and accounted for.

No key that is set goes unnoticed: it is honoured (by every toolstack, or through libxl alone: `beyond`),
or it is a warning (nobody knows it, it concerns another type of guest, or it has no effect). A value
that asks for nothing (an empty list, the default) is no warning.
"""

from __future__ import annotations

from xentool.domain.config.keys import Key, find_key, nearest_key
from xentool.domain.config.lexer import parse_number
from xentool.domain.config.limits import INT_MAX, MAX_MEBIBYTES, MAX_VCPUS
from xentool.domain.config.model import Action, DomainConfig, GuestType, Source, TscMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.channel.spec import Channel
    from xentool.devices.vbd.spec import Disk
    from xentool.devices.vif.spec import Vif
    from xentool.domain.config.reader import Reader

DEFAULT_MEMORY_KIB = 32 << 10
DEFAULT_EVENT_CHANNELS = 1023
MAX_CMDLINE_BYTES = 1023
"""start_info has 1024 bytes, one of which ends the string (xen/include/public/xen.h)."""
MAX_NAME_BYTES = 200
"""So that files called after the domain (logs, userdata) have room for the rest of their names."""

HEX = frozenset("0123456789abcdef")


def build_config(reader: Reader, source: Source) -> DomainConfig:
    """The config that the settings ask for; what is odd about it is in `reader.warnings`.

    Raises:
        ConfigError: a value is missing, or does not fit.
    """
    guest_type = _type(reader)
    further = _account_for_every_key(reader, guest_type)
    beyond = _beyond(reader, guest_type, further)
    memory, max_memory = _memory(reader, beyond)
    vcpus, max_vcpus = _vcpus(reader, beyond)
    affinity = reader.affinity("cpus")
    soft = reader.affinity("cpus_soft")
    for key, value in (("cpus", affinity), ("cpus_soft", soft)):
        if value is not None and value.per_vcpu and len(value.lists) > max_vcpus:
            reader.warn(
                key, f"has {len(value.lists)} entries for {max_vcpus} vcpus", "those left over are ignored"
            )
    return DomainConfig(
        name=_name(reader),
        type=guest_type,
        uuid=_uuid(reader),
        memory_kib=memory,
        max_memory_kib=max_memory,
        vcpus=vcpus,
        max_vcpus=max_vcpus,
        cpus=affinity,
        cpus_soft=soft,
        pool=reader.text("pool") or None,
        cpu_weight=reader.number("cpu_weight", 1, 65535),
        cap=reader.number("cap", 0, 100 * max_vcpus, "a percentage of one CPU"),
        kernel=_kernel(reader, guest_type),
        ramdisk=reader.text("ramdisk") or None,
        cmdline=_cmdline(reader, guest_type),
        disks=_disks(reader) if "disk" in reader else (),
        channels=_channels(reader) if "channel" in reader else (),
        on_poweroff=reader.word("on_poweroff", Action, Action.DESTROY),
        on_reboot=reader.word("on_reboot", Action, Action.RESTART),
        on_watchdog=reader.word("on_watchdog", Action, Action.DESTROY),
        on_crash=reader.word("on_crash", Action, Action.DESTROY),
        on_soft_reset=reader.word("on_soft_reset", Action, Action.SOFT_RESET),
        max_grant_frames=reader.number("max_grant_frames", 1, INT_MAX),
        max_maptrack_frames=reader.number("max_maptrack_frames", 0, INT_MAX),
        max_grant_version=reader.number("max_grant_version", 1, 2),
        max_event_channels=reader.number("max_event_channels", 0, INT_MAX) or DEFAULT_EVENT_CHANNELS,
        localtime=reader.flag("localtime"),
        rtc_timeoffset=reader.number("rtc_timeoffset", -INT_MAX, INT_MAX, "a number of seconds") or 0,
        tsc_mode=_tsc_mode(reader),
        nomigrate=reader.flag("nomigrate"),
        driver_domain=reader.flag("driver_domain"),
        vifs=_vifs(reader, guest_type) if "vif" in reader else (),
        beyond=beyond,
        given=frozenset(reader.settings) - _zeros_for_unset(reader),
        source=source,
    )


def _zeros_for_unset(reader: Reader) -> set[str]:
    """Keys whose 0 means, to libxl too, that they are not set."""
    return {"max_event_channels"} if reader.number("max_event_channels", 0, INT_MAX) == 0 else set()


def _type(reader: Reader) -> GuestType:
    given = reader.word("type", GuestType, GuestType.PV)
    if "builder" in reader:
        builder = reader.text("builder")
        if builder not in ("generic", "hvm"):
            raise reader.error("builder", 'must be "generic" or "hvm"', 'better: type = "pv"')
        built = GuestType.HVM if builder == "hvm" else GuestType.PV
        if "type" in reader and built != given:
            raise reader.error(
                "builder", f'contradicts type = "{given}"', "leave builder out: type replaces it"
            )
        given = built
        reader.warn("builder", f'is deprecated: write type = "{built}"')
    return given


def _account_for_every_key(reader: Reader, guest_type: GuestType) -> list[Key]:
    """Warn of what is of no use; the keys that libxl alone honours."""
    further = []
    for name in reader.settings:
        key = find_key(name)
        if key is None:
            near = nearest_key(name)
            reader.warn(name, "is no key of a config; it is ignored", f"did you mean {near}?" if near else "")
        elif key.status in ("libxl", "deprecated") and key.name != "builder" and key.concerns(guest_type):
            further.append(key)
            if key.instead and not key.asks_for_nothing(reader.settings[name].value):
                reader.warn(name, "is deprecated", f"write {key.instead} = …")
        elif key.status == "supported" or key.asks_for_nothing(reader.settings[name].value):
            continue
        elif not key.concerns(guest_type):
            whom = " and ".join(other.upper() for other in key.types)
            reader.warn(name, f"concerns {whom} guests only; it is ignored")
        elif key.status == "ignored":
            reader.warn(name, f"has no effect: {key.about}")
    return further


def _beyond(reader: Reader, guest_type: GuestType, further: list[Key]) -> dict[str, object]:
    if not further:
        return {}
    from xentool.domain.config.further.read import read_beyond

    return read_beyond(reader, further, guest_type)


def _nodes(beyond: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    """The virtual NUMA nodes, whose memory and vcpus are all that the guest can have."""
    nodes = beyond.get("vnuma")
    return nodes if isinstance(nodes, tuple) else ()


def _memory(reader: Reader, beyond: Mapping[str, object]) -> tuple[int, int]:
    memory = reader.memory_kib("memory", 1, MAX_MEBIBYTES)
    most = reader.memory_kib("maxmem", 1, MAX_MEBIBYTES)
    sizes = [size for node in _nodes(beyond) if isinstance(size := node["memkb"], int)]
    if sizes:
        if most not in (None, sum(sizes)):
            raise reader.error(
                "maxmem",
                f"is not what the nodes of vnuma have ({sum(sizes) >> 10:,} MiB)",
                "leave maxmem out",
            )
        most = sum(sizes)
    if memory is None:
        memory = DEFAULT_MEMORY_KIB if most is None else most
        reader.warn("memory", f"is not given: the domain gets {memory >> 10:,} MiB", "write memory = <MiB>")
    if most is None:
        most = memory
    if most < memory:
        raise reader.error(
            "maxmem" if "maxmem" in reader else "vnuma",
            f"is less than memory ({memory >> 10:,} MiB)",
            "raise it, or lower memory",
        )
    return memory, most


def _vcpus(reader: Reader, beyond: Mapping[str, object]) -> tuple[int, int]:
    vcpus = reader.number("vcpus", 1, MAX_VCPUS) or 1
    most = reader.number("maxvcpus", 1, MAX_VCPUS)
    on_nodes = sum(len(found) for node in _nodes(beyond) if isinstance(found := node["vcpus"], tuple))
    if on_nodes:
        if most not in (None, on_nodes):
            raise reader.error(
                "maxvcpus", f"is not what the nodes of vnuma have ({on_nodes})", "leave maxvcpus out"
            )
        if vcpus > on_nodes:
            raise reader.error("vcpus", f"is more than the nodes of vnuma have ({on_nodes})", "lower vcpus")
        most = on_nodes
    most = most or vcpus
    if most < vcpus:
        raise reader.error("maxvcpus", f"is less than vcpus ({vcpus})", "raise maxvcpus, or leave it out")
    return vcpus, most


def _name(reader: Reader) -> str:
    """The domain's name. xl takes any string; here a name is one that every command can say again."""
    name = reader.text("name")
    if not name:
        if "name" in reader:
            raise reader.error("name", "is empty")
        raise _missing(reader, "name", 'name = "web"')
    if not name.isprintable():
        raise reader.error("name", "holds a character that does not print")
    if "/" in name:
        raise reader.error("name", 'must not hold "/", because log files are called after the domain')
    if name.isdecimal():
        raise reader.error("name", "is a number, which every command would take for a domid", "add a letter")
    if name.startswith("-"):
        raise reader.error("name", 'begins with "-", which every command would take for an option')
    if name != name.strip():
        raise reader.error("name", "begins or ends with a blank")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise reader.error("name", f"is longer than {MAX_NAME_BYTES} bytes")
    if any(char.isspace() for char in name):
        reader.warn("name", "holds a blank, which confuses scripts that read xl's tables")
    return name


def _kernel(reader: Reader, guest_type: GuestType) -> str:
    kernel = reader.text("kernel")
    if guest_type == GuestType.HVM and kernel.rpartition("/")[2] == "hvmloader":
        reader.warn("kernel", "is the firmware of HVM guests, which needs no mention; it is ignored")
        return ""
    others = () if guest_type == GuestType.HVM else ("bootloader", "firmware")
    if not kernel and others and not any(reader.text(key) for key in others):
        raise _missing(reader, "kernel", 'kernel = "/boot/vmlinuz"')
    return kernel


def _missing(reader: Reader, key: str, example: str) -> Exception:
    from xentool.errors import ConfigError

    return ConfigError("read config", reader.path, f"{key} is missing", hint=f"add, for example: {example}")


def _uuid(reader: Reader) -> str | None:
    text = reader.text("uuid")
    if not text:
        return None
    digits = text.lower()
    if len(digits) == 36 and digits[8] == digits[13] == digits[18] == digits[23] == "-":
        digits = digits.replace("-", "")
    if len(digits) != 32 or not HEX.issuperset(digits):
        raise reader.error("uuid", "is not a UUID", 'for example: "5f3a1c9e-7b2d-4e86-9a10-c4d2e8f01b37"')
    if digits == "0" * 32:
        raise reader.error("uuid", "is Domain-0's", "leave uuid out to get a new one")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _cmdline(reader: Reader, guest_type: GuestType) -> str:
    if "cmdline" in reader:
        key = "cmdline"
        text = reader.text(key, forbidden="\0")
        if "root" in reader or "extra" in reader:
            reader.warn(key, "is given, so root and extra are ignored")
    else:
        root, extra = reader.text("root", forbidden="\0"), reader.text("extra", forbidden="\0")
        key = "extra" if "extra" in reader else "root"
        text = extra
        if "root" in reader:
            text = f"root={root} {extra}" if "extra" in reader else f"root={root}"
    size = len(text.encode())
    if guest_type == GuestType.PV and size > MAX_CMDLINE_BYTES:
        raise reader.error(
            key,
            f"makes a command line of {size:,} bytes; a PV guest can be given {MAX_CMDLINE_BYTES:,}",
            "shorten it",
        )
    return text


def _disks(reader: Reader) -> tuple[Disk, ...]:
    from xentool.devices.vbd.spec import parse_disk, parse_disk_mapping

    disks: dict[int, Disk] = {}
    for disk in reader.entries("disk", parse_disk, parse_disk_mapping):
        other = disks.setdefault(disk.devid, disk)
        if other is not disk:
            same = "" if other.vdev == disk.vdev else f' ("{other.vdev}" is the same one)'
            raise reader.error("disk", f'two disks are called "{disk.vdev}"{same}', "give each its own vdev")
    return tuple(disks.values())


def _channels(reader: Reader) -> tuple[Channel, ...]:
    from xentool.devices.channel.spec import channel_of_mapping, parse_channel

    channels: list[Channel] = []
    for channel in reader.entries("channel", parse_channel, channel_of_mapping):
        for other in channels:
            if other.name == channel.name:
                raise reader.error("channel", f'two channels have the name "{channel.name}"', "rename one")
            if channel.path and other.path == channel.path:
                raise reader.error(
                    "channel", f"two channels have the path {channel.path}", "give each its own"
                )
        channels.append(channel)
    return tuple(channels)


def _tsc_mode(reader: Reader) -> TscMode:
    if "tsc_mode" not in reader:
        return TscMode.DEFAULT
    value = reader.settings["tsc_mode"].value
    if isinstance(value, int) or (isinstance(value, str) and parse_number(value) is not None):
        number = reader.number("tsc_mode", 0, len(TscMode.WORDS) - 1) or 0
        mode = TscMode(TscMode.WORDS[number])
        reader.warn("tsc_mode", f'as a number is deprecated: write tsc_mode = "{mode}"')
    else:
        mode = reader.word("tsc_mode", TscMode, TscMode.DEFAULT)
    if mode == TscMode.NATIVE_PARAVIRT:
        raise reader.error("tsc_mode", "Xen no longer has native_paravirt (PVRDTSCP)", "leave tsc_mode out")
    return mode


def _vifs(reader: Reader, guest_type: GuestType) -> tuple[Vif, ...]:
    """The network interfaces. One that does not say its number has its place in the list for it, as in xl."""
    from xentool.devices.vif.spec import parse_vif, vif_of_mapping

    vifs: list[Vif] = []
    seen: dict[str, int] = {}
    entries = reader.entries(
        "vif", lambda text: parse_vif(text, guest_type), lambda entry: vif_of_mapping(entry, guest_type)
    )
    for place, entry in enumerate(entries):
        vif = entry if entry.devid is not None else entry.replace(devid=place)
        named = [f"{key} {value}" for key in ("mac", "vifname") if (value := getattr(vif, key))]
        for what in (f"devid {vif.devid}", *named):
            if seen.setdefault(what, place) != place:
                raise reader.error(
                    "vif",
                    f"entries {seen[what]} and {place} (the first is 0) both have {what}",
                    f"give each its own {what.split()[0]}, or leave it out",
                )
        vifs.append(vif)
    return tuple(vifs)
