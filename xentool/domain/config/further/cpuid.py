"""Changes to the CPU features that the guest sees: ``cpuid``, in its two forms, as one policy.

    cpuid = "host,avx512f=0,svm=x"                       by name
    cpuid = [ "0x1:ecx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0" ]   by register: 32 characters, bit 31 first

A bit is 0, 1, x (the default), k (as the host has it, kept over migration) or s (as k, but of old).
xl says of an entry that it cannot read, and goes on without it; here that is an error.

Source: tools/libs/light/libxl_cpuid.c (libxl_cpuid_parse_config, libxl_cpuid_parse_config_xend);
tools/xl/xl_parse.c (parse_config_data).
"""

from __future__ import annotations

from xentool.abi.cpu_features import Feature, feature_named
from xentool.abi.cpu_policy import XEN_CPUID_NO_SUBLEAF as NO_SUBLEAF
from xentool.domain.config.lexer import parse_number
from xentool.domain.config.limits import UINT32_MAX
from xentool.errors import ConfigError
from xentool.values import FrozenMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from xentool.domain.config.reader import Reader

REGISTERS = ("eax", "ebx", "ecx", "edx")

_FIELDS: dict[str, tuple[int, int, str, int, int]] = {
    "maxleaf": (0x0, NO_SUBLEAF, "eax", 0, 32),
    "stepping": (0x1, NO_SUBLEAF, "eax", 0, 4),
    "model": (0x1, NO_SUBLEAF, "eax", 4, 8),
    "family": (0x1, NO_SUBLEAF, "eax", 8, 8),
    "brandid": (0x1, NO_SUBLEAF, "ebx", 0, 8),
    "clflush": (0x1, NO_SUBLEAF, "ebx", 8, 8),
    "proccount": (0x1, NO_SUBLEAF, "ebx", 16, 8),
    "localapicid": (0x1, NO_SUBLEAF, "ebx", 24, 8),
    "procpkg": (0x4, 0, "eax", 26, 6),
    "nc": (0x80000008, NO_SUBLEAF, "ecx", 0, 8),
    "apicidsize": (0x80000008, NO_SUBLEAF, "ecx", 12, 4),
    "maxhvleaf": (0x40000000, NO_SUBLEAF, "eax", 0, 8),
}
"""libxl's names for what is wider than a bit: leaf, subleaf, register, first bit, number of bits."""

_OLD_NAMES = {
    "est": "eist", "cntxid": "", "cmpxchg16": "cx16", "sse4_1": "sse4-1", "sse4.1": "sse4-1",
    "sse4_2": "sse4-2", "sse4.2": "sse4-2", "aes": "aesni", "cmpxchg8": "cx8", "sysenter": "sep", "psn": "",
    "clfsh": "", "tm": "tm1", "ia64": "", "arat": "", "tsc_adjust": "tsc-adjust", "cmt": "pqm",
    "lahfsahf": "lahf-lm", "cmplegacy": "cmp-legacy", "altmovcr8": "cr8-legacy", "nodeid": "nodeid-msr",
    "perfctr_core": "", "perfctr_nb": "", "invtsc": "itsc", "ppin": "amd-ppin", "svm_npt": "",
    "svm_lbrv": "", "svm_nrips": "", "svm_tscrate": "", "svm_vmcbclean": "", "svm_decode": "",
    "svm_pausefilt": "", "lfence+": "lfence-dispatch",
}  # fmt: skip
"""libxl's own names of bits, and what they are called in the header ("" where it has none)."""
_UNNAMED = {
    "cntxid": (0x1, "ecx", 10), "psn": (0x1, "edx", 18), "clfsh": (0x1, "edx", 19), "ia64": (0x1, "edx", 30),
    "arat": (0x6, "eax", 2), "perfctr_core": (0x80000001, "ecx", 23), "perfctr_nb": (0x80000001, "ecx", 24),
    "svm_npt": (0x8000000A, "edx", 0), "svm_lbrv": (0x8000000A, "edx", 1),
    "svm_nrips": (0x8000000A, "edx", 3), "svm_tscrate": (0x8000000A, "edx", 4),
    "svm_vmcbclean": (0x8000000A, "edx", 5), "svm_decode": (0x8000000A, "edx", 7),
    "svm_pausefilt": (0x8000000A, "edx", 10),
}  # fmt: skip


class Policy:
    """What is to change: of a leaf 32 characters for each register, of an MSR 64; the last one is bit 0."""

    __slots__ = ("leaves", "msrs")

    def __init__(self) -> None:
        self.leaves: dict[tuple[int, int], dict[str, str]] = {}
        self.msrs: dict[int, str] = {}

    def put(self, leaf: int, subleaf: int, register: str, bit: int, bits: str) -> None:
        """Have `bits` begin (with the highest) such that the last of them is `bit`."""
        if register == "msr":
            self.msrs[leaf] = _overwritten(self.msrs.get(leaf, "x" * 64), bit, bits)
            return
        registers = self.leaves.setdefault((leaf, subleaf), {})
        registers[register] = _overwritten(registers.get(register, "x" * 32), bit, bits)

    def frozen(self) -> FrozenMap:
        """As libxl's JSON has it (libxl_cpuid_policy_list_gen_json)."""
        leaves = []
        for (leaf, subleaf), registers in self.leaves.items():
            found: dict[str, object] = {"leaf": leaf}
            if subleaf != NO_SUBLEAF:
                found["subleaf"] = subleaf
            leaves.append(
                FrozenMap(found | {name: registers[name] for name in REGISTERS if name in registers})
            )
        msrs = [FrozenMap({"index": index, "policy": policy}) for index, policy in self.msrs.items()]
        return FrozenMap({"cpuid": tuple(leaves), "msr": tuple(msrs)} if leaves or msrs else {})


def _overwritten(policy: str, bit: int, bits: str) -> str:
    end = len(policy) - bit
    return policy[: end - len(bits)] + bits + policy[end:]


def read_cpuid(reader: Reader) -> FrozenMap:
    """The policy that ``cpuid`` asks for: libxl's JSON of it, or {} if it asks for nothing.

    Raises:
        ConfigError: an entry is none.
    """
    policy = Policy()
    if isinstance(reader.settings["cpuid"].value, list):
        reader.entries("cpuid", lambda text: _by_register(policy, text), _no_mapping)
        return policy.frozen()
    words = [word.strip() for word in reader.text("cpuid").split(",") if word.strip()]
    if words and words[0] != "host":
        raise reader.error("cpuid", 'its first word must be "host"', 'for example: "host,avx512f=0"')
    for word in words[1:]:
        try:
            _by_name(policy, word)
        except ConfigError as exc:
            raise reader.error("cpuid", exc.reason, exc.hint) from exc
    return policy.frozen()


def _fail(text: str, reason: str, hint: str = "") -> NoReturn:
    raise ConfigError("read cpuid", text, reason, hint=hint)


def _no_mapping(given: Mapping[str, object]) -> None:
    _fail(str(given), "must be text")


def _by_name(policy: Policy, text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals:
        _fail(text, f'"{text}" is no NAME=VALUE', f"write {text}=0 or {text}=1")
    if name in _FIELDS:
        leaf, subleaf, register, bit, width = _FIELDS[name]
        bits = _bits(text, value, width)
        if name == "family":
            _put_family(policy, value, bits)
        elif name == "model":
            policy.put(leaf, subleaf, register, 16, bits[:4])
            policy.put(leaf, subleaf, register, 4, bits[4:])
        else:
            policy.put(leaf, subleaf, register, bit, bits)
        return
    feature = _feature(text, name)
    bits = _bits(text, value, 1)
    policy.put(
        feature.leaf,
        feature.subleaf,
        feature.register,
        feature.bit,
        "k" if feature.register == "msr" and bits == "s" else bits,
    )


def _put_family(policy: Policy, value: str, bits: str) -> None:
    """CPUID has a family above 15 in two parts that are added."""
    number = parse_number(value)
    base, extended = bits[4:], "0" * 8
    if number is not None and number >= 16:
        base, extended = "1111", f"{number - 15:08b}"
    policy.put(0x1, NO_SUBLEAF, "eax", 8, base)
    policy.put(0x1, NO_SUBLEAF, "eax", 20, extended)


def _bits(text: str, value: str, width: int) -> str:
    """A number in binary, of `width` digits, or a letter that many times."""
    number = parse_number(value)
    if number is not None:
        if not 0 <= number < 1 << width:
            _fail(
                text,
                f'"{text}": {value} does not fit {width} bits' if width > 1 else f'"{text}" must be 0 or 1',
            )
        return f"{number:0{width}b}"
    if value not in ("x", "k", "s"):
        _fail(text, f'"{text}": "{value}" is neither a number nor one of x, k, s')
    return value * width


def _feature(text: str, name: str) -> Feature:
    if name in _UNNAMED:
        leaf, register, bit = _UNNAMED[name]
        return Feature(leaf, NO_SUBLEAF, register, bit)
    feature = feature_named(_OLD_NAMES.get(name, name))
    if feature is None:
        import difflib

        from xentool.abi.cpu_features import feature_names

        near = difflib.get_close_matches(name.lower(), [*feature_names(), *_FIELDS, *_OLD_NAMES], 1)
        hint = f"did you mean {near[0]}?" if near else "names are as in `xen-cpuid --detail`"
        _fail(text, f'there is no CPU feature "{name}"', hint)
    return feature


def _by_register(policy: Policy, text: str) -> None:
    where, colon, registers = text.partition(":")
    leaf, comma, subleaf = where.partition(",")
    numbers = [_leaf(text, leaf), _leaf(text, subleaf) if comma else NO_SUBLEAF]
    if not colon:
        _fail(text, "has no colon after its leaf", f'for example: "0x1:ecx={"x" * 32}"')
    policy.leaves.setdefault((numbers[0], numbers[1]), {})
    for part in registers.split(","):
        register, equals, bits = part.strip().partition("=")
        if not equals or register not in REGISTERS:
            _fail(text, f'"{register}" is no register', f"there are: {', '.join(REGISTERS)}")
        if len(bits) != 32 or not frozenset("01xks").issuperset(bits):
            _fail(
                text, f"{register} must have 32 characters, each of them 0, 1, x, k or s; it has {len(bits)}"
            )
        policy.leaves[numbers[0], numbers[1]][register] = bits


def _leaf(text: str, number: str) -> int:
    found = parse_number(number.strip())
    if found is None or not 0 <= found < UINT32_MAX:
        _fail(text, f'"{number}" is no leaf')
    return found
