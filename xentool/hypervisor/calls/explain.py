"""What an errno of a hypercall means, in words for people.

Imported only when something failed. An operation has an action (what was being
done, in words) and, for some errno, a reason and a hint of its own; the rest
follows from the errno.

Source: what xen/common/domctl.c, xen/common/domain.c, xen/common/memory.c,
xen/common/sched/core.c and xen/arch/x86/{domain,domctl,mm}.c answer, 4.17 to 4.22.
"""

from __future__ import annotations

import errno

from xentool.errors import HostError, InUseError, NoMemoryError, NotFoundError, XenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.errors import XentoolError
    from xentool.hypervisor.calls.core import CoreCalls

XEN_LOG = "`xl dmesg` shows what Xen itself says of it"

# What was being done, by operation.
ACTIONS = {
    "alloc_unbound": "make an event channel for domain",
    "cpupool_info": "look at cpupools",
    "claim_pages": "set memory aside for domain",
    "createdomain": "create domain",
    "decrease_reservation": "take memory from domain",
    "destroydomain": "destroy domain",
    "evtchn_alloc_unbound": "make an event channel for domain",
    "evtchn_status": "look at an event channel of domain",
    "get_cpu_policy": "read the CPU policy of domain",
    "get_system_cpu_policy": "read Xen's CPU policies",
    "getdomaininfo": "look at domain",
    "getdomaininfolist": "list domains",
    "getvcpuaffinity": "read the affinity of a vcpu of domain",
    "getvcpucontext": "read the registers of a vcpu of domain",
    "getvcpuinfo": "look at a vcpu of domain",
    "gnttab_setup_table": "set up the grant table of domain",
    "hypercall_init": "write the hypercall page of domain",
    "map_grant_table": "map the grant table of domain",
    "max_mem": "limit the memory of domain",
    "max_vcpus": "make the vcpus of domain",
    "pausedomain": "pause domain",
    "physinfo": "ask Xen about the machine",
    "pin_table": "have Xen check the page tables of domain",
    "populate_physmap": "give memory to domain",
    "readconsole": "read Xen's messages",
    "remote_shutdown": "stop domain",
    "scheduler_op": "set the scheduling of domain",
    "set_address_size": "set the address size of domain",
    "set_cpu_policy": "set the CPU policy of domain",
    "set_memory_map": "set the memory map of domain",
    "settimeoffset": "set the clock of domain",
    "settscinfo": "set the time stamp counter of domain",
    "setvcpuaffinity": "pin a vcpu of domain",
    "setvcpucontext": "set the registers of a vcpu of domain",
    "unpausedomain": "unpause domain",
    "unpin_table": "let go of the page tables of domain",
    "xen_version": "ask Xen for its version",
}

# What an errno means for one operation: the reason, the hint.
MEANINGS = {
    ("createdomain", errno.EINVAL): (
        "Xen cannot give it what is asked for: {facts}",
        f"Xen's limits: gnttab_max_frames, gnttab_max_maptrack_frames, 128 vcpus for PVH; {XEN_LOG}",
    ),
    ("createdomain", errno.ESRCH): ("there is no such cpupool: {facts}", "`xl cpupool-list` shows them"),
    ("pausedomain", errno.EINVAL): ("a domain cannot pause itself", ""),
    ("pausedomain", errno.EUSERS): ("it has been paused too often", "unpause it first"),
    ("unpausedomain", errno.EINVAL): ("it is not paused", ""),
    ("destroydomain", errno.EINVAL): ("a domain cannot destroy itself", ""),
    ("max_vcpus", errno.EINVAL): ("it was created for another number of vcpus, or it is Domain-0", ""),
    ("setvcpuaffinity", errno.EINVAL): (
        "none of those CPUs is online in the domain's cpupool, or it has no such vcpu",
        "`xl cpupool-list -c` and `xentool info` show which CPUs there are",
    ),
    ("setvcpucontext", errno.EINVAL): (
        "Xen does not accept them: bad page tables, or selectors and flags that are not allowed",
        XEN_LOG,
    ),
    ("getvcpucontext", errno.ENODATA): ("the vcpu has not been started yet", ""),
    ("getvcpucontext", errno.EINVAL): ("it has no such vcpu", ""),
    ("pin_table", errno.EINVAL): (
        "they are not valid: an entry names no page table of its level, or has bits that must be 0",
        XEN_LOG,
    ),
    ("pin_table", errno.EBUSY): (
        "they are not valid: a page table can be written to, or a frame belongs to another domain",
        XEN_LOG,
    ),
    ("pin_table", errno.EPERM): ("they map frames that are no memory", XEN_LOG),
    ("gnttab_setup_table", errno.EINVAL): ("Xen refused, with {facts}", XEN_LOG),
    ("claim_pages", errno.EINVAL): (
        "it has a claim already, or as many pages as that, or may not have as many",
        "",
    ),
    ("claim_pages", errno.ENOMEM): (
        "the host has less free memory than the domain asks for",
        "stop other domains, give Domain-0 less memory (dom0_mem=), or lower memory = … in the config",
    ),
    ("set_address_size", errno.EINVAL): ("this Xen runs no such PV domains", ""),
    ("set_cpu_policy", errno.EEXIST): ("it has run already", "it must be set before the first start"),
    ("set_cpu_policy", errno.EINVAL): ("this machine cannot give it {facts}", ""),
    ("set_cpu_policy", errno.EPERM): ("Xen does not let it have {facts}", ""),
    ("set_cpu_policy", errno.ERANGE): ("Xen knows no {facts}", ""),
    ("scheduler_op", errno.EINVAL): (
        "the scheduler does not take these values",
        "a weight is 1 to 65535, a cap 0 (none) or a percentage of one CPU up to 100 for each vcpu",
    ),
    ("hypercall_init", errno.EPERM): ("the frame is a page table already", ""),
    ("hypercall_init", errno.EINVAL): ("the frame is not one of the domain's", ""),
    ("cpupool_info", errno.ENOENT): ("there is no such cpupool", ""),
}  # fmt: skip


def explained(
    calls: CoreCalls,
    error: OSError | int,
    name: str,
    domid: int | None,
    *,
    facts: str = "",
    action: str = "",
) -> XentoolError:
    """The error to raise for an errno of the operation `name` on `domid`.

    `facts` are the values that the call had, for reasons that name them.
    """
    number = error if isinstance(error, int) else error.errno or 0
    action = action or ACTIONS.get(name) or f"carry out Xen's {name} on domain"
    subject = "" if domid is None else str(domid)
    if domid is None:
        action = action.removesuffix(" of domain").removesuffix(" for domain").removesuffix(" on domain")
    meaning = MEANINGS.get((name, number))
    if meaning is not None:
        reason, hint = meaning[0].format(facts=facts or "that"), meaning[1]
        if number == errno.ENOMEM:
            return NoMemoryError(action, subject, reason, hint=hint)
        return XenError(action, subject, number, reason, hint=hint)
    return _by_errno(calls, number, name, domid, action, subject, facts)


def _by_errno(
    calls: CoreCalls, number: int, name: str, domid: int | None, action: str, subject: str, facts: str
) -> XentoolError:
    if number == errno.ESRCH and domid is not None:
        if "vcpu" in name:
            reason = "there is no such domain, or it has no such vcpu"
        else:
            reason = "there is no such domain"
        return NotFoundError(action, subject, reason, hint="`xentool list` shows the domains")
    if number == errno.ENOMEM:
        return NoMemoryError(
            action,
            subject,
            "Xen has no memory left for it",
            hint="stop other domains, or give Domain-0 less memory",
        )
    if number == errno.EEXIST and name == "createdomain":
        return InUseError(action, subject, "another domain has that domid", hint="let Xen choose one")
    if number == errno.EACCES:
        return _access_denied(calls, action, subject)
    if number == errno.EPERM:
        return HostError(
            action,
            subject,
            "Xen lets only a privileged domain do this",
            hint="run this in Domain-0, as root",
        )
    if number in (errno.ENOSYS, errno.EOPNOTSUPP):
        return HostError(
            action, subject, f"this Xen cannot do it ({name})", hint="was it built without PV or HVM?"
        )
    if number == errno.EFAULT:
        return XenError(
            action,
            subject,
            number,
            f"Xen cannot reach our memory (EFAULT in {name})",
            hint="this is a bug in xentool: please report it",
        )
    return XenError(action, subject, number, "", hint=XEN_LOG, detail=f"{name} {facts}".strip())


def _access_denied(calls: CoreCalls, action: str, subject: str) -> XentoolError:
    release = ".".join(map(str, calls.version()))
    ours = " and ".join(f"{number:#x}" for number in calls.interfaces())
    return HostError(
        action,
        subject,
        f"Xen {release} refuses us: it takes other versions of its control interface than {ours}, "
        "or its security policy (XSM) forbids it",
        hint="install a xentool that knows this Xen; where XSM is in use, look at the policy",
    )
