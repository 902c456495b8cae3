"""Faults of QEMU's translator, TCG, that no option avoids: mended in the running QEMU.

An interrupt twice. Where a VMRUN injects an interrupt into a guest, TCG delivers it, and leaves its vector as
the CPU's exception that is still to be delivered. Whatever makes the CPU's loop look at that before the
guest's next exit (the clock by which one thread's CPUs take turns, a wish of another thread) delivers the
interrupt a second time: with interrupts off, on top of its handler's first instructions. SeaBIOS, which does
its handlers on a stack of their own, comes back to nowhere from it; a PVH Linux panics when it hits the entry
from user space. QEMU 7.2 and 10.0 have it, and the source of later ones. The instruction that leaves the
vector there serves nothing else, and becomes one that does nothing.

An operand for flags. What kind of operation set the flags last (CC_OP) TCG knows as it translates, and writes
to memory only where somebody reads it. CMPXCHG16B reads it, and nobody has written it: where it is of long
ago, and says that the flags are there as they are, an operand becomes RFLAGS. The next instruction looks at
ZF alone, which is right. But an interrupt that comes first puts all of them on the stack, and back: NT, by
which the next iretq in a PV kernel is refused, or DF, by which copies run backwards. QEMU 7.2 has it. A CPU
without CX16 is no way out: Linux's allocator disables interrupts instead, by a CLI that Xen lets a PV kernel
do in vain. So the call that computes the flags becomes the answer 0: ZF is put in after it, and on the
others, which should be as they were, no compiler relies. CMPXCHG8B has the fault as well, and keeps it: no
64-bit kernel uses that.

The instructions are found by what stands around them, which compilers have kept so far. A QEMU in which they
are not found stays as it is.

Source: QEMU's target/i386/tcg/sysemu/svm_helper.c (helper_vmrun, the case SVM_EVTINJ_TYPE_INTR),
accel/tcg/cpu-exec.c (cpu_handle_interrupt, cpu_handle_exception), target/i386/tcg/translate.c (case 0x1c7)
and mem_helper.c (helper_cmpxchg16b); Linux's arch/x86/lib/cmpxchg16b_emu.S; Xen's
arch/x86/pv/emul-priv-op.c (validate, case 0xfa).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_FIELD: Final = rb".{4}"  # the distance of a structure's member from its base
_BASE: Final = rb"[\x80-\x83\x85-\x87]"  # a register that holds the base; four is not one
_GAP: Final = rb".{0,24}?"

# x86-64: the store of a 32-bit argument's register, ESI, which is the vector that the call takes ...
_STORE: Final = rb"\x89[\xb0-\xb3\xb5-\xb7]" + _FIELD
# ... before exception_is_int becomes 0 and exception_next_eip -1, and the call is told that it is hardware's.
_REST: Final = (
    _GAP + rb"\xc7" + _BASE + _FIELD + rb"\0{4}"
    + _GAP + rb"\x48\xc7" + _BASE + _FIELD + rb"\xff{4}"
    + _GAP + rb"\xba\x01\0{3}"
    + rb".{0,8}?\xe8"
)  # fmt: skip
_LEAVES_THE_VECTOR: Final = re.compile(_STORE + rb"(?=" + _REST + rb")", re.DOTALL)

# Where the address is no multiple of 16 (a byte of its register is tested) a far jump goes to what faults;
# else CC_OP is loaded for a call's second argument, ESI, and the call made.
_COMPUTES_FLAGS: Final = re.compile(
    rb"(?:[\x40\x41]?\xf6[\xc0-\xc7]|\xa8)\x0f" + rb"\x0f\x85" + _FIELD
    + rb".{0,12}?\x8b[\xb0-\xb3\xb5-\xb7]" + _FIELD
    + rb".{0,4}?(?P<call>\xe8(?P<distance>.{4}))",
    re.DOTALL,
)  # fmt: skip
_HELPERS: Final = 2
"""Of CMPXCHG16B: one for a CPU alone, one for several at once."""

_NOP: Final = b"\x90"
_ANSWER_0: Final = b"\xb8" + bytes(4)  # mov $0, %eax


def stores_of_vector(code: bytes) -> list[range]:
    """Where the instruction is in QEMU's machine code; nowhere if more than one could be it."""
    found = list(_LEAVES_THE_VECTOR.finditer(code))
    return [range(found[0].start(), found[0].end())] if len(found) == 1 else []


def calls_for_flags(code: bytes) -> list[range]:
    """Where CMPXCHG16B's helpers call what computes the flags; nowhere if these are not two calls of one
    function."""
    found = list(_COMPUTES_FLAGS.finditer(code))
    called = {match.end("call") + int.from_bytes(match["distance"], "little", signed=True) for match in found}
    if len(found) != _HELPERS or len(called) != 1:
        return []
    return [range(*match.span("call")) for match in found]


_MENDS: Final = ((stores_of_vector, b""), (calls_for_flags, _ANSWER_0))
"""How the instructions are found, and what they become: that, and then nothing up to their end."""


def mend(pid: int) -> int:
    """Take the faults out of the QEMU that runs as process `pid`, a child of ours; how many instructions
    were replaced.

    Nothing of what is found may run meanwhile.

    Raises:
        OSError: the process is gone, or the kernel does not let us write to its memory.
    """
    replaced = 0
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for start, end in _code(pid):
            code = _read(memory, start, end)
            for find, instruction in _MENDS:
                for place in find(code):
                    memory.seek(start + place.start)
                    memory.write(instruction.ljust(len(place), _NOP))
                    replaced += 1
    return replaced


def _code(pid: int) -> Iterator[tuple[int, int]]:
    """The addresses, from and to, of what the process executes of files."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            addresses, permissions, _, _, _, *path = line.split(maxsplit=5)
            if "x" in permissions and path and path[0].startswith("/"):
                start, end = addresses.split("-")
                yield int(start, 16), int(end, 16)


def _read(memory: BinaryIO, start: int, end: int) -> bytes:
    memory.seek(start)
    return memory.read(end - start)
