"""What a release of Xen expects of domctl and sysctl.

Both are checked by number: the wrong one is refused with EACCES. But 4.19, 4.20 and
4.21 share domctl's number, and 4.21 takes `altp2m_opts` apart into two halves, of
which we set neither; so one structure serves them all.

Source: XEN_DOMCTL_INTERFACE_VERSION and xen_domctl_createdomain in public/domctl.h,
XEN_SYSCTL_INTERFACE_VERSION in public/sysctl.h, of the stable branches.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

INTERFACES = {
    (4, 17): (0x15, 0x15),
    (4, 18): (0x16, 0x15),
    (4, 19): (0x17, 0x15),
    (4, 20): (0x17, 0x15),
    (4, 21): (0x17, 0x16),
    (4, 22): (0x18, 0x16),
}
"""(XEN_DOMCTL_INTERFACE_VERSION, XEN_SYSCTL_INTERFACE_VERSION) by release."""

OLDEST, NEWEST = min(INTERFACES), max(INTERFACES)


def createdomain(domctl_version: int) -> Struct:
    """xen_domctl_createdomain as the release with this domctl interface version has it."""
    from xentool.abi.domctl import xen_domctl_createdomain

    return xen_domctl_createdomain if domctl_version < 0x17 else _createdomain_0x17()


def _createdomain_0x17() -> Struct:
    return Struct(
        "struct xen_domctl_createdomain",
        68,
        {
            "ssidref": (0, "I"),
            "handle": (4, "16s"),
            "flags": (20, "I"),
            "iommu_opts": (24, "I"),
            "max_vcpus": (28, "I"),
            "max_evtchn_port": (32, "I"),
            "max_grant_frames": (36, "i"),
            "max_maptrack_frames": (40, "i"),
            "grant_opts": (44, "I"),
            "altp2m_opts": (48, "I"),
            "vmtrace_size": (52, "I"),
            "cpupool_id": (56, "I"),
            "emulation_flags": (60, "I", "arch.emulation_flags"),
            "misc_flags": (64, "I", "arch.misc_flags"),
        },
    )
