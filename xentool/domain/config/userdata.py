"""libxl's record of a domain: the JSON that every toolstack keeps, and reads from the others.

libxl stores the config that it was given, before it fills in defaults, so a key that the config
does not set is not in the record; the few that xl or libxl set by themselves are. `libxl_json`
makes the same bytes. It does so by hand (`yajl`), because ``json`` costs more to import than this
takes to run and formats otherwise.

Beside ``libxl-json``, `xl create` leaves no userdata: ``xl`` (the raw config) is written by
`xl config-update` only, and ``domain-userdata-lock`` is removed with the lock.

How it differs from xl's is in `record.whole`.

Source: tools/libs/light/libxl_types.idl (the order of fields), gentypes.py (which are left out),
libxl_internal.c (libxl__update_domain_configuration), libxl_dom.c (libxl__userdata_store);
tools/xl/xl_parse.c.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xentool.domain.config.model import DomainConfig

MAXMEM_CONSTANT_KIB = 1024
"""LIBXL_MAXMEM_CONSTANT (libxl_internal.h)."""
CONFIG_NAME = "libxl-json"
"""The last part of the file's name: userdata-d.DOMID.UUID.libxl-json."""


def libxl_json(
    config: DomainConfig, uuid: str, xen_version: tuple[int, int], cpu_nodes: Sequence[int] = ()
) -> bytes:
    """The record of a PV domain that is there, as the file's bytes.

    `uuid` is the domain's (the config may leave it open), and `cpu_nodes` is the NUMA node of
    each of the host's CPUs, needed if the config has ``cpus`` or ``cpus_soft``. From `xen_version`
    (4, 17) to (4, 21) the record of a PV domain is the same: what libxl_types.idl gained since
    (a vif's ``vlan``) is left out unless it is asked for, and an older libxl skips it.
    """
    from xentool.domain.config.record.whole import domain_config  # who only reads a record makes none
    from xentool.domain.config.yajl import dump

    assert xen_version >= (4, 17)
    text = dump(domain_config(config, uuid, cpu_nodes, built=True))
    return text.encode("utf-8", "surrogateescape") + b"\0"


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
    """A domain's record, brought up to date as ``xl list -l`` does: what may have changed since create.

    `target_kib` and `max_kib` are the store's ``memory/target`` and ``memory/static-max``,
    `online_vcpus` the vcpus whose ``cpu/N/availability`` is "online", and `scheduling` is, for the
    credit schedulers, ``{"sched": "credit2", "weight": 256, "cap": 0}``, in that order. Which vcpus of an
    HVM guest were plugged since, its QEMU alone knows: they are as they were.

    Source: tools/libs/light/libxl_domain.c (retrieve_domain_configuration_end).
    """
    create_info, build_info = record.get("c_info"), record.get("b_info")
    if not isinstance(create_info, dict) or not isinstance(build_info, dict):
        return record
    known = build_info.get("max_vcpus", 0)
    changes: dict[str, object] = {
        "avail_vcpus": [vcpu for vcpu in online_vcpus if vcpu < known],
        "max_memkb": max_kib,
        "target_memkb": target_kib + _beside_the_target(build_info, create_info.get("type")),
        "sched_params": scheduling,
    }
    if not changes["avail_vcpus"]:
        del changes["avail_vcpus"]
        build_info = {key: value for key, value in build_info.items() if key != "avail_vcpus"}
    updated = build_info | changes
    first = {key: updated[key] for key in BUILD_INFO_ORDER if key in updated}
    return record | {"c_info": create_info | {"name": name, "uuid": uuid}, "b_info": first | updated}


def _beside_the_target(build_info: Mapping[str, object], guest_type: object) -> int:
    """What the guest was given beyond its ``memory/target``, in KiB: its card's memory and, where an HVM
    guest may be given more later, what libxl sets aside for that.

    Source: tools/libs/light/libxl_internal.h (libxl__get_targetmem_fudge).
    """

    def number(name: str) -> int:
        value = build_info.get(name, 0)
        return value if isinstance(value, int) else 0

    grows = guest_type == "hvm" and number("max_memkb") > number("target_memkb")
    return number("video_memkb") + (MAXMEM_CONSTANT_KIB if grows else 0)


def config_from_userdata(raw: bytes) -> dict[str, object]:
    """The record that any toolstack left, read: what `list -l` prints as "config".

    Raises:
        ConfigError: that is not libxl's JSON.
    """
    from xentool.domain.config.yajl import parse
    from xentool.errors import ConfigError

    try:
        value = parse(raw.rstrip(b"\0").decode("utf-8", "surrogateescape"))
    except ValueError as exc:
        raise ConfigError(
            "read libxl's record of", "the domain", f"it is not JSON: {exc}", hint="which toolstack wrote it?"
        ) from exc
    if not isinstance(value, dict):
        raise ConfigError("read libxl's record of", "the domain", "it is JSON, but not a map")
    return value
