"""The names of a CPU's features, and where in CPUID or in an MSR each of them is a bit.

The names are those of public/arch-x86/cpufeatureset.h in small letters and with hyphens, as xl.cfg's
``cpuid="host,NAME=0"`` has them; no release has renamed one so far. Their order there, in words of 32
bits, is ABI; which word is which register is said in the header's comments.

Source: public/arch-x86/cpufeatureset.h of 4.22.
"""

from __future__ import annotations

from xentool.abi.cpu_policy import XEN_CPUID_NO_SUBLEAF
from xentool.values import Frozen, set_slots

MSR_ARCH_CAPABILITIES = 0x10A
"""MSR_ARCH_CAPABILITIES of Intel's SDM vol. 4."""


class Feature(Frozen):
    """One bit: of `register` ("eax" to "edx") of a leaf of CPUID, or ("msr") of the MSR `leaf`.

    `subleaf` is XEN_CPUID_NO_SUBLEAF where the leaf has none.
    """

    __slots__ = ("bit", "leaf", "register", "subleaf")
    leaf: int
    subleaf: int
    register: str
    bit: int

    def __init__(self, leaf: int, subleaf: int, register: str, bit: int) -> None:
        set_slots(self, locals())


_ = XEN_CPUID_NO_SUBLEAF
# Each row: leaf, subleaf, register, and "NAME:BIT"s; of an MSR its number, the first bit, "msr".
# fmt: off
_WORDS: tuple[tuple[int, int, str, str], ...] = (
    (0x1, _, "edx",
     ("fpu:0 vme:1 de:2 pse:3 tsc:4 msr:5 pae:6 mce:7 cx8:8 apic:9 sep:11 mtrr:12 pge:13 mca:14 cmov:15 "
     "pat:16 pse36:17 clflush:19 ds:21 acpi:22 mmx:23 fxsr:24 sse:25 sse2:26 ss:27 htt:28 tm1:29 pbe:31")),
    (0x1, _, "ecx",
     ("sse3:0 pclmulqdq:1 dtes64:2 monitor:3 dscpl:4 vmx:5 smx:6 eist:7 tm2:8 ssse3:9 sdbg:11 fma:12 "
     "cx16:13 xtpr:14 pdcm:15 pcid:17 dca:18 sse4-1:19 sse4-2:20 x2apic:21 movbe:22 popcnt:23 "
     "tsc-deadline:24 aesni:25 xsave:26 osxsave:27 avx:28 f16c:29 rdrand:30 hypervisor:31")),
    (0x80000001, _, "edx",
     "syscall:11 nx:20 mmxext:22 ffxsr:25 page1gb:26 rdtscp:27 lm:29 3dnowext:30 3dnow:31"),
    (0x80000001, _, "ecx",
     ("lahf-lm:0 cmp-legacy:1 svm:2 extapic:3 cr8-legacy:4 abm:5 sse4a:6 misalignsse:7 3dnowprefetch:8 "
     "osvw:9 ibs:10 xop:11 skinit:12 wdt:13 lwp:15 fma4:16 nodeid-msr:19 tbm:21 topoext:22 dbext:26 "
     "monitorx:29 addr-msk-ext:30")),
    (0xD, 1, "eax",
     "xsaveopt:0 xsavec:1 xgetbv1:2 xsaves:3 xfd:4"),
    (0x7, 0, "ebx",
     ("fsgsbase:0 tsc-adjust:1 sgx:2 bmi1:3 hle:4 avx2:5 fdp-excp-only:6 smep:7 bmi2:8 erms:9 invpcid:10 "
     "rtm:11 pqm:12 no-fpu-sel:13 mpx:14 pqe:15 avx512f:16 avx512dq:17 rdseed:18 adx:19 smap:20 "
     "avx512-ifma:21 clflushopt:23 clwb:24 proc-trace:25 avx512pf:26 avx512er:27 avx512cd:28 sha:29 "
     "avx512bw:30 avx512vl:31")),
    (0x7, 0, "ecx",
     ("prefetchwt1:0 avx512-vbmi:1 umip:2 pku:3 ospke:4 waitpkg:5 avx512-vbmi2:6 cet-ss:7 gfni:8 vaes:9 "
     "vpclmulqdq:10 avx512-vnni:11 avx512-bitalg:12 tme:13 avx512-vpopcntdq:14 la57:16 rdpid:22 bld:24 "
     "cldemote:25 movdiri:27 movdir64b:28 enqcmd:29 sgx-lc:30 pks:31")),
    (0x80000007, _, "edx",
     "hw-pstate:7 itsc:8 cpb:9 efro:10"),
    (0x80000008, _, "ebx",
     ("clzero:0 rstr-fp-err-ptrs:2 wbnoinvd:9 ibpb:12 ibrs:14 amd-stibp:15 ibrs-always:16 stibp-always:17 "
     "ibrs-fast:18 ibrs-same-mode:19 no-lmsl:20 amd-ppin:23 amd-ssbd:24 virt-ssbd:25 ssb-no:26 cppc:27 "
     "psfd:28 btc-no:29 ibpb-ret:30")),
    (0x7, 0, "edx",
     ("sgx-keys:1 avx512-4vnniw:2 avx512-4fmaps:3 fsrm:4 uintr:5 avx512-vp2intersect:8 srbds-ctrl:9 "
     "md-clear:10 rtm-always-abort:11 tsx-force-abort:13 serialize:14 hybrid:15 tsxldtrk:16 pconfig:18 "
     "arch-lbr:19 cet-ibt:20 amx-bf16:22 avx512-fp16:23 amx-tile:24 amx-int8:25 ibrsb:26 stibp:27 "
     "l1d-flush:28 arch-caps:29 core-caps:30 ssbd:31")),
    (0x7, 1, "eax",
     ("sha512:0 sm3:1 sm4:2 avx-vnni:4 avx512-bf16:5 lass:6 cmpccxadd:7 arch-perf-mon:8 fzrm:10 fsrs:11 "
     "fsrcs:12 fred:17 lkgs:18 wrmsrns:19 nmi-src:20 amx-fp16:21 avx-ifma:23 lam:26 msrlist:27 "
     "no-invd:30")),
    (0x80000021, _, "eax",
     ("no-nest-bp:0 fs-gs-ns:1 lfence-dispatch:2 verw-clear:5 nscb:6 auto-ibrs:8 amd-fsrs:10 amd-fsrc:11 "
     "cpuid-user-dis:17 epsf:18 fsrsc:19 amd-prefetchi:20 avx512-bmm:23 sbpb:27 ibpb-brtype:28 "
     "srso-no:29 srso-us-no:30 srso-msr-fix:31")),
    (0x7, 1, "ebx",
     "intel-ppin:0"),
    (0x7, 2, "edx",
     "intel-psfd:0 ipred-ctrl:1 rrsba-ctrl:2 ddp-ctrl:3 bhi-ctrl:4 mcdt-no:5 uc-lock-dis:6"),
    (0x7, 1, "edx",
     ("avx-vnni-int8:4 avx-ne-convert:5 amx-complex:8 avx-vnni-int16:10 prefetchi:14 uiret-uif:17 "
     "cet-sss:18 slsm:24")),
    (MSR_ARCH_CAPABILITIES, 0, "msr",
     ("rdcl-no:0 eibrs:1 rsba:2 skip-l1dfl:3 intel-ssb-no:4 mds-no:5 if-pschange-mc-no:6 tsx-ctrl:7 "
     "taa-no:8 mcu-ctrl:9 misc-pkg-ctrl:10 energy-filtering:11 doitm:12 sbdr-ssdp-no:13 fbsdp-no:14 "
     "psdp-no:15 mcu-ext:16 fb-clear:17 fb-clear-ctrl:18 rrsba:19 bhi-no:20 xapic-status:21 "
     "ovrclk-status:23 pbrsb-no:24 gds-ctrl:25 gds-no:26 rfds-no:27 rfds-clear:28 ign-umonitor:29 "
     "mon-umon-mitg:30")),
    (MSR_ARCH_CAPABILITIES, 32, "msr",
     "pb-opt-ctrl:0 its-no:30"),
    (0x80000021, _, "ecx",
     "tsa-sq-no:1 tsa-l1-no:2"),
)
# fmt: on


def feature_named(name: str) -> Feature | None:
    """Where the feature of that name is, or None if there is none."""
    mark = f" {name}:"
    for leaf, subleaf, register, names in _WORDS:
        at = f" {names} ".find(mark)
        if at < 0 or not name or " " in name:
            continue
        bit = int(names[at + len(mark) - 1 :].partition(" ")[0])
        if register == "msr":
            return Feature(leaf, XEN_CPUID_NO_SUBLEAF, register, subleaf + bit)
        return Feature(leaf, subleaf, register, bit)
    return None


def feature_names() -> list[str]:
    """Every name, word by word."""
    return [item.partition(":")[0] for *_where, names in _WORDS for item in names.split()]
