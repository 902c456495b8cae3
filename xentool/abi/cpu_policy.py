"""A guest's view of CPUID and MSRs: a list of leaves and a list of MSRs.

Source: public/arch-x86/xen.h (xen_cpuid_leaf, xen_msr_entry); leaves and bits:
Intel SDM vol. 2, CPUID, AMD APM vol. 3, appendix E, by the names of
public/arch-x86/cpufeatureset.h.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    Feature = tuple[int, int, str, int]

# Indices for XEN_SYSCTL_get_cpu_policy (XEN_SYSCTL_cpu_policy_*), under short names.
HOST = 1
PV_MAX = 2
PV_DEFAULT = 4

XEN_CPUID_NO_SUBLEAF = 0xFFFFFFFF

xen_cpuid_leaf = Struct(
    "struct xen_cpuid_leaf",
    24,
    {"leaf": (0, "I"), "subleaf": (4, "I"), "a": (8, "I"), "b": (12, "I"), "c": (16, "I"), "d": (20, "I")},
)

xen_msr_entry = Struct("struct xen_msr_entry", 16, {"idx": (0, "I"), "flags": (4, "I"), "val": (8, "Q")})

# A feature: leaf, subleaf, register, bit.
HTT: Feature = (0x1, XEN_CPUID_NO_SUBLEAF, "d", 28)
CMP_LEGACY: Feature = (0x80000001, XEN_CPUID_NO_SUBLEAF, "c", 1)
ITSC: Feature = (0x80000007, XEN_CPUID_NO_SUBLEAF, "d", 8)


def find_leaf(
    leaves: bytes | bytearray | memoryview, leaf: int, subleaf: int = XEN_CPUID_NO_SUBLEAF
) -> int | None:
    """Where the entry for (leaf, subleaf) starts in an array of xen_cpuid_leaf; None if there is none."""
    for at in range(0, len(leaves), xen_cpuid_leaf.size):
        if xen_cpuid_leaf.row(leaves, at)[:2] == (leaf, subleaf):
            return at
    return None


def has_feature(leaves: bytes | bytearray | memoryview, feature: Feature) -> bool:
    leaf, subleaf, register, bit = feature
    at = find_leaf(leaves, leaf, subleaf)
    return at is not None and bool(xen_cpuid_leaf.get(leaves, register, at) >> bit & 1)


def set_feature(leaves: bytearray, feature: Feature, present: bool) -> bool:
    """Switch a feature on or off; whether that changed anything (a leaf that is absent stays so)."""
    leaf, subleaf, register, bit = feature
    at = find_leaf(leaves, leaf, subleaf)
    if at is None:
        return False
    before = xen_cpuid_leaf.get(leaves, register, at)
    after = before | 1 << bit if present else before & ~(1 << bit)
    xen_cpuid_leaf.pack_into(leaves, at, **{register: after})
    return bool(after != before)
