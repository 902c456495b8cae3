"""libxl's record of a domain: the JSON that every toolstack keeps, and reads from the others.

libxl stores the config that it was given, before it fills in defaults, so a key that the config
does not set is not in the record; the few that xl or libxl set by themselves are. `libxl_json`
makes the same bytes. It does so by hand, because ``json`` costs more to import than this takes to
run and formats otherwise: libyajl indents by four spaces and ends an empty map two lines on.

Beside ``libxl-json``, `xl create` leaves no userdata: ``xl`` (the raw config) is written by
`xl config-update` only, and ``domain-userdata-lock`` is removed with the lock.

What is not as xl would have it, and why:

===============================  ================================================================
in the record                    why
===============================  ================================================================
a deprecated number in tsc_mode  written as its word; the same value to libxl
values of ignored keys           (``vpmu=0``, ``acpi=1`` on a PV guest) left out: they change nothing
===============================  ================================================================

Source: tools/libs/light/libxl_types.idl (the order of fields), gentypes.py (which are left out),
libxl_internal.c (libxl__update_domain_configuration), libxl_dom.c (libxl__userdata_store);
tools/xl/xl_parse.c; yajl's yajl_gen.c and yajl_encode.c.
"""

from __future__ import annotations

from xentool.domain.config.model import Action, GuestType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.config.affinity import Affinity
    from xentool.domain.config.model import DomainConfig

    Json = str | int | dict[str, "Json"] | list["Json"]

CONFIG_NAME = "libxl-json"
"""The last part of the file's name: userdata-d.DOMID.UUID.libxl-json."""

_ESCAPES = {
    ord('"'): '\\"', ord("\\"): "\\\\", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r",
} | {code: f"\\u{code:04X}" for code in range(32) if code not in (8, 9, 10, 12, 13)}  # fmt: skip


def libxl_json(
    config: DomainConfig, uuid: str, xen_version: tuple[int, int], cpu_nodes: Sequence[int] = ()
) -> bytes:
    """The record of a PV domain, as the file's bytes.

    `uuid` is the domain's (the config may leave it open), `xen_version` is (4, 17) and so on, and
    `cpu_nodes` is the NUMA node of each of the host's CPUs, needed if the config has ``cpus`` or
    ``cpus_soft``.
    """
    text = dump(domain_config(config, uuid, xen_version, cpu_nodes))
    return text.encode("utf-8", "surrogateescape") + b"\0"


def domain_config(
    config: DomainConfig, uuid: str, xen_version: tuple[int, int], cpu_nodes: Sequence[int] = ()
) -> dict[str, Json]:
    """The record as a value (libxl_domain_config), in libxl's order."""
    if config.type != GuestType.PV:
        raise AssertionError(f"no record is made of a {config.type} domain yet")
    return {
        "c_info": _create_info(config, uuid),
        "b_info": _build_info(config, cpu_nodes),
        "on_poweroff": _action(config.on_poweroff),
        "on_reboot": _action(config.on_reboot),
        "on_watchdog": _action(config.on_watchdog),
        "on_crash": _action(config.on_crash),
        "on_soft_reset": _action(config.on_soft_reset),
    }


def _create_info(config: DomainConfig, uuid: str) -> dict[str, Json]:
    info: dict[str, Json] = {"type": str(config.type), "name": config.name, "uuid": uuid}
    if config.pool is not None:
        info["pool_name"] = config.pool
    info["run_hotplug_scripts"] = "True"
    return info


def _build_info(config: DomainConfig, cpu_nodes: Sequence[int]) -> dict[str, Json]:
    info: dict[str, Json] = {}
    if _says(config, "vcpus", config.vcpus != 1) or "maxvcpus" in config.given:
        info["max_vcpus"] = config.max_vcpus
    if _says(config, "vcpus", config.vcpus != 1):
        info["avail_vcpus"] = list(range(config.vcpus))
    if config.cpus is not None:
        info["vcpu_hard_affinity"] = _bitmaps(config.cpus, config, cpu_nodes)
    if config.cpus_soft is not None:
        info["vcpu_soft_affinity"] = _bitmaps(config.cpus_soft, config, cpu_nodes)
    if config.cpus_soft is not None or (config.cpus is not None and config.cpus.per_vcpu):
        info["numa_placement"] = "False"
    if config.tsc_mode != config.tsc_mode.DEFAULT:
        info["tsc_mode"] = str(config.tsc_mode)
    info["max_memkb"] = config.max_memory_kib
    info["target_memkb"] = config.memory_kib
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
    info["claim_mode"] = "False"
    if _says(config, "max_event_channels", config.max_event_channels != 1023):
        info["event_channels"] = config.max_event_channels
    info["kernel"] = config.kernel
    if config.cmdline or "cmdline" in config.given:
        info["cmdline"] = config.cmdline
    if config.ramdisk is not None:
        info["ramdisk"] = config.ramdisk
    info["type.pv"] = {}
    info["arch_arm"] = {}
    info["arch_x86"] = {"msr_relaxed": "False"}
    return info


def _says(config: DomainConfig, key: str, differs: bool) -> bool:
    """Whether the config itself sets `key`; one not read from a file does by differing from the default."""
    return key in config.given or differs


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


def dump(value: Json, indent: str = "") -> str:
    """JSON as libyajl beautifies it; the outermost value ends its line."""
    text = _dump(value, indent)
    return text if indent else text + "\n"


def _dump(value: Json, indent: str) -> str:
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, int):
        return str(value)
    inner = indent + "    "
    if isinstance(value, dict):
        items = [f'{inner}"{name.translate(_ESCAPES)}": {_dump(item, inner)}' for name, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _dump(item, inner) for item in value) + f"\n{indent}]"


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
