"""What ``xl info`` says about a host: its keys, in its order, with its values."""

from __future__ import annotations

import os

from xentool.abi import sysctl
from xentool.toolstack.views import HostView
from xentool.units import MIB, PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.host import Host

_PAGES_PER_MIB = MIB >> PAGE_SHIFT


def host_view(host: Host) -> HostView:
    """Ask the node, the hardware and Xen, in xl's order."""
    facts = _node()
    facts |= _hardware(host)
    facts |= _xen(host)
    facts["xend_config_format"] = "4"
    return HostView(facts)


def _node() -> dict[str, str]:
    node = os.uname()
    return {"host": node.nodename, "release": node.release, "version": node.version, "machine": node.machine}


def _hardware(host: Host) -> dict[str, str]:
    info = host.hypercalls.physinfo()
    return {
        "nr_cpus": str(info.nr_cpus),
        "max_cpu_id": str(info.max_cpu_id),
        "nr_nodes": str(info.nr_nodes),
        "cores_per_socket": str(info.cores_per_socket),
        "threads_per_core": str(info.threads_per_core),
        "cpu_mhz": f"{info.cpu_khz // 1000}.{info.cpu_khz % 1000:03d}",
        "hw_caps": ":".join(f"{word:08x}" for word in info.hw_cap),
        "virt_caps": " ".join(virt_caps(info.capabilities)),
        "total_memory": str(info.total_pages // _PAGES_PER_MIB),
        "free_memory": str((info.free_pages - info.outstanding_pages) // _PAGES_PER_MIB),
        "sharing_freed_memory": str(host.hypercalls.sharing_freed_pages() // _PAGES_PER_MIB),
        "sharing_used_memory": str(host.hypercalls.sharing_used_pages() // _PAGES_PER_MIB),
        "outstanding_claims": str(info.outstanding_pages // _PAGES_PER_MIB),
        "free_cpus": str(host.hypercalls.free_cpus().bit_count()),
    }


def virt_caps(capabilities: int) -> list[str]:
    """libxl's words for XEN_SYSCTL_PHYSCAP_*; direct I/O counts once for each kind of guest that has it."""

    def has(bit: int) -> bool:
        return bool(capabilities & bit)

    pv, hvm, direct = (
        has(sysctl.XEN_SYSCTL_PHYSCAP_pv),
        has(sysctl.XEN_SYSCTL_PHYSCAP_hvm),
        has(sysctl.XEN_SYSCTL_PHYSCAP_directio),
    )
    words = {
        "pv": pv,
        "hvm": hvm,
        "hvm_directio": hvm and direct,
        "pv_directio": pv and direct,
        "hap": has(sysctl.XEN_SYSCTL_PHYSCAP_hap),
        "shadow": has(sysctl.XEN_SYSCTL_PHYSCAP_shadow),
        "iommu_hap_pt_share": has(sysctl.XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share),
        "vmtrace": has(sysctl.XEN_SYSCTL_PHYSCAP_vmtrace),
        "vpmu": has(sysctl.XEN_SYSCTL_PHYSCAP_vpmu),
        "gnttab-v1": has(sysctl.XEN_SYSCTL_PHYSCAP_gnttab_v1),
        "gnttab-v2": has(sysctl.XEN_SYSCTL_PHYSCAP_gnttab_v2),
    }
    return [word for word, true in words.items() if true]


def _xen(host: Host) -> dict[str, str]:
    xen = host.hypercalls
    major, minor = xen.version()
    extra = xen.extraversion()
    built = xen.compile_info()
    return {
        "xen_major": str(major),
        "xen_minor": str(minor),
        "xen_extra": extra,
        "xen_version": f"{major}.{minor}{extra}",
        "xen_caps": xen.capabilities(),
        "xen_scheduler": xen.scheduler_name(),
        "xen_pagesize": str(xen.page_size()),
        "platform_params": f"virt_start={xen.virt_start():#x}",
        "xen_changeset": xen.changeset(),
        "xen_commandline": xen.commandline(),
        "cc_compiler": built["compiler"],
        "cc_compile_by": built["compile_by"],
        "cc_compile_domain": built["compile_domain"],
        "cc_compile_date": built["compile_date"],
        "build_id": xen.build_id().hex(),
    }
