"""The instructions that are QEMU's faults are found, whatever their registers are, and replaced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xentool.lab.errata import calls_for_flags, mend, stores_of_vector

STORE = b"\x89\xb3\x10\xd7\xff\xff"  # mov %esi, -0x28f0(%rbx)
NOT_AN_INT = b"\xc7\x83\x10\x32\0\0" + bytes(4)  # movl $0, 0x3210(%rbx)
NEXT_EIP = b"\x48\xc7\x83\x18\x32\0\0" + b"\xff" * 4  # movq $-1, 0x3218(%rbx)
LOGGED = b"\xf6\x05\x01\x02\x03\x04\x02\x0f\x85\x01\x02\0\0"  # testb $2, …; jne …
BY_HARDWARE = b"\xba\x01\0\0\0"  # mov $1, %edx
CALL = b"\x48\x89\xdf\xe8\x01\x02\x03\x04"  # mov %rbx, %rdi; call …
AROUND = bytes(range(64, 128))

VMRUN = STORE + NOT_AN_INT + NEXT_EIP + LOGGED + BY_HARDWARE + CALL

IS_ALIGNED = b"\x40\xf6\xc6\x0f"  # test $0xf, %sil
FAULTS = b"\x0f\x85\xe9\0\0\0"  # jne …
KEPT = b"\x48\x89\xf3"  # mov %rsi, %rbx
CC_OP = b"\x8b\xb7\xa8\0\0\0"  # mov 0xa8(%rdi), %esi
BEFORE_CALL = IS_ALIGNED + FAULTS + KEPT + CC_OP
COMPUTED = b"\xb8\0\0\0\0"  # mov $0, %eax

# A process that has a file's bytes as code, and says what they are when it is asked to.
HOLDER = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    code = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
print("ready", flush=True)
sys.stdin.readline()
print(code[:].hex(), flush=True)
"""


def call(from_: int, to: int) -> bytes:
    return b"\xe8" + (to - from_ - 5).to_bytes(4, "little", signed=True)


def helpers(*, computes: tuple[int, ...] = (7, 7), before: bytes = BEFORE_CALL) -> tuple[bytes, list[range]]:
    """Code with one of CMPXCHG16B's helpers for each function that is called, and where these calls are."""
    code, calls = AROUND, []
    for function in computes:
        code += before
        calls.append(range(len(code), len(code) + 5))
        code += call(len(code), function) + AROUND
    return code, calls


def moved(code: bytes, base: int) -> bytes:
    """The same stores relative to another register."""
    result = bytearray(code)
    result[1] = 0xB0 | base
    for opcode in (NOT_AN_INT[:2], NEXT_EIP[:3]):
        at = code.index(opcode) + len(opcode) - 1
        result[at] = 0x80 | base
    return bytes(result)


@pytest.mark.parametrize("base", [0, 1, 2, 3, 5, 6, 7])
def test_the_store_is_found_whatever_register_has_the_base(base: int) -> None:
    code = AROUND + moved(VMRUN, base) + AROUND
    assert stores_of_vector(code) == [range(len(AROUND), len(AROUND) + len(STORE))]


@pytest.mark.parametrize(
    "code",
    [
        VMRUN.replace(STORE, b""),
        VMRUN.replace(BY_HARDWARE, b""),  # an exception, which is delivered later and needs its vector
        VMRUN.replace(NEXT_EIP, b""),
        STORE + bytes(200) + VMRUN.removeprefix(STORE),
        AROUND,
        b"",
    ],
)
def test_what_only_resembles_it_is_left(code: bytes) -> None:
    assert stores_of_vector(code) == []


def test_of_two_that_could_be_it_none_is_taken() -> None:
    assert stores_of_vector(VMRUN + AROUND + VMRUN) == []


@pytest.mark.parametrize(
    "before",
    [
        BEFORE_CALL,
        BEFORE_CALL.replace(KEPT, b""),
        BEFORE_CALL.replace(CC_OP, b"\x41\x8b\xb5\xa8\0\0\0"),  # mov 0xa8(%r13), %esi
        BEFORE_CALL.replace(IS_ALIGNED, b"\xf6\xc3\x0f"),  # test $0xf, %bl
        BEFORE_CALL + b"\x48\x89\xdf",  # mov %rbx, %rdi
    ],
)
def test_both_calls_for_flags_are_found(before: bytes) -> None:
    code, calls = helpers(before=before)
    assert calls_for_flags(code) == calls


@pytest.mark.parametrize(
    "code",
    [
        helpers(computes=(7,))[0],
        helpers(computes=(7, 8))[0],
        helpers(computes=(7, 7, 7))[0],
        helpers(before=FAULTS + KEPT + CC_OP)[0],
        helpers(before=IS_ALIGNED + KEPT + CC_OP)[0],
        helpers(before=IS_ALIGNED + FAULTS + KEPT)[0],
        helpers(before=IS_ALIGNED + FAULTS + AROUND + CC_OP)[0],
        b"",
    ],
)
def test_calls_of_something_else_are_left(code: bytes) -> None:
    assert calls_for_flags(code) == []


@pytest.mark.parametrize("has_it", [True, False])
def test_a_running_process_loses_the_faults_and_nothing_else(tmp_path: Path, has_it: bool) -> None:
    file = tmp_path / "code"
    code, calls = helpers()
    expected = code + AROUND
    for place in calls:
        expected = expected[: place.start] + COMPUTED + expected[place.stop :]
    expected += b"\x90" * len(STORE) + VMRUN.removeprefix(STORE) + AROUND
    before = code + AROUND + VMRUN + AROUND if has_it else AROUND
    file.write_bytes(before)
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        assert mend(holder.pid) == (3 if has_it else 0)
        assert mend(holder.pid) == 0
        after = bytes.fromhex(holder.communicate("\n")[0])
    assert after == (expected if has_it else before)
    assert file.read_bytes() == before, "the program's file was written to"


def test_a_process_that_is_gone_is_an_error() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    with pytest.raises(OSError, match="No such file"):
        mend(done.pid)
