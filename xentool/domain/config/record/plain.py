"""The record of what every toolstack honours; `whole` adds what goes further.

`create` of the native toolstack loads this module, and no more of the record for most configs.

Source: tools/xl/xl_parse.c (parse_config_data), xl_vmcontrol.c (create_domain).
"""

from __future__ import annotations

from xentool.domain.config.model import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.devices.vif.spec import Vif
    from xentool.domain.config.affinity import Affinity
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.config.yajl import Json

ANY_DOMID = 0xFFFFFFFF
"""INVALID_DOMID, xl's way to ask for any; it stays in the record."""
DEFAULT_MEMORY_KIB = 32 << 10
DEFAULT_EVENT_CHANNELS = 1023


def plain_record(
    config: DomainConfig, uuid: str, cpu_nodes: Sequence[int], *, built: bool
) -> dict[str, Json]:
    """The record without what is in `config.beyond`, in libxl's order.

    If it is `built`, with what libxl has filled in when the domain is there.
    """
    record: dict[str, Json] = {
        "c_info": _create_info(config, uuid),
        "b_info": _build_info(config, cpu_nodes, built=built),
    }
    if config.disks:
        from xentool.devices.vbd.device import disk_entry

        record["disks"] = [disk_entry(disk, of_config=built) for disk in config.disks]
    if config.vifs:
        record["nics"] = [_nic(vif, uuid, built=built) for vif in config.vifs]
    if config.channels:
        from xentool.devices.channel.device import channel_entry

        record["channels"] = [{**channel_entry(channel)} for channel in config.channels]
    for key in ("on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"):
        action: Action = getattr(config, key)
        if action != Action.DESTROY:
            record[key] = _action(action)
    return record


def _nic(vif: Vif, uuid: str, *, built: bool) -> dict[str, Json]:
    """The interface; libxl fills in of which type it is where that is not said."""
    from xentool.devices.vif.device import nic_entry

    entry: dict[str, Json] = {**nic_entry(vif, uuid)}
    if not built or vif.type == "ioemu":
        kinds = {None: None, "vif": "vif", "ioemu": "vif_ioemu"}
        kind = kinds[vif.type]
        if kind is None:
            del entry["nictype"]
        else:
            entry["nictype"] = kind
    return entry


def _create_info(config: DomainConfig, uuid: str) -> dict[str, Json]:
    info: dict[str, Json] = {"type": str(config.type), "name": config.name, "domid": ANY_DOMID, "uuid": uuid}
    if config.pool is not None:
        info["pool_name"] = config.pool
    info["run_hotplug_scripts"] = "True"
    _flag(info, config, "driver_domain", "driver_domain", config.driver_domain)
    return info


def _build_info(config: DomainConfig, cpu_nodes: Sequence[int], *, built: bool) -> dict[str, Json]:
    info = _vcpu_fields(config, cpu_nodes) | _memory_fields(config)
    if built:
        info["video_memkb"] = 0
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
    if config.kernel:
        info["kernel"] = config.kernel
    if config.cmdline or not config.given.isdisjoint(("cmdline", "extra")):
        info["cmdline"] = config.cmdline
    if config.ramdisk is not None:
        info["ramdisk"] = config.ramdisk
    info[f"type.{config.type}"] = {}
    info["arch_arm"] = {}
    info["arch_x86"] = {"msr_relaxed": "False"} if built else {}
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
