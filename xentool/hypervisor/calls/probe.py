"""Finding the interface versions of a Xen whose release is not in the table.

A release newer than the table may still take the newest versions that we know:
Xen's developers change a number whenever they change a structure. So we ask with
calls that change nothing, and refuse if each is answered with EACCES.
"""

from __future__ import annotations

import errno

from xentool.abi import domctl, sysctl
from xentool.abi.versions import INTERFACES, NEWEST, OLDEST
from xentool.abi.xen import HYPERVISOR_domctl, HYPERVISOR_sysctl
from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.calls.core import CoreCalls


def probe_interfaces(calls: CoreCalls) -> tuple[int, int]:
    """(domctl's, sysctl's) version that this Xen takes, of those known.

    Raises:
        HostError: it takes none of them, or is too old.
    """
    release = calls.version()
    if release < OLDEST:
        raise _unknown(release, "it is older than what xentool knows")
    known = sorted(INTERFACES.values(), reverse=True)
    domctl_version = next((number for number, _ in known if _domctl_works(calls, number)), None)
    sysctl_version = next((number for _, number in known if _sysctl_works(calls, number)), None)
    if domctl_version is None or sysctl_version is None:
        raise _unknown(release, "it is newer than what xentool knows, and its control interface changed")
    return domctl_version, sysctl_version


def _unknown(release: tuple[int, int], why: str) -> HostError:
    names = [".".join(map(str, each)) for each in (OLDEST, NEWEST)]
    return HostError(
        "use Xen",
        ".".join(map(str, release)),
        f"{why} ({names[0]} to {names[1]})",
        hint="install a newer xentool, or boot one of these releases of Xen",
    )


def _domctl_works(calls: CoreCalls, version: int) -> bool:
    scratch = calls.scratch()
    layout = domctl.xen_domctl
    scratch.view[: layout.size] = layout.pack(
        cmd=domctl.XEN_DOMCTL_getdomaininfo, interface_version=version, domain=0
    )
    return _accepted(calls, "getdomaininfo", HYPERVISOR_domctl)


def _sysctl_works(calls: CoreCalls, version: int) -> bool:
    scratch = calls.scratch()
    layout = sysctl.xen_sysctl
    scratch.view[: layout.size] = layout.pack(cmd=sysctl.XEN_SYSCTL_sched_id, interface_version=version)
    return _accepted(calls, "sched_id", HYPERVISOR_sysctl)


def _accepted(calls: CoreCalls, name: str, number: int) -> bool:
    try:
        calls.gate.hypercall(number, calls.scratch().address)
    except OSError as exc:
        if exc.errno == errno.EACCES:
            return False
        raise calls.failed(exc, name, None) from exc
    return True
