"""Making a domain and giving it what it has beside memory: vcpus, ports, a clock, a share of the processors.

Source: public/domctl.h, public/event_channel.h, public/sched.h.
"""

from __future__ import annotations

from xentool.abi import domctl
from xentool.abi.event_channel import (
    EVTCHNOP_alloc_unbound,
    EVTCHNOP_status,
    evtchn_alloc_unbound,
    evtchn_status,
)
from xentool.abi.sched import SCHEDOP_remote_shutdown, sched_remote_shutdown
from xentool.abi.sysctl import XEN_SYSCTL_PHYSCAP_gnttab_v2
from xentool.abi.vcpu import vcpu_guest_context
from xentool.abi.versions import createdomain
from xentool.abi.xen import (
    DOMID_ANY,
    DOMID_FIRST_RESERVED,
    HYPERVISOR_domctl,
    HYPERVISOR_event_channel_op,
    HYPERVISOR_sched_op,
)
from xentool.hypervisor.calls.core import DATA
from xentool.hypervisor.calls.host import HostCalls
from xentool.units import DomId, Mfn, Port

SOFT_AT = DATA + 1024  # a vcpu's second CPU bitmap in scratch memory, behind the first
MAX_CPUS = 4096  # no x86 Xen has more (xen/arch/Kconfig, NR_CPUS)


class VcpuInfo:
    """A vcpu at one moment; `cpu` is where it runs or ran last, `cpu_time` in nanoseconds."""

    __slots__ = ("blocked", "cpu", "cpu_time", "online", "running", "vcpu")

    def __init__(self, vcpu: int, online: int, blocked: int, running: int, cpu_time: int, cpu: int) -> None:
        self.vcpu = vcpu
        self.online = bool(online)
        self.blocked = bool(blocked)
        self.running = bool(running)
        self.cpu_time = cpu_time
        self.cpu = cpu


class DomainCalls(HostCalls):
    """Calls that make a domain and set it up; they belong to `xentool.hypervisor.calls.Hypercalls`."""

    def create_domain(
        self,
        handle: bytes,
        *,
        flags: int = 0,
        iommu_opts: int = 0,
        max_vcpus: int = 1,
        max_evtchn_port: int = 1023,
        max_grant_frames: int | None = None,
        max_maptrack_frames: int | None = None,
        max_grant_version: int | None = None,
        vmtrace_size: int = 0,
        cpupool_id: int = 0,
        ssidref: int = 0,
        emulation_flags: int = 0,
        misc_flags: int = 0,
        domid: int = DOMID_ANY,
    ) -> DomId:
        """Make an empty, paused domain; its domid, which Xen chooses unless `domid` asks for one.

        `handle` is the uuid's 16 bytes. None as a number of grant or maptrack frames
        means Xen's own maximum, None as the grant version the newest that Xen has.

        Raises:
            InUseError: the domid that was asked for is taken.
            NoMemoryError: Xen has no memory for the domain's structures.
            XenError: EINVAL, Xen cannot give what is asked for.
        """
        if max_grant_version is None:
            max_grant_version = 2 if self.physinfo().capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v2 else 1
        payload = createdomain(self.interfaces()[0]).pack(
            ssidref=ssidref,
            handle=handle,
            flags=flags,
            iommu_opts=iommu_opts,
            max_vcpus=max_vcpus,
            max_evtchn_port=max_evtchn_port,
            max_grant_frames=-1 if max_grant_frames is None else max_grant_frames,
            max_maptrack_frames=-1 if max_maptrack_frames is None else max_maptrack_frames,
            grant_opts=max_grant_version,
            vmtrace_size=vmtrace_size,
            cpupool_id=cpupool_id,
            emulation_flags=emulation_flags,
            misc_flags=misc_flags,
        )
        address = self.domctl_address(domctl.XEN_DOMCTL_createdomain, domid, payload)
        try:
            self.gate.hypercall(HYPERVISOR_domctl, address)
        except OSError as exc:
            facts = (
                f"{max_vcpus} vcpus, event channels to port {max_evtchn_port}, grant table version "
                f"{max_grant_version} of {max_grant_frames or 'default'} frames, "
                f"{max_maptrack_frames or 'default'} maptrack frames, flags {flags:#x}, cpupool {cpupool_id}"
            )
            subject = domid if 0 < domid < DOMID_FIRST_RESERVED else None
            raise self.failed(exc, "createdomain", subject, facts) from exc
        return DomId(domctl.xen_domctl.get(self.scratch().view, "domain"))

    def max_mem(self, domid: DomId, max_kib: int) -> None:
        """Let the domain have no more than `max_kib` KiB of memory."""
        payload = domctl.xen_domctl_max_mem.pack(max_memkb=max_kib)
        self.domctl(domctl.XEN_DOMCTL_max_mem, "max_mem", domid, payload)

    def max_vcpus(self, domid: DomId, count: int) -> None:
        """Make the vcpus, as many as `create_domain` was told."""
        payload = domctl.xen_domctl_max_vcpus.pack(max=count)
        self.domctl(domctl.XEN_DOMCTL_max_vcpus, "max_vcpus", domid, payload)

    def set_address_size(self, domid: DomId, bits: int) -> None:
        """Say that a PV domain's kernel is of 64 or 32 bits."""
        payload = domctl.xen_domctl_address_size.pack(size=bits)
        self.domctl(domctl.XEN_DOMCTL_set_address_size, "set_address_size", domid, payload)

    def set_tsc_info(
        self, domid: DomId, mode: int, *, elapsed_ns: int = 0, khz: int = 0, incarnation: int = 0
    ) -> None:
        """How the domain's time stamp counter behaves: 0 as Xen thinks best, 1 emulated, 2 native."""
        payload = domctl.xen_domctl_tsc_info.pack(
            tsc_mode=mode, elapsed_nsec=elapsed_ns, gtsc_khz=khz, incarnation=incarnation
        )
        self.domctl(domctl.XEN_DOMCTL_settscinfo, "settscinfo", domid, payload)

    def set_time_offset(self, domid: DomId, seconds: int) -> None:
        """How far the domain's wall clock is from the host's UTC."""
        payload = domctl.xen_domctl_settimeoffset.pack(time_offset_seconds=seconds)
        self.domctl(domctl.XEN_DOMCTL_settimeoffset, "settimeoffset", domid, payload)

    def hypercall_init(self, domid: DomId, frame: Mfn) -> None:
        """Fill a frame of the domain with Xen's hypercall page."""
        payload = domctl.xen_domctl_hypercall_init.pack(gmfn=frame)
        self.domctl(domctl.XEN_DOMCTL_hypercall_init, "hypercall_init", domid, payload)

    def vcpu_info(self, domid: DomId, vcpu: int) -> VcpuInfo:
        """Raises NotFoundError where there is no such domain or vcpu."""
        layout = domctl.xen_domctl_getvcpuinfo
        result = self.domctl(domctl.XEN_DOMCTL_getvcpuinfo, "getvcpuinfo", domid, layout.pack(vcpu=vcpu))
        return VcpuInfo(**layout.unpack_from(result))

    def set_vcpu_context(self, domid: DomId, vcpu: int, context: bytes) -> None:
        """Set a vcpu's registers: `context` is a vcpu_guest_context, as long as the structure.

        Raises:
            XenError: EINVAL, they name page tables, descriptors or flags that Xen does not allow.
        """
        if len(context) != vcpu_guest_context.size:
            raise ValueError(f"a vcpu_guest_context has {vcpu_guest_context.size} bytes, not {len(context)}")
        self.scratch().view[DATA : DATA + len(context)] = context
        self._vcpu_context(domctl.XEN_DOMCTL_setvcpucontext, "setvcpucontext", domid, vcpu)

    def vcpu_context(self, domid: DomId, vcpu: int) -> bytes:
        """A vcpu's registers, a vcpu_guest_context. The vcpu must not run.

        Raises:
            XenError: ENODATA, the vcpu has not been started yet.
        """
        self._vcpu_context(domctl.XEN_DOMCTL_getvcpucontext, "getvcpucontext", domid, vcpu)
        return bytes(self.scratch().view[DATA : DATA + vcpu_guest_context.size])

    def _vcpu_context(self, command: int, name: str, domid: DomId, vcpu: int) -> None:
        payload = domctl.xen_domctl_vcpucontext.pack(vcpu=vcpu, ctxt=self.scratch().address + DATA)
        self.domctl(command, name, domid, payload)

    def set_vcpu_affinity(
        self, domid: DomId, vcpu: int, *, hard: int | None = None, soft: int | None = None
    ) -> tuple[int | None, int | None]:
        """Say on which CPUs a vcpu may run (`hard`) and likes to run (`soft`), as bitmaps: bit n is CPU n.

        None leaves that affinity as it is. Returns what takes effect: the CPUs of the
        bitmaps that are online in the domain's cpupool.

        Raises:
            XenError: EINVAL, none of the hard affinity's CPUs is online.
        """
        self._affinity(domctl.XEN_DOMCTL_setvcpuaffinity, "setvcpuaffinity", domid, vcpu, hard, soft)
        return (
            None if hard is None else self._bitmap_at(DATA),
            None if soft is None else self._bitmap_at(SOFT_AT),
        )

    def vcpu_affinity(self, domid: DomId, vcpu: int) -> tuple[int, int]:
        """The hard and soft affinity that were set, as bitmaps over all CPUs that there can be."""
        self._affinity(domctl.XEN_DOMCTL_getvcpuaffinity, "getvcpuaffinity", domid, vcpu, 0, 0)
        return self._bitmap_at(DATA), self._bitmap_at(SOFT_AT)

    def _affinity(
        self, command: int, name: str, domid: DomId, vcpu: int, hard: int | None, soft: int | None
    ) -> None:
        scratch = self.scratch()
        nr_bits = max(8, min(MAX_CPUS, self.physinfo().max_cpu_id + 1))
        flags = 0
        for bitmap, at, flag in (
            (hard, DATA, domctl.XEN_VCPUAFFINITY_HARD),
            (soft, SOFT_AT, domctl.XEN_VCPUAFFINITY_SOFT),
        ):
            scratch.view[at : at + MAX_CPUS // 8] = ((bitmap or 0) & (1 << nr_bits) - 1).to_bytes(
                MAX_CPUS // 8, "little"
            )
            flags |= 0 if bitmap is None else flag
        payload = domctl.xen_domctl_vcpuaffinity.pack(
            vcpu=vcpu,
            flags=flags,
            hard_bitmap=scratch.address + DATA,
            hard_nr_bits=nr_bits,
            soft_bitmap=scratch.address + SOFT_AT,
            soft_nr_bits=nr_bits,
        )
        self.domctl(command, name, domid, payload)

    def _bitmap_at(self, at: int) -> int:
        return int.from_bytes(self.scratch().view[at : at + MAX_CPUS // 8], "little")

    def scheduling(self, domid: DomId) -> tuple[int, int] | None:
        """The domain's (weight, cap in percent of one CPU); None where its scheduler has neither."""
        scheduler = self.cpupool_info(self.domain_info(domid).cpupool).scheduler_id
        if scheduler not in (domctl.XEN_SCHEDULER_CREDIT, domctl.XEN_SCHEDULER_CREDIT2):
            return None
        layout = domctl.xen_domctl_scheduler_op
        payload = layout.pack(sched_id=scheduler, cmd=domctl.XEN_DOMCTL_SCHEDOP_getinfo)
        result = self.domctl(domctl.XEN_DOMCTL_scheduler_op, "scheduler_op", domid, payload)
        return layout.get(result, "weight"), layout.get(result, "cap")

    def set_scheduling(self, domid: DomId, *, weight: int | None = None, cap: int | None = None) -> bool:
        """Set weight or cap or both, None leaving one as it is; False where the scheduler has neither.

        Raises:
            XenError: EINVAL, a value that the scheduler does not take.
        """
        now = self.scheduling(domid)
        if now is None:
            return False
        weight = now[0] if weight is None else weight
        cap = now[1] if cap is None else cap
        payload = domctl.xen_domctl_scheduler_op.pack(
            sched_id=self.cpupool_info(self.domain_info(domid).cpupool).scheduler_id,
            cmd=domctl.XEN_DOMCTL_SCHEDOP_putinfo,
            weight=weight,
            cap=cap,
        )
        self.domctl(domctl.XEN_DOMCTL_scheduler_op, "scheduler_op", domid, payload)
        return True

    def alloc_unbound(self, domid: DomId, remote: DomId) -> Port:
        """A new event-channel port of `domid` that `remote` may bind to."""
        scratch = self.scratch()
        scratch.view[: evtchn_alloc_unbound.size] = evtchn_alloc_unbound.pack(dom=domid, remote_dom=remote)
        self.call(
            "evtchn_alloc_unbound",
            HYPERVISOR_event_channel_op,
            EVTCHNOP_alloc_unbound,
            scratch.address,
            domid=domid,
        )
        return Port(evtchn_alloc_unbound.get(scratch.view, "port"))

    def port_status(self, domid: DomId, port: Port) -> tuple[int, DomId | None]:
        """A port's state (EVTCHNSTAT_*), and the domain at its other end where there is or may be one."""
        scratch = self.scratch()
        scratch.view[: evtchn_status.size] = evtchn_status.pack(dom=domid, port=port)
        self.call("evtchn_status", HYPERVISOR_event_channel_op, EVTCHNOP_status, scratch.address, domid=domid)
        status: int = evtchn_status.get(scratch.view, "status")
        return status, DomId(evtchn_status.get(scratch.view, "unbound_dom")) if status in (1, 2) else None

    def shutdown_domain(self, domid: DomId, reason: int) -> None:
        """Stop the domain as if it had shut itself down with `reason` (SHUTDOWN_*); it is not asked."""
        scratch = self.scratch()
        scratch.view[: sched_remote_shutdown.size] = sched_remote_shutdown.pack(
            domain_id=domid, reason=reason
        )
        self.call(
            "remote_shutdown", HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, scratch.address, domid=domid
        )
