"""Questions about the host that only the toolstack may ask.

Source: public/sysctl.h (4.17 to 4.22), xen_sysctl's commands and the structures that we use.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

XEN_SYSCTL_readconsole = 1
XEN_SYSCTL_physinfo = 3
XEN_SYSCTL_sched_id = 4
XEN_SYSCTL_getdomaininfolist = 6
XEN_SYSCTL_debug_keys = 7
XEN_SYSCTL_getcpuinfo = 8
XEN_SYSCTL_availheap = 9
XEN_SYSCTL_cputopoinfo = 16
XEN_SYSCTL_numainfo = 17
XEN_SYSCTL_cpupool_op = 18
XEN_SYSCTL_scheduler_op = 19
XEN_SYSCTL_get_cpu_featureset = 26
XEN_SYSCTL_get_cpu_policy = 29

XEN_SYSCTL_PHYSCAP_hvm = 1 << 0
XEN_SYSCTL_PHYSCAP_pv = 1 << 1
XEN_SYSCTL_PHYSCAP_directio = 1 << 2
XEN_SYSCTL_PHYSCAP_hap = 1 << 3
XEN_SYSCTL_PHYSCAP_shadow = 1 << 4
XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share = 1 << 5
XEN_SYSCTL_PHYSCAP_vmtrace = 1 << 6
XEN_SYSCTL_PHYSCAP_vpmu = 1 << 7
XEN_SYSCTL_PHYSCAP_gnttab_v1 = 1 << 8
XEN_SYSCTL_PHYSCAP_gnttab_v2 = 1 << 9

XEN_INVALID_CORE_ID = 0xFFFFFFFF
XEN_INVALID_SOCKET_ID = 0xFFFFFFFF
XEN_INVALID_NODE_ID = 0xFFFFFFFF
XEN_INVALID_MEM_SZ = 0xFFFFFFFF
XEN_INVALID_NODE_DIST = 0xFFFFFFFF

XEN_SYSCTL_CPUPOOL_OP_INFO = 3
XEN_SYSCTL_CPUPOOL_OP_FREEINFO = 7
XEN_SYSCTL_CPUPOOL_PAR_ANY = 0xFFFFFFFF

XEN_SYSCTL_cpu_policy_raw = 0
XEN_SYSCTL_cpu_policy_host = 1
XEN_SYSCTL_cpu_policy_pv_max = 2
XEN_SYSCTL_cpu_policy_hvm_max = 3
XEN_SYSCTL_cpu_policy_pv_default = 4
XEN_SYSCTL_cpu_policy_hvm_default = 5

xen_sysctl = Struct(
    "struct xen_sysctl", 136, {"cmd": (0, "I"), "interface_version": (4, "I"), "u": (8, "128s")}
)

xen_sysctl_physinfo = Struct(
    "struct xen_sysctl_physinfo",
    112,
    {
        "threads_per_core": (0, "I"),
        "cores_per_socket": (4, "I"),
        "nr_cpus": (8, "I"),
        "max_cpu_id": (12, "I"),
        "nr_nodes": (16, "I"),
        "max_node_id": (20, "I"),
        "cpu_khz": (24, "I"),
        "capabilities": (28, "I"),
        "arch_capabilities": (32, "I"),
        "total_pages": (40, "Q"),
        "free_pages": (48, "Q"),
        "scrub_pages": (56, "Q"),
        "outstanding_pages": (64, "Q"),
        "max_mfn": (72, "Q"),
        "hw_cap": (80, "8I"),
    },
)

xen_sysctl_getdomaininfolist = Struct(
    "struct xen_sysctl_getdomaininfolist",
    24,
    {"first_domain": (0, "H"), "max_domains": (4, "I"), "buffer": (8, "Q"), "num_domains": (16, "I")},
)

xen_sysctl_cputopo = Struct(
    "struct xen_sysctl_cputopo", 12, {"core": (0, "I"), "socket": (4, "I"), "node": (8, "I")}
)

xen_sysctl_cputopoinfo = Struct(
    "struct xen_sysctl_cputopoinfo", 16, {"num_cpus": (0, "I"), "cputopo": (8, "Q")}
)

xen_sysctl_meminfo = Struct("struct xen_sysctl_meminfo", 16, {"memsize": (0, "Q"), "memfree": (8, "Q")})

xen_sysctl_numainfo = Struct(
    "struct xen_sysctl_numainfo", 24, {"num_nodes": (0, "I"), "meminfo": (8, "Q"), "distance": (16, "Q")}
)

xen_sysctl_sched_id = Struct("struct xen_sysctl_sched_id", 4, {"sched_id": (0, "I")})

xen_sysctl_cpupool_op = Struct(
    "struct xen_sysctl_cpupool_op",
    40,
    {
        "op": (0, "I"),
        "cpupool_id": (4, "I"),
        "sched_id": (8, "I"),
        "domid": (12, "I"),
        "cpu": (16, "I"),
        "n_dom": (20, "I"),
        "bitmap": (24, "Q", "cpumap.bitmap"),
        "nr_bits": (32, "I", "cpumap.nr_bits"),
    },
)

xen_sysctl_cpu_policy = Struct(
    "struct xen_sysctl_cpu_policy",
    32,
    {"index": (0, "I"), "nr_leaves": (4, "I"), "nr_msrs": (8, "I"), "leaves": (16, "Q"), "msrs": (24, "Q")},
)

xen_sysctl_readconsole = Struct(
    "struct xen_sysctl_readconsole",
    24,
    {"clear": (0, "B"), "incremental": (1, "B"), "index": (4, "I"), "buffer": (8, "Q"), "count": (16, "I")},
)
