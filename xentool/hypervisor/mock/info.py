"""What Xen tells of a domain: struct xen_domctl_getdomaininfo.

Source: xen/common/domctl.c (getdomaininfo), xen/arch/x86/domctl.c (arch_get_domain_info).
"""

from __future__ import annotations

from xentool.abi import domctl as abi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.domains import Domain

_PADDR_BITS = 39


def domain_info(domain: Domain) -> bytes:
    """The structure, filled in for `domain`."""
    online = sum(1 for vcpu in domain.vcpus if vcpu is not None and not vcpu.down)
    made = [at for at, vcpu in enumerate(domain.vcpus) if vcpu is not None]
    flags = domain.shutdown_code << abi.XEN_DOMINF_shutdownshift
    for name, holds in (
        ("dying", domain.dying),
        ("shutdown", domain.shutting_down),
        ("paused", domain.pause_count > 0),
        ("debugged", domain.debugged),
        ("xs_domain", domain.flags & abi.XEN_DOMCTL_CDF_xs_domain),
        # Domain-0 is the one that asks, and so runs; the others' kernels are idle.
        ("running", online and not domain.domid),
        ("blocked", online and domain.domid and domain.runnable),
    ):
        if holds:
            flags |= getattr(abi, f"XEN_DOMINF_{name}")
    return abi.xen_domctl_getdomaininfo.pack(
        domain=domain.domid,
        flags=flags,
        tot_pages=domain.total_pages,
        max_pages=domain.max_pages,
        outstanding_pages=domain.outstanding_pages,
        shared_info_frame=domain.shared_info,
        cpu_time=domain.cpu_time_ns(),
        nr_online_vcpus=online,
        max_vcpu_id=made[-1] if made else abi.XEN_INVALID_MAX_VCPU_ID,
        handle=domain.handle,
        cpupool=domain.cpupool,
        gpaddr_bits=_PADDR_BITS,
        emulation_flags=domain.emulation_flags,
        misc_flags=domain.misc_flags,
    )
