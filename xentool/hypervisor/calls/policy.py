"""CPU policies: what CPUID and MSRs say to a domain.

Source: public/domctl.h, public/sysctl.h (get_cpu_policy, set_cpu_policy); the entries are
`xentool.abi.cpu_policy`'s.
"""

from __future__ import annotations

from xentool.abi import domctl, sysctl
from xentool.abi.cpu_policy import xen_cpuid_leaf, xen_msr_entry
from xentool.abi.xen import HYPERVISOR_domctl
from xentool.hypervisor.calls.core import CoreCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.port import Buffer
    from xentool.units import DomId


class PolicyCalls(CoreCalls):
    """Calls about CPU policies; they belong to `xentool.hypervisor.calls.Hypercalls`."""

    def system_cpu_leaves(self, index: int) -> bytes:
        """The CPUID leaves (xen_cpuid_leaf) of one of Xen's policies (XEN_SYSCTL_cpu_policy_*).

        Raises:
            XenError: EOPNOTSUPP, Xen was built without that kind of guests.
        """
        return self.system_cpu_policy(index)[0]

    def system_cpu_policy(self, index: int) -> tuple[bytes, bytes]:
        """One of Xen's policies: its leaves (xen_cpuid_leaf) and its MSRs (xen_msr_entry)."""
        nr_leaves, nr_msrs = self._policy_size()
        with self._room(nr_leaves, nr_msrs) as room:
            msrs_at = nr_leaves * xen_cpuid_leaf.size
            layout = sysctl.xen_sysctl_cpu_policy
            result = self.sysctl(
                sysctl.XEN_SYSCTL_get_cpu_policy,
                "get_system_cpu_policy",
                layout.pack(
                    index=index,
                    nr_leaves=nr_leaves,
                    nr_msrs=nr_msrs,
                    leaves=room.address,
                    msrs=room.address + msrs_at,
                ),
            )
            return _cut(room, msrs_at, layout.get(result, "nr_leaves"), layout.get(result, "nr_msrs"))

    def cpu_policy(self, domid: DomId) -> tuple[bytes, bytes]:
        """A domain's policy: its leaves and its MSRs."""
        nr_leaves, nr_msrs = self._policy_size()
        with self._room(nr_leaves, nr_msrs) as room:
            msrs_at = nr_leaves * xen_cpuid_leaf.size
            layout = domctl.xen_domctl_cpu_policy
            result = self.domctl(
                domctl.XEN_DOMCTL_get_cpu_policy,
                "get_cpu_policy",
                domid,
                layout.pack(
                    nr_leaves=nr_leaves, nr_msrs=nr_msrs, leaves=room.address, msrs=room.address + msrs_at
                ),
            )
            return _cut(room, msrs_at, layout.get(result, "nr_leaves"), layout.get(result, "nr_msrs"))

    def set_cpu_policy(self, domid: DomId, leaves: bytes, msrs: bytes = b"") -> None:
        """Give a domain that never ran these leaves and MSRs; those that are not named stay as they are.

        Raises:
            XenError: EINVAL or EPERM, Xen objects to one of them; EEXIST, the domain ran already.
        """
        nr_leaves, nr_msrs = len(leaves) // xen_cpuid_leaf.size, len(msrs) // xen_msr_entry.size
        layout = domctl.xen_domctl_cpu_policy
        with self._room(nr_leaves, nr_msrs) as room:
            room.view[: len(leaves)] = leaves
            room.view[len(leaves) : len(leaves) + len(msrs)] = msrs
            payload = layout.pack(
                nr_leaves=nr_leaves,
                nr_msrs=nr_msrs,
                leaves=room.address,
                msrs=room.address + len(leaves),
                err_leaf=0xFFFFFFFF,
                err_subleaf=0xFFFFFFFF,
                err_msr=0xFFFFFFFF,
            )
            address = self.domctl_address(domctl.XEN_DOMCTL_set_cpu_policy, domid, payload)
            try:
                self.gate.hypercall(HYPERVISOR_domctl, address)
            except OSError as exc:
                facts = _objection(layout.unpack_from(self.scratch().view, domctl.xen_domctl.offset("u")))
                raise self.failed(exc, "set_cpu_policy", domid, facts) from exc

    def _policy_size(self) -> tuple[int, int]:
        """How many leaves and MSRs a policy of this Xen has at most."""
        layout = sysctl.xen_sysctl_cpu_policy
        payload = layout.pack(index=sysctl.XEN_SYSCTL_cpu_policy_host)
        result = self.sysctl(sysctl.XEN_SYSCTL_get_cpu_policy, "get_system_cpu_policy", payload)
        return layout.get(result, "nr_leaves"), layout.get(result, "nr_msrs")

    def _room(self, nr_leaves: int, nr_msrs: int) -> Buffer:
        return self.gate.buffer(max(1, nr_leaves * xen_cpuid_leaf.size + nr_msrs * xen_msr_entry.size))


def _cut(room: Buffer, msrs_at: int, nr_leaves: int, nr_msrs: int) -> tuple[bytes, bytes]:
    view = room.view
    leaves = bytes(view[: nr_leaves * xen_cpuid_leaf.size])
    return leaves, bytes(view[msrs_at : msrs_at + nr_msrs * xen_msr_entry.size])


def _objection(answer: dict[str, int]) -> str:
    if answer["err_msr"] != 0xFFFFFFFF:
        return f"MSR {answer['err_msr']:#x}"
    if answer["err_leaf"] != 0xFFFFFFFF:
        return f"CPUID leaf {answer['err_leaf']:#x}, subleaf {answer['err_subleaf']:#x}"
    return ""
