"""Operations on domains that only the toolstack may ask for.

What differs between releases is in `xentool.abi.versions`.

Source: public/domctl.h (4.17 to 4.22), xen_domctl's commands and the structures that we use.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

XEN_DOMCTL_createdomain = 1
XEN_DOMCTL_destroydomain = 2
XEN_DOMCTL_pausedomain = 3
XEN_DOMCTL_unpausedomain = 4
XEN_DOMCTL_getdomaininfo = 5
XEN_DOMCTL_setvcpuaffinity = 9
XEN_DOMCTL_shadow_op = 10
XEN_DOMCTL_max_mem = 11
XEN_DOMCTL_setvcpucontext = 12
XEN_DOMCTL_getvcpucontext = 13
XEN_DOMCTL_getvcpuinfo = 14
XEN_DOMCTL_max_vcpus = 15
XEN_DOMCTL_scheduler_op = 16
XEN_DOMCTL_setdomainhandle = 17
XEN_DOMCTL_setdebugging = 18
XEN_DOMCTL_irq_permission = 19
XEN_DOMCTL_iomem_permission = 20
XEN_DOMCTL_ioport_permission = 21
XEN_DOMCTL_hypercall_init = 22
XEN_DOMCTL_settimeoffset = 24
XEN_DOMCTL_getvcpuaffinity = 25
XEN_DOMCTL_resumedomain = 27
XEN_DOMCTL_sendtrigger = 28
XEN_DOMCTL_subscribe = 29
XEN_DOMCTL_set_address_size = 35
XEN_DOMCTL_get_address_size = 36
XEN_DOMCTL_set_ext_vcpucontext = 42
XEN_DOMCTL_get_ext_vcpucontext = 43
XEN_DOMCTL_gettscinfo = 59
XEN_DOMCTL_settscinfo = 60
XEN_DOMCTL_getpageframeinfo3 = 61
XEN_DOMCTL_setnodeaffinity = 68
XEN_DOMCTL_getnodeaffinity = 69
XEN_DOMCTL_get_cpu_policy = 82
XEN_DOMCTL_set_cpu_policy = 83
XEN_DOMCTL_get_paging_mempool_size = 85
XEN_DOMCTL_set_paging_mempool_size = 86

XEN_DOMCTL_CDF_hvm = 1 << 0
XEN_DOMCTL_CDF_hap = 1 << 1
XEN_DOMCTL_CDF_s3_integrity = 1 << 2
XEN_DOMCTL_CDF_oos_off = 1 << 3
XEN_DOMCTL_CDF_xs_domain = 1 << 4
XEN_DOMCTL_CDF_iommu = 1 << 5
XEN_DOMCTL_CDF_nested_virt = 1 << 6
XEN_DOMCTL_CDF_vpmu = 1 << 7

XEN_DOMINF_dying = 1 << 0
XEN_DOMINF_hvm_guest = 1 << 1
XEN_DOMINF_shutdown = 1 << 2
XEN_DOMINF_paused = 1 << 3
XEN_DOMINF_blocked = 1 << 4
XEN_DOMINF_running = 1 << 5
XEN_DOMINF_debugged = 1 << 6
XEN_DOMINF_xs_domain = 1 << 7
XEN_DOMINF_hap = 1 << 8
XEN_DOMINF_shutdownmask = 255
XEN_DOMINF_shutdownshift = 16

XEN_INVALID_MAX_VCPU_ID = 0xFFFFFFFF

XEN_VCPUAFFINITY_HARD = 1 << 0
XEN_VCPUAFFINITY_SOFT = 1 << 1
XEN_VCPUAFFINITY_FORCE = 1 << 2

XEN_SCHEDULER_CREDIT = 5
XEN_SCHEDULER_CREDIT2 = 6
XEN_SCHEDULER_ARINC653 = 7
XEN_SCHEDULER_RTDS = 8
XEN_SCHEDULER_NULL = 9

XEN_DOMCTL_SCHEDOP_putinfo = 0
XEN_DOMCTL_SCHEDOP_getinfo = 1

XEN_DOMCTL_PFINFO_NOTAB = 0
XEN_DOMCTL_PFINFO_L1TAB = 1 << 28
XEN_DOMCTL_PFINFO_L2TAB = 2 << 28
XEN_DOMCTL_PFINFO_L3TAB = 3 << 28
XEN_DOMCTL_PFINFO_L4TAB = 4 << 28
XEN_DOMCTL_PFINFO_LPINTAB = 1 << 31
XEN_DOMCTL_PFINFO_XTAB = 0xF << 28

xen_domctl = Struct(
    "struct xen_domctl",
    144,
    {"cmd": (0, "I"), "interface_version": (4, "I"), "domain": (8, "H"), "u": (16, "128s")},
)

xen_domctl_createdomain = Struct(
    "struct xen_domctl_createdomain",
    64,
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
        "vmtrace_size": (48, "I"),
        "cpupool_id": (52, "I"),
        "emulation_flags": (56, "I", "arch.emulation_flags"),
        "misc_flags": (60, "I", "arch.misc_flags"),
    },
)
"""Of 4.17 and 4.18; `xentool.abi.versions` has the later one."""

xen_domctl_getdomaininfo = Struct(
    "struct xen_domctl_getdomaininfo",
    112,
    {
        "domain": (0, "H"),
        "flags": (4, "I"),
        "tot_pages": (8, "Q"),
        "max_pages": (16, "Q"),
        "outstanding_pages": (24, "Q"),
        "shr_pages": (32, "Q"),
        "paged_pages": (40, "Q"),
        "shared_info_frame": (48, "Q"),
        "cpu_time": (56, "Q"),
        "nr_online_vcpus": (64, "I"),
        "max_vcpu_id": (68, "I"),
        "ssidref": (72, "I"),
        "handle": (76, "16s"),
        "cpupool": (92, "I"),
        "gpaddr_bits": (96, "B"),
        "emulation_flags": (104, "I", "arch_config.emulation_flags"),
        "misc_flags": (108, "I", "arch_config.misc_flags"),
    },
)

xen_domctl_vcpucontext = Struct("struct xen_domctl_vcpucontext", 16, {"vcpu": (0, "I"), "ctxt": (8, "Q")})

xen_domctl_getvcpuinfo = Struct(
    "struct xen_domctl_getvcpuinfo",
    24,
    {
        "vcpu": (0, "I"),
        "online": (4, "B"),
        "blocked": (5, "B"),
        "running": (6, "B"),
        "cpu_time": (8, "Q"),
        "cpu": (16, "I"),
    },
)

xen_domctl_vcpuaffinity = Struct(
    "struct xen_domctl_vcpuaffinity",
    40,
    {
        "vcpu": (0, "I"),
        "flags": (4, "I"),
        "hard_bitmap": (8, "Q", "cpumap_hard.bitmap"),
        "hard_nr_bits": (16, "I", "cpumap_hard.nr_bits"),
        "soft_bitmap": (24, "Q", "cpumap_soft.bitmap"),
        "soft_nr_bits": (32, "I", "cpumap_soft.nr_bits"),
    },
)

xen_domctl_nodeaffinity = Struct(
    "struct xen_domctl_nodeaffinity",
    16,
    {"bitmap": (0, "Q", "nodemap.bitmap"), "nr_bits": (8, "I", "nodemap.nr_bits")},
)

xen_domctl_max_mem = Struct("struct xen_domctl_max_mem", 8, {"max_memkb": (0, "Q")})

xen_domctl_max_vcpus = Struct("struct xen_domctl_max_vcpus", 4, {"max": (0, "I")})

xen_domctl_scheduler_op = Struct(
    "struct xen_domctl_scheduler_op",
    24,
    {
        "sched_id": (0, "I"),
        "cmd": (4, "I"),
        "weight": (8, "H", "u.credit2.weight"),
        "cap": (10, "H", "u.credit2.cap"),
        "credit_weight": (8, "H", "u.credit.weight"),
        "credit_cap": (10, "H", "u.credit.cap"),
    },
)

xen_domctl_setdomainhandle = Struct("struct xen_domctl_setdomainhandle", 16, {"handle": (0, "16s")})

xen_domctl_settimeoffset = Struct("struct xen_domctl_settimeoffset", 8, {"time_offset_seconds": (0, "q")})

xen_domctl_address_size = Struct("struct xen_domctl_address_size", 4, {"size": (0, "I")})

xen_domctl_tsc_info = Struct(
    "struct xen_domctl_tsc_info",
    24,
    {"tsc_mode": (0, "I"), "gtsc_khz": (4, "I"), "incarnation": (8, "I"), "elapsed_nsec": (16, "Q")},
)

xen_domctl_hypercall_init = Struct("struct xen_domctl_hypercall_init", 8, {"gmfn": (0, "Q")})

xen_domctl_getpageframeinfo3 = Struct(
    "struct xen_domctl_getpageframeinfo3", 16, {"num": (0, "Q"), "array": (8, "Q")}
)

xen_domctl_cpu_policy = Struct(
    "struct xen_domctl_cpu_policy",
    40,
    {
        "nr_leaves": (0, "I"),
        "nr_msrs": (4, "I"),
        "leaves": (8, "Q"),
        "msrs": (16, "Q"),
        "err_leaf": (24, "I"),
        "err_subleaf": (28, "I"),
        "err_msr": (32, "I"),
    },
)
