"""The instruction that leaves an injected vector is found, whatever its registers are, and taken out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xentool.lab.erratum import mend, store_of_vector

STORE = b"\x89\xb3\x10\xd7\xff\xff"  # mov %esi, -0x28f0(%rbx)
NOT_AN_INT = b"\xc7\x83\x10\x32\0\0" + bytes(4)  # movl $0, 0x3210(%rbx)
NEXT_EIP = b"\x48\xc7\x83\x18\x32\0\0" + b"\xff" * 4  # movq $-1, 0x3218(%rbx)
LOGGED = b"\xf6\x05\x01\x02\x03\x04\x02\x0f\x85\x01\x02\0\0"  # testb $2, …; jne …
BY_HARDWARE = b"\xba\x01\0\0\0"  # mov $1, %edx
CALL = b"\x48\x89\xdf\xe8\x01\x02\x03\x04"  # mov %rbx, %rdi; call …
AROUND = bytes(range(64, 128))

VMRUN = STORE + NOT_AN_INT + NEXT_EIP + LOGGED + BY_HARDWARE + CALL

# A process that has a file's bytes as code, and says what they are when it is asked to.
HOLDER = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    code = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
print("ready", flush=True)
sys.stdin.readline()
print(code[:].hex(), flush=True)
"""


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
    assert store_of_vector(code) == range(len(AROUND), len(AROUND) + len(STORE))


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
    assert store_of_vector(code) is None


def test_of_two_that_could_be_it_none_is_taken() -> None:
    assert store_of_vector(VMRUN + AROUND + VMRUN) is None


@pytest.mark.parametrize("has_it", [True, False])
def test_a_running_process_loses_the_store_and_nothing_else(tmp_path: Path, has_it: bool) -> None:
    file = tmp_path / "code"
    before = AROUND + (VMRUN if has_it else b"") + AROUND
    file.write_bytes(before)
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        assert mend(holder.pid) == has_it
        assert not mend(holder.pid)
        after = bytes.fromhex(holder.communicate("\n")[0])
    assert after == before.replace(STORE, b"\x90" * len(STORE))
    assert file.read_bytes() == before, "the program's file was written to"


def test_a_process_that_is_gone_is_an_error() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    with pytest.raises(OSError, match="No such file"):
        mend(done.pid)
