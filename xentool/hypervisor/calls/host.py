"""What Xen and the machine are: release, build, memory, processors, cpupools.

Source: public/version.h, public/sysctl.h.
"""

from __future__ import annotations

import errno
from array import array

from xentool.abi import memory, sysctl, version
from xentool.abi.domctl import (
    XEN_SCHEDULER_ARINC653,
    XEN_SCHEDULER_CREDIT,
    XEN_SCHEDULER_CREDIT2,
    XEN_SCHEDULER_NULL,
    XEN_SCHEDULER_RTDS,
)
from xentool.abi.xen import HYPERVISOR_memory_op, HYPERVISOR_xen_version
from xentool.hypervisor.calls.core import DATA, CoreCalls

SCHEDULERS = {
    XEN_SCHEDULER_CREDIT: "credit",
    XEN_SCHEDULER_CREDIT2: "credit2",
    XEN_SCHEDULER_ARINC653: "arinc653",
    XEN_SCHEDULER_RTDS: "rtds",
    XEN_SCHEDULER_NULL: "null",
}
BUILD_ID_ROOM = 256
CPUPOOL_BITS = 4096
CONSOLE_ROOM = 16 << 10


class PhysInfo:
    """The machine: pages of 4 KiB, `capabilities` of XEN_SYSCTL_PHYSCAP_*, `hw_cap` eight words of CPUID."""

    __slots__ = (
        "arch_capabilities", "capabilities", "cores_per_socket", "cpu_khz", "free_pages", "hw_cap",
        "max_cpu_id", "max_mfn", "max_node_id", "nr_cpus", "nr_nodes", "outstanding_pages", "scrub_pages",
        "threads_per_core", "total_pages",
    )  # fmt: skip

    threads_per_core: int
    cores_per_socket: int
    nr_cpus: int
    max_cpu_id: int
    nr_nodes: int
    max_node_id: int
    cpu_khz: int
    capabilities: int
    arch_capabilities: int
    total_pages: int
    free_pages: int
    scrub_pages: int
    outstanding_pages: int
    max_mfn: int
    hw_cap: tuple[int, ...]

    @property
    def available_pages(self) -> int:
        """Free pages that nobody has claimed."""
        return max(0, self.free_pages - self.outstanding_pages)


class CpuPool:
    """A cpupool: its scheduler (XEN_SCHEDULER_*), its CPUs as a bitmap, how many domains it has."""

    __slots__ = ("cpus", "domains", "pool_id", "scheduler_id")

    def __init__(self, pool_id: int, scheduler_id: int, domains: int, cpus: int) -> None:
        self.pool_id = pool_id
        self.scheduler_id = scheduler_id
        self.domains = domains
        self.cpus = cpus

    @property
    def scheduler(self) -> str:
        return SCHEDULERS.get(self.scheduler_id, "unknown")


class HostCalls(CoreCalls):
    """Calls about Xen and the machine; they belong to `xentool.hypervisor.calls.Hypercalls`."""

    def extraversion(self) -> str:
        """What follows the release: ".7", "-rc1"."""
        return self._text(version.XENVER_extraversion, "extraversion", version.XEN_EXTRAVERSION_LEN)

    def capabilities(self) -> str:
        """The guest types that this Xen runs, separated by spaces: "xen-3.0-x86_64 hvm-3.0-x86_64 "."""
        return self._text(version.XENVER_capabilities, "capabilities", version.XEN_CAPABILITIES_INFO_LEN)

    def changeset(self) -> str:
        return self._text(version.XENVER_changeset, "changeset", version.XEN_CHANGESET_INFO_LEN)

    def commandline(self) -> str:
        """Xen's own command line."""
        return self._text(version.XENVER_commandline, "commandline", version.XEN_COMMANDLINE_LEN)

    def compile_info(self) -> dict[str, str]:
        """Who built Xen: compiler, compile_by, compile_domain, compile_date."""
        layout = version.xen_compile_info
        raw = self._xenver(version.XENVER_compile_info, "compile_info", layout.size)
        return {name: _c_string(value) for name, value in layout.unpack_from(raw).items()}

    def build_id(self) -> bytes:
        """The linker's build id; empty where Xen has none."""
        scratch = self.scratch()
        scratch.view[: version.xen_build_id.size] = version.xen_build_id.pack(len=BUILD_ID_ROOM)
        try:
            length = self.gate.hypercall(HYPERVISOR_xen_version, version.XENVER_build_id, scratch.address)
        except OSError as exc:
            if exc.errno == errno.ENODATA:
                return b""
            raise self.failed(exc, "build_id", None) from exc
        start = version.xen_build_id.size
        return bytes(scratch.view[start : start + length])

    def features(self) -> int:
        """What Xen offers to Domain-0, a bitmap of XENFEAT_*."""
        layout = version.xen_feature_info
        found = 0
        for index in range(version.XENFEAT_NR_SUBMAPS):
            scratch = self.scratch()
            scratch.view[: layout.size] = layout.pack(submap_idx=index)
            self.call("get_features", HYPERVISOR_xen_version, version.XENVER_get_features, scratch.address)
            found |= layout.get(scratch.view, "submap") << 32 * index
        return found

    def page_size(self) -> int:
        """In bytes."""
        return self.call("pagesize", HYPERVISOR_xen_version, version.XENVER_pagesize, 0)

    def virt_start(self) -> int:
        """Where Xen's own part of a PV guest's address space begins."""
        layout = version.xen_platform_parameters
        raw = self._xenver(version.XENVER_platform_parameters, "platform_parameters", layout.size)
        return int(layout.get(raw, "virt_start"))

    def physinfo(self) -> PhysInfo:
        layout = sysctl.xen_sysctl_physinfo
        result = self.sysctl(sysctl.XEN_SYSCTL_physinfo, "physinfo", bytes(layout.size))
        info = PhysInfo()
        for name in layout.fields:
            setattr(info, name, layout.get(result, name))
        return info

    def cpu_topology(self) -> list[tuple[int, int, int] | None]:
        """(core, socket, node) of each CPU by number; None for those that are not online."""
        count = self.physinfo().max_cpu_id + 1
        layout = sysctl.xen_sysctl_cputopo
        with self.gate.buffer(count * layout.size) as room:
            payload = sysctl.xen_sysctl_cputopoinfo.pack(num_cpus=count, cputopo=room.address)
            result = self.sysctl(sysctl.XEN_SYSCTL_cputopoinfo, "cputopoinfo", payload)
            count = min(count, sysctl.xen_sysctl_cputopoinfo.get(result, "num_cpus"))
            rows = [layout.row(room.view, index * layout.size) for index in range(count)]
        return [None if row[0] == sysctl.XEN_INVALID_CORE_ID else (row[0], row[1], row[2]) for row in rows]

    def cpu_nodes(self) -> list[int]:
        """The NUMA node of each CPU by number; -1 for those that are not online."""
        return [-1 if place is None else place[2] for place in self.cpu_topology()]

    def numa_nodes(self) -> list[tuple[int, int, list[int]] | None]:
        """(bytes of memory, bytes free, distance to each node) of each node; None for those not online."""
        count = self.physinfo().max_node_id + 1
        layout = sysctl.xen_sysctl_meminfo
        with self.gate.buffer(count * layout.size + count * count * 4) as room:
            payload = sysctl.xen_sysctl_numainfo.pack(
                num_nodes=count, meminfo=room.address, distance=room.address + count * layout.size
            )
            result = self.sysctl(sysctl.XEN_SYSCTL_numainfo, "numainfo", payload)
            start = count * layout.size
            count = min(count, sysctl.xen_sysctl_numainfo.get(result, "num_nodes"))
            rows = [layout.row(room.view, index * layout.size) for index in range(count)]
            distances = array("I")
            distances.frombytes(room.view[start : start + count * count * 4])
        return [
            None
            if size == sysctl.XEN_INVALID_MEM_SZ
            else (size, free, distances[node * count : (node + 1) * count].tolist())
            for node, (size, free) in enumerate(rows)
        ]

    def scheduler_id(self) -> int:
        """The default scheduler, XEN_SCHEDULER_*."""
        layout = sysctl.xen_sysctl_sched_id
        result = self.sysctl(sysctl.XEN_SYSCTL_sched_id, "sched_id", bytes(layout.size))
        return int(layout.get(result, "sched_id"))

    def scheduler_name(self) -> str:
        """The default scheduler as xl calls it: "credit2"."""
        return SCHEDULERS.get(self.scheduler_id(), "unknown")

    def cpupool_info(self, pool_id: int) -> CpuPool:
        """The cpupool of that number, or else the next one.

        Raises:
            XenError: ENOENT, there is none from that number on.
        """
        scratch = self.scratch()
        room = CPUPOOL_BITS // 8
        scratch.view[DATA : DATA + room] = bytes(room)
        layout = sysctl.xen_sysctl_cpupool_op
        payload = layout.pack(
            op=sysctl.XEN_SYSCTL_CPUPOOL_OP_INFO,
            cpupool_id=pool_id,
            bitmap=scratch.address + DATA,
            nr_bits=CPUPOOL_BITS,
        )
        result = self.sysctl(sysctl.XEN_SYSCTL_cpupool_op, "cpupool_info", payload)
        cpus = int.from_bytes(scratch.view[DATA : DATA + room], "little")
        found = layout.unpack_from(result)
        return CpuPool(found["cpupool_id"], found["sched_id"], found["n_dom"], cpus)

    def free_cpus(self) -> int:
        """A bitmap of the CPUs that no cpupool has."""
        scratch = self.scratch()
        room = CPUPOOL_BITS // 8
        scratch.view[DATA : DATA + room] = bytes(room)
        payload = sysctl.xen_sysctl_cpupool_op.pack(
            op=sysctl.XEN_SYSCTL_CPUPOOL_OP_FREEINFO, bitmap=scratch.address + DATA, nr_bits=CPUPOOL_BITS
        )
        self.sysctl(sysctl.XEN_SYSCTL_cpupool_op, "cpupool_freeinfo", payload)
        return int.from_bytes(scratch.view[DATA : DATA + room], "little")

    def sharing_freed_pages(self) -> int:
        """Pages that memory sharing has saved."""
        return self._sharing(memory.XENMEM_get_sharing_freed_pages, "get_sharing_freed_pages")

    def sharing_used_pages(self) -> int:
        """Pages that domains share."""
        return self._sharing(memory.XENMEM_get_sharing_shared_pages, "get_sharing_shared_pages")

    def _sharing(self, command: int, name: str) -> int:
        try:
            return self.gate.hypercall(HYPERVISOR_memory_op, command, 0)
        except OSError as exc:
            if exc.errno == errno.ENOSYS:  # a Xen without memory sharing shares none
                return 0
            raise self.failed(exc, name, None) from exc

    def read_console(self) -> bytes:
        """What Xen itself printed, as far as its ring still has it (``xl dmesg``)."""
        text = bytearray()
        index, incremental = 0, 0
        layout = sysctl.xen_sysctl_readconsole
        with self.gate.buffer(CONSOLE_ROOM) as room:
            while True:
                payload = layout.pack(
                    incremental=incremental, index=index, buffer=room.address, count=len(room.view)
                )
                result = self.sysctl(sysctl.XEN_SYSCTL_readconsole, "readconsole", payload)
                count = layout.get(result, "count")
                text += room.view[:count]
                if count < len(room.view):
                    return bytes(text)
                index, incremental = layout.get(result, "index"), 1

    def _xenver(self, command: int, name: str, size: int) -> bytes:
        scratch = self.scratch()
        scratch.view[:size] = bytes(size)
        self.call(name, HYPERVISOR_xen_version, command, scratch.address)
        return bytes(scratch.view[:size])

    def _text(self, command: int, name: str, size: int) -> str:
        return _c_string(self._xenver(command, name, size))


def _c_string(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
