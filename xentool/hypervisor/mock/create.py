"""DOMCTL_createdomain: what Xen asks of a new domain's parameters.

Source: xen/common/domain.c (sanitise_domain_config, domain_create), xen/arch/x86/domain.c
(arch_sanitise_domain_config, emulation_flags_ok), xen/common/grant_table.c (grant_table_init).
"""

from __future__ import annotations

import errno

from xentool.abi import domctl as abi
from xentool.abi.event_channel import EVTCHN_2L_NR_CHANNELS
from xentool.abi.versions import INTERFACES, createdomain
from xentool.hypervisor.mock.domains import Domain
from xentool.hypervisor.mock.grants import MAX_FRAMES, MAX_MAPTRACK_FRAMES
from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xentool.hypervisor.mock.xen import MockXen

_KNOWN_FLAGS = (
    abi.XEN_DOMCTL_CDF_hvm | abi.XEN_DOMCTL_CDF_hap | abi.XEN_DOMCTL_CDF_s3_integrity
    | abi.XEN_DOMCTL_CDF_oos_off | abi.XEN_DOMCTL_CDF_xs_domain | abi.XEN_DOMCTL_CDF_iommu
    | abi.XEN_DOMCTL_CDF_nested_virt | abi.XEN_DOMCTL_CDF_vpmu
)  # fmt: skip
# This host has no HVM, no IOMMU, no vPMU, no TXT: what asks for one of them is refused.
_ABSENT = (
    abi.XEN_DOMCTL_CDF_hvm | abi.XEN_DOMCTL_CDF_hap | abi.XEN_DOMCTL_CDF_s3_integrity
    | abi.XEN_DOMCTL_CDF_iommu | abi.XEN_DOMCTL_CDF_nested_virt | abi.XEN_DOMCTL_CDF_vpmu
)  # fmt: skip
_MAX_PV_VCPUS = 8192  # MAX_VIRT_CPUS
_GRANT_VERSION_MASK = 0xF
_MAX_GRANT_VERSION = 2
_EMU_PIT = 1 << 8
_MSR_RELAXED = 1


def create_domain(xen: MockXen, wanted_domid: int, parameters: memoryview) -> int:
    """Create a domain; its domid.

    Raises:
        Refused: EEXIST, EINVAL, EOPNOTSUPP, ESRCH (no such cpupool), ENOMEM.
    """
    # Xen chooses the domid first: a create that is refused uses one up all the same.
    domid = xen.domains.choose_domid(wanted_domid)
    config = createdomain(INTERFACES[xen.version][0]).unpack_from(parameters)
    _check(config, grants_limited=xen.version < (4, 18))
    domain = Domain(
        domid,
        handle=config["handle"],
        max_vcpus=config["max_vcpus"],
        flags=config["flags"] | abi.XEN_DOMCTL_CDF_oos_off,
        ssidref=config["ssidref"],
    )
    domain.emulation_flags = config["emulation_flags"]
    domain.misc_flags = config["misc_flags"]
    xen.new_domain(
        domain,
        # A domain starts with the two-level ABI, and so with no more ports than that has.
        max_port=min(config["max_evtchn_port"], EVTCHN_2L_NR_CHANNELS - 1),
        max_grant_frames=_grant_frames(config["max_grant_frames"]),
    )
    return domid


def _grant_frames(wanted: int) -> int:
    return MAX_FRAMES if wanted < 0 else wanted


def _check(config: dict[str, Any], *, grants_limited: bool) -> None:
    version = config["grant_opts"] & _GRANT_VERSION_MASK
    refused = (
        config["flags"] & ~_KNOWN_FLAGS
        or config["flags"] & _ABSENT
        or config["grant_opts"] & ~_GRANT_VERSION_MASK
        or not 1 <= config["max_vcpus"] <= _MAX_PV_VCPUS
        or config["iommu_opts"]
        or config["vmtrace_size"]
        or config.get("altp2m_opts", 0)
        or config["misc_flags"] & ~_MSR_RELAXED
    )
    if refused:
        raise Refused(errno.EINVAL)
    if config["emulation_flags"] not in (0, _EMU_PIT):
        raise Refused(errno.EOPNOTSUPP)
    frames = _grant_frames(config["max_grant_frames"])
    if not 1 <= version <= _MAX_GRANT_VERSION or frames < 1:
        raise Refused(errno.EINVAL)
    # Since 4.18 the command line's limits are mere defaults.
    if grants_limited and (frames > MAX_FRAMES or config["max_maptrack_frames"] > MAX_MAPTRACK_FRAMES):
        raise Refused(errno.EINVAL)
    if config["cpupool_id"]:
        raise Refused(errno.ESRCH)
