"""What Xen knows of a domain at one moment.

Source: xen_domctl_getdomaininfo in public/domctl.h.
"""

from __future__ import annotations

from xentool.abi.domctl import (
    XEN_INVALID_MAX_VCPU_ID,
    XEN_DOMINF_blocked,
    XEN_DOMINF_debugged,
    XEN_DOMINF_dying,
    XEN_DOMINF_hap,
    XEN_DOMINF_hvm_guest,
    XEN_DOMINF_paused,
    XEN_DOMINF_running,
    XEN_DOMINF_shutdown,
    XEN_DOMINF_shutdownmask,
    XEN_DOMINF_shutdownshift,
    XEN_DOMINF_xs_domain,
    xen_domctl_getdomaininfo,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.abi.layout import Buffer
    from xentool.units import DomId


class DomainInfo:
    """A domain's state: pages of 4 KiB, `cpu_time` in nanoseconds, `handle` 16 bytes.

    `shutdown_reason` is SHUTDOWN_* (`xentool.abi.sched`) or None while it has not shut
    down; `max_vcpu_id` is -1 where the domain has no vcpus yet; `shared_info_frame` is
    an mfn for a PV domain. The other names are Xen's.
    """

    __slots__ = (
        "cpu_time", "cpupool", "domid", "emulation_flags", "flags", "gpaddr_bits", "handle", "max_pages",
        "max_vcpu_id", "misc_flags", "nr_online_vcpus", "outstanding_pages", "paged_pages",
        "shared_info_frame", "shr_pages", "ssidref", "tot_pages",
    )  # fmt: skip

    domid: DomId
    flags: int
    tot_pages: int
    max_pages: int
    outstanding_pages: int
    shr_pages: int
    paged_pages: int
    shared_info_frame: int
    cpu_time: int
    nr_online_vcpus: int
    max_vcpu_id: int
    ssidref: int
    handle: bytes
    cpupool: int
    gpaddr_bits: int
    emulation_flags: int
    misc_flags: int

    def __init__(self, record: Buffer, at: int = 0) -> None:
        (
            self.domid, self.flags, self.tot_pages, self.max_pages, self.outstanding_pages, self.shr_pages,
            self.paged_pages, self.shared_info_frame, self.cpu_time, self.nr_online_vcpus, self.max_vcpu_id,
            self.ssidref, self.handle, self.cpupool, self.gpaddr_bits, self.emulation_flags, self.misc_flags,
        ) = xen_domctl_getdomaininfo.row(record, at)  # fmt: skip
        if self.max_vcpu_id == XEN_INVALID_MAX_VCPU_ID:
            self.max_vcpu_id = -1

    def __repr__(self) -> str:
        return f"DomainInfo(domid={self.domid}, flags={self.flags:#x}, tot_pages={self.tot_pages})"

    @property
    def dying(self) -> bool:
        return bool(self.flags & XEN_DOMINF_dying)

    @property
    def hvm_guest(self) -> bool:
        return bool(self.flags & XEN_DOMINF_hvm_guest)

    @property
    def shutdown(self) -> bool:
        return bool(self.flags & XEN_DOMINF_shutdown)

    @property
    def paused(self) -> bool:
        """Paused by control software, not because it waits."""
        return bool(self.flags & XEN_DOMINF_paused)

    @property
    def blocked(self) -> bool:
        return bool(self.flags & XEN_DOMINF_blocked)

    @property
    def running(self) -> bool:
        return bool(self.flags & XEN_DOMINF_running)

    @property
    def debugged(self) -> bool:
        return bool(self.flags & XEN_DOMINF_debugged)

    @property
    def xs_domain(self) -> bool:
        return bool(self.flags & XEN_DOMINF_xs_domain)

    @property
    def hap(self) -> bool:
        return bool(self.flags & XEN_DOMINF_hap)

    @property
    def shutdown_reason(self) -> int | None:
        if not self.shutdown:
            return None
        return self.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask
