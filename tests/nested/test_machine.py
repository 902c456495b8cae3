"""The lab's machine: where TCG differs from a processor, what runs on it fails anywhere, and seldom."""

from __future__ import annotations

import mmap
from ctypes import CFUNCTYPE, addressof, c_char, c_uint64

import pytest

ARITHMETIC = 0x8D5
ZERO = 0x40
ALWAYS = 0x202  # bit 1, and that interrupts are on
PRIVILEGE = 0x3000  # which Xen chooses

# long flags(long operand, void *cell): the cell holds 0, and gets 0.
BEFORE = bytes.fromhex(
    "53"  # push %rbx
    "6802020000 9d"  # pushq $0x202; popfq: all flags are known
    "eb00"  # jmp: TCG's next block, which begins with the flags as they are
    "4839f9"  # cmp %rdi, %rcx: the flags are the operand's now, and put off
    "b800000000 ba00000000 bb00000000 b900000000"  # mov $0 to %eax, %edx, %ebx, %ecx
)
AFTER = bytes.fromhex(
    "9c58"  # pushfq; pop %rax
    "6802020000 9d fc"  # pushq $0x202; popfq; cld
    "5bc3"  # pop %rbx; ret
)
LOCK, CMPXCHG16B = b"\xf0", bytes.fromhex("480fc70e")  # cmpxchg16b (%rsi)


@pytest.mark.parametrize("prefix", [b"", LOCK], ids=["alone", "locked"])
def test_cmpxchg16b_makes_no_flags_of_operands(prefix: bytes) -> None:
    with mmap.mmap(-1, 2 * mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as pages:
        code = BEFORE + prefix + CMPXCHG16B + AFTER
        pages[: len(code)] = code
        start = c_char.from_buffer(pages)
        address = addressof(start)
        del start  # which would keep the pages
        flags = CFUNCTYPE(c_uint64, c_uint64, c_uint64)(address)
        for bit in range(32):
            found = flags(1 << bit, address + mmap.PAGESIZE)
            assert found & ZERO, "it exchanged what was there"
            assert found & ~(ARITHMETIC | ALWAYS | PRIVILEGE) == 0, f"{found:#x} of {1 << bit:#x}"
