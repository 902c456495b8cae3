"""libxl's record of a domain: the JSON that every toolstack keeps, and reads from the others.

libxl stores the config that it was given, before it fills in defaults, so a key that the config
does not set is not in the record; the few that xl or libxl set by themselves are. `libxl_json`
makes the same bytes. It does so by hand (`yajl`), because ``json`` costs more to import than this
takes to run and formats otherwise.

Beside ``libxl-json``, `xl create` leaves no userdata: ``xl`` (the raw config) is written by
`xl config-update` only, and ``domain-userdata-lock`` is removed with the lock.

What is not as xl would have it, and why:

=============================  =====================================================================
in the record                  why it differs
=============================  =====================================================================
vcpu_hard_affinity,            xl forgets ``cpus`` and ``cpus_soft`` where there is no ``vcpus``; we
vcpu_soft_affinity             honour them
keys that change nothing       (``vpmu=0``, ``hap=0``, ``acpi=1``, ``videoram`` … on a PV guest) are
                               recorded by xl, not by us
=============================  =====================================================================

Source: tools/libs/light/libxl_types.idl (the order of fields), gentypes.py (which are left out),
libxl_internal.c (libxl__update_domain_configuration), libxl_dom.c (libxl__userdata_store);
tools/xl/xl_parse.c.
"""

from __future__ import annotations

from xentool.domain.config.model import Action, GuestType
from xentool.domain.config.yajl import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.config.affinity import Affinity
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.config.yajl import Json

CONFIG_NAME = "libxl-json"
"""The last part of the file's name: userdata-d.DOMID.UUID.libxl-json."""

ANY_DOMID = 0xFFFFFFFF
"""INVALID_DOMID, xl's way to ask for any; it stays in the record."""
DEFAULT_MEMORY_KIB = 32 << 10
DEFAULT_EVENT_CHANNELS = 1023


def libxl_json(
    config: DomainConfig, uuid: str, xen_version: tuple[int, int], cpu_nodes: Sequence[int] = ()
) -> bytes:
    """The record of a PV domain, as the file's bytes.

    `uuid` is the domain's (the config may leave it open), and `cpu_nodes` is the NUMA node of
    each of the host's CPUs, needed if the config has ``cpus`` or ``cpus_soft``. From `xen_version`
    (4, 17) to (4, 21) the record of a PV domain is the same: what libxl_types.idl gained since
    (a vif's ``vlan``) is left out unless it is asked for, and an older libxl skips it.
    """
    assert xen_version >= (4, 17)
    text = dump(domain_config(config, uuid, cpu_nodes))
    return text.encode("utf-8", "surrogateescape") + b"\0"


def domain_config(config: DomainConfig, uuid: str, cpu_nodes: Sequence[int] = ()) -> dict[str, Json]:
    """The record as a value (libxl_domain_config), in libxl's order."""
    if config.type != GuestType.PV:
        raise AssertionError(f"no record is made of a {config.type} domain yet")
    record: dict[str, Json] = {"c_info": _create_info(config, uuid), "b_info": _build_info(config, cpu_nodes)}
    if config.disks:
        from xentool.devices.vbd.device import disk_entry

        record["disks"] = [disk_entry(disk, of_config=True) for disk in config.disks]
    if config.vifs:
        from xentool.devices.vif.device import nic_entry

        record["nics"] = [{**nic_entry(vif, uuid)} for vif in config.vifs]
    if config.channels:
        from xentool.devices.channel.device import channel_entry

        record["channels"] = [{**channel_entry(channel)} for channel in config.channels]
    for key in ("on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"):
        action: Action = getattr(config, key)
        if action != Action.DESTROY:
            record[key] = _action(action)
    return record


def _create_info(config: DomainConfig, uuid: str) -> dict[str, Json]:
    info: dict[str, Json] = {"type": str(config.type), "name": config.name, "domid": ANY_DOMID, "uuid": uuid}
    if config.pool is not None:
        info["pool_name"] = config.pool
    info["run_hotplug_scripts"] = "True"
    _flag(info, config, "driver_domain", "driver_domain", config.driver_domain)
    return info


def _build_info(config: DomainConfig, cpu_nodes: Sequence[int]) -> dict[str, Json]:
    info = _vcpu_fields(config, cpu_nodes) | _memory_fields(config)
    if config.rtc_timeoffset:
        info["rtc_timeoffset"] = config.rtc_timeoffset & 0xFFFFFFFF
    _flag(info, config, "localtime", "localtime", config.localtime)
    _flag(info, config, "nomigrate", "disable_migrate", config.nomigrate)
    for name in ("max_grant_frames", "max_maptrack_frames", "max_grant_version"):
        _number(info, name, getattr(config, name))
    scheduling: dict[str, Json] = {}
    _number(scheduling, "weight", config.cpu_weight)
    _number(scheduling, "cap", config.cap)
    info["sched_params"] = scheduling
    info["claim_mode"] = "True"  # xl.conf's default
    if config.max_event_channels != DEFAULT_EVENT_CHANNELS or "max_event_channels" in config.given:
        info["event_channels"] = config.max_event_channels
    info["kernel"] = config.kernel
    if config.cmdline or not config.given.isdisjoint(("cmdline", "extra")):
        info["cmdline"] = config.cmdline
    if config.ramdisk is not None:
        info["ramdisk"] = config.ramdisk
    info["type.pv"] = {}
    info["arch_arm"] = {}
    info["arch_x86"] = {"msr_relaxed": "False"}
    return info


def _vcpu_fields(config: DomainConfig, cpu_nodes: Sequence[int]) -> dict[str, Json]:
    info: dict[str, Json] = {}
    online = config.vcpus != 1 or "vcpus" in config.given
    if online or config.max_vcpus != 1 or "maxvcpus" in config.given:
        info["max_vcpus"] = config.max_vcpus
    if online:
        info["avail_vcpus"] = list(range(config.vcpus))
    if config.cpus is not None:
        info["vcpu_hard_affinity"] = _bitmaps(config.cpus, config, cpu_nodes)
    if config.cpus_soft is not None:
        info["vcpu_soft_affinity"] = _bitmaps(config.cpus_soft, config, cpu_nodes)
    if config.cpus_soft is not None or (config.cpus is not None and config.cpus.per_vcpu):
        info["numa_placement"] = "False"
    if config.tsc_mode != config.tsc_mode.DEFAULT:
        info["tsc_mode"] = str(config.tsc_mode)
    return info


def _memory_fields(config: DomainConfig) -> dict[str, Json]:
    """maxmem alone is libxl's target too, memory alone its maximum; of neither, libxl makes 32 MiB."""
    info: dict[str, Json] = {}
    unsaid = config.given.isdisjoint(("memory", "maxmem")) and config.max_memory_kib == DEFAULT_MEMORY_KIB
    if not unsaid:
        info["max_memkb"] = config.max_memory_kib
        if "memory" in config.given or "maxmem" not in config.given:
            info["target_memkb"] = config.memory_kib
    info["video_memkb"] = 0
    return info


def _flag(info: dict[str, Json], config: DomainConfig, key: str, name: str, value: bool) -> None:
    if value or key in config.given:
        info[name] = "True" if value else "False"


def _number(info: dict[str, Json], name: str, value: int | None) -> None:
    if value is not None:
        info[name] = value


def _action(action: Action) -> str:
    """libxl's word for an action, which is not always xl.cfg's."""
    if action == Action.RENAME_RESTART:
        return "restart_rename"
    return action.replace("-", "_")


def _bitmaps(affinity: Affinity, config: DomainConfig, cpu_nodes: Sequence[int]) -> list[Json]:
    """libxl's bitmaps are whole bytes, and "all" sets every bit of them, of CPUs that there are not too."""
    width = (len(cpu_nodes) + 7) & ~7
    return [
        [cpu for cpu in range(width) if bitmap >> cpu & 1]
        for bitmap in affinity.bitmaps(config.max_vcpus, cpu_nodes, width)
    ]


BUILD_INFO_ORDER = ("max_vcpus", "avail_vcpus", "vcpu_hard_affinity", "vcpu_soft_affinity", "numa_placement",
    "tsc_mode", "max_memkb", "target_memkb")  # fmt: skip
"""The first fields of libxl_domain_build_info, those that `as_it_is` may have to insert among them."""


def as_it_is(
    record: dict[str, object],
    *,
    name: str,
    uuid: str,
    online_vcpus: Sequence[int],
    target_kib: int,
    max_kib: int,
    scheduling: dict[str, object],
) -> dict[str, object]:
    """A PV domain's record, brought up to date as ``xl list -l`` does: what may have changed since create.

    `target_kib` and `max_kib` are the store's ``memory/target`` and ``memory/static-max``,
    `online_vcpus` the vcpus whose ``cpu/N/availability`` is "online", and `scheduling` is, for the
    credit schedulers, ``{"sched": "credit2", "weight": 256, "cap": 0}``, in that order.

    Source: tools/libs/light/libxl_domain.c (retrieve_domain_configuration_end).
    """
    create_info, build_info = record.get("c_info"), record.get("b_info")
    if not isinstance(create_info, dict) or not isinstance(build_info, dict):
        return record
    known = build_info.get("max_vcpus", 0)
    changes: dict[str, object] = {
        "avail_vcpus": [vcpu for vcpu in online_vcpus if vcpu < known],
        "max_memkb": max_kib,
        "target_memkb": target_kib,
        "sched_params": scheduling,
    }
    if not changes["avail_vcpus"]:
        del changes["avail_vcpus"]
        build_info = {key: value for key, value in build_info.items() if key != "avail_vcpus"}
    updated = build_info | changes
    first = {key: updated[key] for key in BUILD_INFO_ORDER if key in updated}
    return record | {"c_info": create_info | {"name": name, "uuid": uuid}, "b_info": first | updated}


def config_from_userdata(raw: bytes) -> dict[str, object]:
    """The record that any toolstack left, read: what `list -l` prints as "config".

    Raises:
        ConfigError: that is not libxl's JSON.
    """
    import json

    from xentool.errors import ConfigError

    try:
        value = json.loads(raw.rstrip(b"\0").decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as exc:
        raise ConfigError(
            "read libxl's record of", "the domain", f"it is not JSON: {exc}", hint="which toolstack wrote it?"
        ) from exc
    if not isinstance(value, dict):
        raise ConfigError("read libxl's record of", "the domain", "it is JSON, but not a map")
    return value
