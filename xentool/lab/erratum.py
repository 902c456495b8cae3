"""A fault of QEMU's SVM, mended in the running QEMU.

Where a VMRUN injects an interrupt into a guest, TCG delivers it, and leaves its vector as the CPU's exception
that is still to be delivered. Whatever makes the CPU's loop look at that before the guest's next exit (the
clock by which one thread's CPUs take turns, a wish of another thread) delivers the interrupt a second time:
with interrupts off, on top of its handler's first instructions. SeaBIOS, which does its handlers on a stack
of their own, comes back to nowhere from it; a PVH Linux panics when it hits the entry from user space.
QEMU 7.2 and 10.0 have it, and the source of later ones; no option avoids it.

The instruction that leaves the vector there serves nothing else. It is found by what stands around it, which
compilers have kept so far, and becomes one that does nothing. A QEMU without it stays as it is.

Source: QEMU's target/i386/tcg/sysemu/svm_helper.c (helper_vmrun, the case SVM_EVTINJ_TYPE_INTR) and
accel/tcg/cpu-exec.c (cpu_handle_interrupt, cpu_handle_exception).
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

_NOP: Final = b"\x90"


def store_of_vector(code: bytes) -> range | None:
    """Where the instruction is in QEMU's machine code; None if it has none, or more than one could be it."""
    found = list(_LEAVES_THE_VECTOR.finditer(code))
    return range(found[0].start(), found[0].end()) if len(found) == 1 else None


def mend(pid: int) -> bool:
    """Take the fault out of the QEMU that runs as process `pid`, a child of ours; whether there was one.

    Raises:
        OSError: the process is gone, or the kernel does not let us write to its memory.
    """
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for start, end in _code(pid):
            where = store_of_vector(_read(memory, start, end))
            if where is not None:
                memory.seek(start + where.start)
                memory.write(_NOP * len(where))
                return True
    return False


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
