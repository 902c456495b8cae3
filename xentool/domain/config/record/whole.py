"""The record that libxl is given to make a domain: `domain_config`.

It is what ``xl create -n -d`` (a dry run) shows of the same config. What is not as xl has it, and why:

=============================  =====================================================================
in the record                  why it differs
=============================  =====================================================================
c_info.domid                   xl adds it once it has shown the record: libxl is to choose one
nics: mac                      xl leaves it to libxl, which makes a random one; ours is made of the
                               UUID, by every toolstack the same, so that a guest keeps its addresses
vcpu_hard_affinity,            xl forgets ``cpus`` and ``cpus_soft`` where there is no ``vcpus``; we
vcpu_soft_affinity             honour them
keys of other types of guests  xl records some of them (``hap`` of a PV guest); we warn, and leave
                               them out
pcidevs: rdm_policy            of a PV or PVH guest xl reads it from where an HVM guest has it, and
                               records "strict", which libxl takes if nothing is said
rdm: policy                    libxlutil refuses the good ones (`further.pci`); we record them
slice, latency                 are of a scheduler that Xen no longer has
usbdevs: type.hostdev          xl records nothing of a device whose entry does not say type=hostdev
channels: devid                xl 4.17 gives them numbers; libxl does so by itself
=============================  =====================================================================

Source: tools/xl/xl_parse.c (parse_config_data), xl_vmcontrol.c (create_domain).
"""

from __future__ import annotations

from xentool.domain.config.model import GuestType
from xentool.domain.config.record.plain import plain_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.config.yajl import Json


def domain_config(
    config: DomainConfig,
    uuid: str,
    cpu_nodes: Sequence[int] = (),
    *,
    xen_version: tuple[int, int] | None = None,
    built: bool = False,
) -> dict[str, Json]:
    """The record as a value (libxl_domain_config), in libxl's order.

    `uuid` is the domain's (the config may leave it open); `cpu_nodes` is the NUMA node of each of
    the host's CPUs, needed if the config has ``cpus`` or ``cpus_soft``. With `xen_version`, the
    release of the libxl that is to read it, what that libxl does not know is refused; without, it is
    put down all the same (a libxl skips what it does not know). If it is `built`, the record is what
    libxl keeps of a PV domain once it is there.

    Raises:
        ConfigError: the config asks for what came with a later libxl, or went with an earlier one.
    """
    if xen_version is not None:
        from xentool.domain.config.record.releases import check_release

        check_release(config, xen_version)
    record = plain_record(config, uuid, cpu_nodes, built=built)
    if config.beyond or config.type != GuestType.PV:
        record = _further(record, config)
    if xen_version is not None and xen_version >= (4, 21):
        b_info = record["b_info"]
        assert isinstance(b_info, dict)
        b_info["arch_arm"] = {"arm_sci": {}}
    return record


def _further(record: dict[str, Json], config: DomainConfig) -> dict[str, Json]:
    from xentool.domain.config.record import fields
    from xentool.domain.config.record.devices import add_devices
    from xentool.domain.config.record.further import Parts, add_further, type_part

    union = f"type.{config.type}"
    c_info, b_info = record["c_info"], record["b_info"]
    assert isinstance(c_info, dict)
    assert isinstance(b_info, dict)
    scheduling, own, x86 = b_info["sched_params"], b_info[union], b_info["arch_x86"]
    assert isinstance(scheduling, dict)
    assert isinstance(own, dict)
    assert isinstance(x86, dict)
    parts = Parts(
        config=record, c_info=c_info, b_info=b_info, sched_params=scheduling, type=own, arch_x86=x86
    )
    add_further(parts, config)
    add_devices(parts, config)
    b_info[union] = type_part(parts, config.type)
    b_info["sched_params"] = fields.ordered(scheduling, fields.SCHED_PARAMS)
    record["c_info"] = fields.ordered(c_info, fields.CREATE_INFO)
    record["b_info"] = fields.ordered(b_info, fields.BUILD_INFO)
    return fields.ordered(record, fields.DOMAIN_CONFIG)
