"""Which of the host's CPUs a vcpu may run on: xl's ``cpus`` and ``cpus_soft``.

    cpus     = CPULIST | [ CPULIST, … ]          a list has one entry per vcpu, from vcpu 0
    CPULIST  = TERM { "," TERM }                 taken from left to right, starting from no CPU
    TERM     = "all" | ["^"] ["node:" | "nodes:"] NUMBER ["-" NUMBER]      "^" takes CPUs away

A config is parsed on any machine, and resolved on the host it will run on, so the two
are apart: `parse_affinity` gives an `Affinity`, `Affinity.resolve` gives bitmaps.

Source: xl.cfg(5); tools/xl/xl_parse.c (update_cpumap_range, parse_vcpu_affinity).
"""

from __future__ import annotations

from xentool.errors import ConfigError
from xentool.values import Frozen, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CPU = 4095
"""No x86 Xen has more CPUs or nodes (xen/arch/x86/Kconfig, NR_CPUS)."""


class CpuTerm(Frozen):
    """One term: CPUs (or, with `nodes`, NUMA nodes) `first` to `last`, both included, added or taken away.

    "all" has `first` 0 and `last` None.
    """

    __slots__ = ("exclude", "first", "last", "nodes")
    exclude: bool
    first: int
    last: int | None
    nodes: bool

    def __init__(self, first: int, last: int | None, *, nodes: bool = False, exclude: bool = False) -> None:
        set_slots(self, locals())

    def __str__(self) -> str:
        if self.last is None:
            return "all"
        span = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return ("^" if self.exclude else "") + ("nodes:" if self.nodes else "") + span

    def bitmap(self, node_of_cpu: Sequence[int], width: int) -> int:
        """The CPUs that the term names, among the first `width`; bit n is CPU n."""
        everyone = (1 << width) - 1
        if self.last is None:
            return everyone
        if self.nodes:
            return sum(1 << cpu for cpu, node in enumerate(node_of_cpu) if self.first <= node <= self.last)
        return everyone & ((1 << (self.last + 1)) - (1 << self.first))


class Affinity(Frozen):
    """What ``cpus=`` asks for: one list of CPUs for all vcpus, or (`per_vcpu`) one for each vcpu."""

    __slots__ = ("lists", "per_vcpu")
    lists: tuple[tuple[CpuTerm, ...], ...]
    per_vcpu: bool

    def __init__(self, lists: tuple[tuple[CpuTerm, ...], ...], *, per_vcpu: bool) -> None:
        set_slots(self, locals())

    def __str__(self) -> str:
        texts = [",".join(map(str, terms)) for terms in self.lists]
        return "[" + ", ".join(f'"{text}"' for text in texts) + "]" if self.per_vcpu else texts[0]

    def resolve(self, key: str, max_vcpus: int, node_of_cpu: Sequence[int]) -> list[int]:
        """Bitmaps (bit n is CPU n), one per vcpu that the config speaks of, at most `max_vcpus`.

        `node_of_cpu` has the NUMA node of each of the host's CPUs, and so their number.
        Like xl, CPUs that the host lacks are left out; but a vcpu left with none is an error.

        Raises:
            ConfigError: a vcpu could run nowhere. `key` is the config's key, for the message.
        """
        bitmaps = self.bitmaps(max_vcpus, node_of_cpu, len(node_of_cpu))
        for terms, bitmap in zip(self.lists, bitmaps, strict=False):
            if not bitmap:
                raise _nowhere(key, terms, node_of_cpu)
        return bitmaps

    def bitmaps(self, max_vcpus: int, node_of_cpu: Sequence[int], width: int) -> list[int]:
        """Like `resolve`, of the first `width` CPUs whether they exist or not, and without the check."""
        lists = self.lists[:max_vcpus] if self.per_vcpu else self.lists
        found = []
        for terms in lists:
            bitmap = 0
            for term in terms:
                cpus = term.bitmap(node_of_cpu, width)
                bitmap = bitmap & ~cpus if term.exclude else bitmap | cpus
            found.append(bitmap)
        return found if self.per_vcpu else found * max_vcpus


def _nowhere(key: str, terms: tuple[CpuTerm, ...], node_of_cpu: Sequence[int]) -> ConfigError:
    text = ",".join(map(str, terms))
    nodes = ", ".join(map(str, sorted(set(node_of_cpu))))
    return ConfigError(
        "place vcpus by",
        f'{key} = "{text}"',
        f"that leaves none of this host's CPUs (0-{len(node_of_cpu) - 1}; NUMA nodes: {nodes})",
        hint=f"name CPUs that the host has, or leave {key} out",
    )


class AffinityError(ValueError):
    """A CPU list that cannot be understood; its text says why. `load` adds the key and the line."""


def parse_affinity(value: str | Sequence[str]) -> Affinity:
    """An `Affinity` from the text of one CPU list, or from one text per vcpu.

    Raises:
        AffinityError: the text is not a CPU list.
    """
    if isinstance(value, str):
        return Affinity((_parse_list(value),), per_vcpu=False)
    return Affinity(tuple(map(_parse_list, value)), per_vcpu=True)


def _parse_list(text: str) -> tuple[CpuTerm, ...]:
    terms = tuple(_parse_term(part.strip()) for part in text.split(",") if part.strip())
    if not terms:
        raise AffinityError("names no CPU")
    if all(term.exclude for term in terms):
        raise AffinityError('only takes CPUs away ("^") and so leaves none: begin with "all,"')
    return terms


def _parse_term(text: str) -> CpuTerm:
    body = text
    exclude = body.startswith("^")
    if exclude:
        body = body[1:]
    nodes = body.startswith(("node:", "nodes:"))
    if nodes:
        body = body[body.index(":") + 1 :]
    if body == "all":
        if exclude:
            raise AffinityError(f'"{text}" takes every CPU away')
        return CpuTerm(0, None)
    first_text, dash, last_text = body.partition("-")
    first = _number(first_text, text)
    last = _number(last_text, text) if dash else first
    if last < first:
        raise AffinityError(f'"{text}" ends before it begins')
    return CpuTerm(first, last, nodes=nodes, exclude=exclude)


def _number(digits: str, term: str) -> int:
    digits = digits.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise AffinityError(f'"{term}" is none of: all, 3, 0-3, ^3, node:0, nodes:0-1')
    if len(digits) > 6 or int(digits) > MAX_CPU:
        raise AffinityError(f'"{term}" is beyond CPU {MAX_CPU}, the last that Xen can have')
    return int(digits)
